"""`runherald rules`: alert rules in files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runherald.cli.grid import Grid, Head
from runherald.cli.options import add_config, settings_of
from runherald.cli.output import add_output, print_answer
from runherald.errors import InvalidInput

if TYPE_CHECKING:
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `rules` and its actions."""
    parser = commands.add_parser("rules", help="check alert rules", description="Alert rules in files.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check", help="say what is wrong with rule files", description="Check rule files and print the rules in them."
    )
    check.add_argument("files", nargs="*", type=Path, metavar="FILE", help="those of the settings, if none is named")
    add_output(check)
    add_config(check)
    check.set_defaults(run=check_rules)


def check_rules(args: argparse.Namespace) -> int:
    """Print the rules of files.

    Raises:
        InvalidRule: something in them cannot be used; names file, line and key.
        InvalidInput: there is no file to check.
    """
    from runherald.alerts.rules import load_rules

    files = args.files or settings_of(args).rules
    if not files:
        raise InvalidInput("rules check: name a file, or set RUNHERALD_RULES")
    rules = list(load_rules(files))
    heads = (Head("RULE", keep=True), Head("SEVERITY", right=True), Head("RECEIVERS"), Head("WHERE"))
    table = Grid(
        heads=heads,
        rows=[(rule.name, str(int(rule.severity)), ", ".join(rule.receivers), rule.origin) for rule in rules],
        note="" if rules else "no rules",
    )
    print_answer(args, rules, table=lambda: table)
    return 0
