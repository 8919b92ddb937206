"""`runherald run`: runs as history knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import runherald.cli.run_cancel as run_cancel
import runherald.cli.run_list as run_list
import runherald.cli.run_logs as run_logs
import runherald.cli.run_metrics as run_metrics
import runherald.cli.run_show as run_show
import runherald.cli.run_submit as run_submit
import runherald.cli.run_watch as run_watch

if TYPE_CHECKING:
    from runherald.cli.options import Commands

ACTIONS = (run_list, run_show, run_watch, run_metrics, run_logs, run_cancel, run_submit)


def register(commands: Commands) -> None:
    """Add `run` and what can be done with runs."""
    parser = commands.add_parser("run", help="list, show, watch, cancel, submit runs", description="Runs.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for action in ACTIONS:
        action.register(actions)
