"""Options of the commands that serve: where log and history are, who gets mail."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from runherald.cli import options
from runherald.errors import InvalidInput, SettingsError

if TYPE_CHECKING:
    from runherald.settings import Settings

PROCESSORS = ("history", "metrics", "logs", "leases", "alerting", "mailer")
_OVERRIDES = {
    "data": "data",
    "host": "host",
    "port": "port",
    "log": "log",
    "history": "history",
    "query_history": "query_history",
    "public_url": "public_url",
    "rules": "rules",
    "mail.smtp": "smtp",
    "mail.to": "mail_to",
    "mail.sender": "mail_from",
    "leases.grace_seconds": "grace_seconds",
}


def add_connections(parser: argparse.ArgumentParser) -> None:
    """Add where log and history are."""
    group = parser.add_argument_group("log and history")
    group.add_argument("--log", metavar="URL", help="kafka://host:port,…; embedded if not said (RUNHERALD_LOG)")
    group.add_argument(
        "--history", metavar="URL", help="http(s)://user:password@host:port of ClickHouse; embedded if not said (RUNHERALD_HISTORY)"
    )
    options.add_config(group)


def add_alerting(parser: argparse.ArgumentParser) -> None:
    """Add who gets mail, about what, and how it is sent."""
    group = parser.add_argument_group("alerts")
    group.add_argument("--mail-to", action="append", metavar="ADDRESS", help="mail failed, silent and completed runs to; may be repeated")
    group.add_argument("--smtp", metavar="URL", help="smtp://user:password@host:port, or smtps://… (RUNHERALD_MAIL__SMTP)")
    group.add_argument("--mail-from", metavar="ADDRESS", help="the sender of mails")
    group.add_argument("--rules", action="append", type=Path, metavar="FILE", help="alert rules in YAML; may be repeated")
    group.add_argument("--grace-seconds", type=float, metavar="S", help="from NotResponding to Failed (600)")
    group.add_argument("--public-url", metavar="URL", help="where people reach the server, for links in mails")
    parser.add_argument("--verbose", action="store_true", help="log more")


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings with what the command line says."""
    return options.settings_of(args, **{key: getattr(args, name, None) for key, name in _OVERRIDES.items()})


def start_logging(args: argparse.Namespace) -> None:
    """Write the log to standard error, a line an event."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Libraries speak of every connection and retry; what an operator cares about we say ourselves.
    for name in ("aiokafka", "faust", "mode", "uvicorn", "mail", "aiosmtpd"):
        logging.getLogger(name).setLevel(logging.INFO if args.verbose else logging.WARNING)
    for name in ("kafka", "urllib3", "clickhouse_connect"):
        logging.getLogger(name).setLevel(logging.INFO if args.verbose else logging.CRITICAL)


def chosen_processors(text: str | None) -> tuple[str, ...]:
    """Return the names of processors in `--processors`, or all.

    Raises:
        InvalidInput: a name is unknown.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip()) if text else PROCESSORS
    unknown = [name for name in names if name not in PROCESSORS]
    if unknown:
        raise InvalidInput(f"--processors: there is no {unknown[0]!r}; there are {', '.join(PROCESSORS)}")
    return names


def refuse_embedded(settings: Settings, command: str) -> None:
    """Raise `SettingsError` unless log and history are servers that several processes share."""
    for key, value in (("log", settings.log), ("history", settings.history)):
        if value == "embedded":
            raise SettingsError(
                f"--{key}: {command} needs a server: the embedded one belongs to `runherald up`, which runs the processors itself"
            )
