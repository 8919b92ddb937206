"""Options that several commands take, and what follows from them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runherald.durations import parse_duration
from runherald.errors import InvalidInput

if TYPE_CHECKING:
    from runherald.producers.server.client import ApiClient
    from runherald.producers.workspace import Workspace
    from runherald.settings import Settings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server is asked. They may stand before or after the command."""
    group = parser.add_argument_group("server")
    group.add_argument(
        "--url", default=argparse.SUPPRESS, metavar="URL", help="address of the server; http://127.0.0.1:7460 if not said (RUNHERALD_URL)"
    )
    group.add_argument("--token", default=argparse.SUPPRESS, metavar="TOKEN", help="what the server asks for, if it does (RUNHERALD_TOKEN)")
    add_config(group)


def add_config(parser: argparse._ActionsContainer) -> None:
    """Add the option that names the settings file."""
    parser.add_argument("--config", default=argparse.SUPPRESS, type=Path, metavar="FILE", help="settings in TOML (RUNHERALD_CONFIG)")


def settings_of(args: argparse.Namespace, **overrides: Any) -> Settings:
    """Return the settings with what the command line says; for keys in tables pass `**{"mail.smtp": …}`."""
    from runherald.settings import load_settings

    said = {name: getattr(args, name, None) for name in ("url", "token")}
    return load_settings(overrides={**said, **overrides}, config=getattr(args, "config", None))


@contextmanager
def client_of(args: argparse.Namespace) -> Iterator[ApiClient]:
    """Give a client of the server that the settings name, and close it."""
    from runherald.producers.server.client import ApiClient

    settings = settings_of(args)
    client = ApiClient(settings.url, settings.token)
    try:
        yield client
    finally:
        client.close()


def workspace_of(args: argparse.Namespace, name: str | None = None) -> Workspace:
    """Return the workspace that the command line says. What it names as settings file holds for the processes that are started, too."""
    from runherald.producers.workspace import Workspace

    if (config := getattr(args, "config", None)) is not None:
        os.environ["RUNHERALD_CONFIG"] = str(config)
    return Workspace(name=name, url=getattr(args, "url", None), token=getattr(args, "token", None))


def parse_tags(given: list[str]) -> dict[str, str | None]:
    """Return the tags that were given as `KEY=VALUE`, or `KEY` for a flag.

    Raises:
        InvalidInput: one has no key.
    """
    tags: dict[str, str | None] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not key:
            raise InvalidInput("--tag: has no key; write --tag KEY=VALUE, or --tag KEY for a flag")
        tags[key] = value if equals else None
    return tags


def parse_seconds(option: str, text: str) -> float:
    """Return a length of time in seconds that was given as such, or as `1h30m`.

    Raises:
        InvalidInput: it is no time.
    """
    length = parse_duration(f"{text}s" if text.replace(".", "", 1).isdigit() else text)
    if length is None:
        raise InvalidInput(f"{option}: is no time; write seconds, or a time such as 90s, 15m, 1h30m")
    return length.total_seconds()
