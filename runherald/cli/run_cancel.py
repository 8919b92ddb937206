"""`runherald run cancel`: ask a run to stop."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from runherald.cli.options import add_server, client_of
from runherald.errors import RunFailed

if TYPE_CHECKING:
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `cancel`."""
    parser = commands.add_parser(
        "cancel",
        help="ask a run to stop",
        description="Ask runs to stop. Each is told with its next heartbeat, and ends when its script looks at `run.cancel_requested`; a "
        "script that never looks goes on, unless it was submitted or started by `runherald exec`: then it is ended after its grace.",
    )
    parser.add_argument("run_ids", nargs="+", metavar="RUN", help="id, as `runherald run list` shows it")
    parser.add_argument("--reason", default="", metavar="TEXT", help="kept in the run's history")
    add_server(parser)
    parser.set_defaults(run=cancel_runs)


def cancel_runs(args: argparse.Namespace) -> int:
    """Ask runs to stop.

    Raises:
        RunFailed: the server did not take the request.
    """
    with client_of(args) as client:
        for run_id in args.run_ids:
            intake = client.cancel(run_id, user=_user(), reason=args.reason)
            if intake.rejected:
                raise RunFailed(f"{run_id}: {intake.rejected[0].field}: {intake.rejected[0].reason}")
            sys.stdout.write(f"asked {run_id} to stop\n")
    return 0


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name; ImportError on Windows
        return ""
