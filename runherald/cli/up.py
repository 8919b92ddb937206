"""`runherald up`: the server. Embedded by default: log, history, processors, API and pages in one process."""

from __future__ import annotations

import argparse

from runherald.cli import serving
from runherald.cli.allocator import steady_allocator


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "up",
        help="start the server",
        description="Start the server: one process with everything in it; with --log and --history, the API of a larger installation.",
    )
    serving.add_connections(parser)
    serving.add_alerting(parser)
    parser.add_argument("--data", metavar="DIR", help="folder of the embedded log and history (./runherald-data)")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (7460); 0 takes a free one")
    parser.add_argument("--query-history", metavar="URL", help="ClickHouse user that users' queries run as (see `runherald migrate`)")
    parser.add_argument(
        "--catch-mail", action="store_true", help="for trials: keep mails as files in the data folder instead of sending them"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    from runherald.cli.server import serve

    steady_allocator()
    settings = serving.settings_of(args)
    serving.start_logging(args)
    return serve(settings, catch_mail=args.catch_mail)
