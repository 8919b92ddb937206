"""`runherald compute`: the compute targets of this machine, for submitted scripts."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from runherald.cli.grid import Grid, Head
from runherald.cli.options import add_config, workspace_of
from runherald.cli.output import add_output, print_answer

if TYPE_CHECKING:
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `compute` and its actions."""
    parser = commands.add_parser(
        "compute",
        help="where submitted scripts run",
        description="Compute targets: names for this machine, each with so many runs at once. `local` is always there.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="what there is", description="Say which targets there are, with what runs and waits.")
    add_output(listing)
    add_config(listing)
    listing.set_defaults(run=list_targets)

    create = actions.add_parser("create", help="make one", description="Make a target, or give one another number of slots.")
    create.add_argument("name", metavar="NAME", help="letters, digits, `_` and `-`")
    create.add_argument("--slots", type=int, default=1, metavar="N", help="how many runs at once (1)")
    add_config(create)
    create.set_defaults(run=create_target)

    delete = actions.add_parser("delete", help="forget one", description="Forget a target that was made; what is queued on it goes on.")
    delete.add_argument("name", metavar="NAME")
    add_config(delete)
    delete.set_defaults(run=delete_target)


def list_targets(args: argparse.Namespace) -> int:
    """Print the targets."""
    from runherald.producers.jobs.slots import load_of

    targets = workspace_of(args).compute_targets.values()
    rows = []
    for target in targets:
        running, waiting = load_of(target.folder)
        rows.append({"name": target.name, "slots": target.slots, "running": running, "queued": waiting})
    heads = (Head("NAME", keep=True), *(Head(name, right=True) for name in ("SLOTS", "RUNNING", "QUEUED")))
    table = [tuple(str(value) for value in row.values()) for row in rows]
    print_answer(args, rows, table=lambda: Grid(heads=heads, rows=table))
    return 0


def create_target(args: argparse.Namespace) -> int:
    """Make a target.

    Raises:
        InvalidInput: name or number cannot be taken, or the settings have the target.
    """
    target = workspace_of(args).compute_targets.create(args.name, slots=args.slots)
    sys.stdout.write(f"made {target.name} with {target.slots} slot{'' if target.slots == 1 else 's'}\n")
    return 0


def delete_target(args: argparse.Namespace) -> int:
    """Forget a target.

    Raises:
        InvalidInput: there is none of that name, it is `local`, or the settings have it.
    """
    workspace_of(args).compute_targets.delete(args.name)
    sys.stdout.write(f"deleted {args.name}\n")
    return 0
