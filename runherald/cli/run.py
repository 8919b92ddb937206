"""`runherald run`: runs as history knows them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from runherald.cli import run_cancel, run_list, run_logs, run_metrics, run_show, run_watch

if TYPE_CHECKING:
    from runherald.cli.options import Commands

ACTIONS = (run_list, run_show, run_watch, run_metrics, run_logs, run_cancel)


def register(commands: Commands) -> None:
    """Add `run` and what can be done with runs."""
    parser: argparse.ArgumentParser = commands.add_parser("run", help="list, show, watch, cancel runs", description="Runs.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for action in ACTIONS:
        action.register(actions)
