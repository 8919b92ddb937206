"""`runherald run watch`: follow runs as they change."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from runherald.cli.options import add_server, client_of, settings_of
from runherald.cli.output import to_data
from runherald.cli.words import duration, first_line, local_time, plain
from runherald.errors import InvalidInput
from runherald.status import TERMINAL

if TYPE_CHECKING:
    from runherald.api import RunView, TransitionView
    from runherald.cli.options import Commands
    from runherald.producers.server.client import ApiClient

BAD_ENDS = frozenset({"Failed", "Canceled"})


def register(commands: Commands) -> None:
    """Add `watch`."""
    parser = commands.add_parser(
        "watch",
        help="follow a run until it ends",
        description="Print each change of a run's status until it ends; exit status 1 if it failed or was canceled.",
    )
    parser.add_argument("run_id", nargs="?", default="", metavar="RUN", help="id, as `runherald run list` shows it")
    parser.add_argument("--all", action="store_true", dest="every", help="every run, until interrupted")
    unsaid = "table on a terminal and jsonl in a pipe if not said"
    parser.add_argument("-o", "--output", choices=("table", "jsonl"), metavar="FORMAT", help=f"table, jsonl; {unsaid}")
    add_server(parser)
    parser.set_defaults(run=watch)


def watch(args: argparse.Namespace) -> int:
    """Follow one run until it ends, or all for ever.

    Raises:
        InvalidInput: both or neither are named.
    """
    if bool(args.run_id) == args.every:
        raise InvalidInput("run watch: name one run, or say --all")
    from runherald.cli.live import changes

    settings = settings_of(args)
    form = args.output or ("table" if sys.stdout.isatty() else "jsonl")
    feed = changes(settings.url, settings.token, args.run_id, sleep=time.sleep)
    with closing(feed), client_of(args) as client:
        follow = Follower(client, _write_line if form == "table" else _write_json)
        return follow.until_end(args.run_id, feed) if args.run_id else follow.all(feed)


class Follower:
    """Prints the transitions of runs that were not printed yet."""

    def __init__(self, client: ApiClient, write: Callable[[RunView, TransitionView], None]) -> None:
        self._client = client
        self._write = write
        self._revisions: dict[str, int] = {}

    def until_end(self, run_id: str, feed: Iterable[str]) -> int:
        """Follow a run until it has ended and return 1 if it ended badly. The verdict of the watcher is no end: the run may speak again."""
        for _ in feed:
            run = self._client.get_run(run_id)
            self._look(run)
            if run.status in TERMINAL and not run.claimed:
                return 1 if run.status in BAD_ENDS else 0
        return 1

    def all(self, feed: Iterable[str]) -> int:
        """Follow every run that changes from now on."""
        started = False
        for changed in feed:
            if changed:
                self._look(self._client.get_run(changed))
                continue
            for run in reversed(self._client.list_runs(limit=100).runs):
                if started:
                    self._look(run)
                else:
                    self._revisions[run.run_id] = run.revision
            started = True
        return 0

    def _look(self, run: RunView) -> None:
        last = self._revisions.get(run.run_id, 0)
        if run.revision <= last:
            return
        for transition in self._client.transitions(run.run_id):
            if transition.accepted and transition.revision > last:
                self._write(run, transition)
        self._revisions[run.run_id] = run.revision


def _write_line(run: RunView, transition: TransitionView) -> None:
    ended = transition.revision == run.revision and run.status in TERMINAL
    said = (
        local_time(transition.time),
        run.display_name or run.run_id,
        transition.status,
        f"({transition.cause})" if transition.cause else "",
        "claimed" if transition.claim else "corrected" if transition.correction else "",
        f"after {duration(run.duration_seconds)}" if ended and run.duration_seconds is not None else "",
        first_line(run.error.error.message if ended and run.error else transition.message),
    )
    sys.stdout.write(plain("  ".join(part for part in said if part)) + "\n")
    sys.stdout.flush()


def _write_json(run: RunView, transition: TransitionView) -> None:
    import msgspec

    data = {"experiment_name": run.experiment_name, "display_name": run.display_name, **to_data(transition)}
    sys.stdout.write(msgspec.json.encode(data).decode() + "\n")
    sys.stdout.flush()
