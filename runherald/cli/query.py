"""`runherald query`: SQL over history."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runherald.cli.grid import Grid, Head, grid_of
from runherald.cli.options import add_server, client_of
from runherald.cli.output import add_output, print_answer
from runherald.errors import InvalidInput

if TYPE_CHECKING:
    from runherald.api import QueryAnswer
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `query`."""
    parser = commands.add_parser(
        "query",
        help="SQL over history",
        description="Run a read-only SQL query over the views of history: runs, transitions, metrics, params, tags, logs, outputs, alerts, "
        "notices, and those with Azure Monitor's names, such as AmlRunStatusChangedEvent.",
    )
    parser.add_argument("sql", metavar="SQL", help="the query, or - to read it from the standard input")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=query)


def query(args: argparse.Namespace) -> int:
    """Print the rows of a query.

    Raises:
        InvalidInput: there is no query, or the server refuses it.
    """
    sql = sys.stdin.read() if args.sql == "-" else args.sql
    if not sql.strip():
        raise InvalidInput('query: is empty; write one such as "SELECT * FROM runs LIMIT 10"')
    with client_of(args) as client:
        answer = client.query(sql)
    print_answer(args, objects(answer), table=lambda: _grid(answer))
    if answer.truncated:
        sys.stderr.write(f"runherald: the answer was cut after {len(answer.rows)} rows; add a LIMIT, or ask for less\n")
    return 0


def objects(answer: QueryAnswer) -> list[dict[str, Any]]:
    """Return the rows as objects. SQL may name two columns alike: the later ones get a number."""
    names = _names([column.name for column in answer.columns])
    return [dict(zip(names, row, strict=True)) for row in answer.rows]


def _names(columns: Sequence[str]) -> list[str]:
    names: list[str] = []
    for column in columns:
        name, count = column, 2
        while name in names:
            name, count = f"{column}_{count}", count + 1
        names.append(name)
    return names


def _grid(answer: QueryAnswer) -> Grid:
    heads = [Head(column.name, right=_is_number(column.type)) for column in answer.columns]
    rows = grid_of(objects(answer)).rows if answer.rows else []
    return Grid(heads=heads, rows=rows, note="" if rows else "no rows")


def _is_number(kind: str) -> bool:
    return kind.removeprefix("LowCardinality(").removeprefix("Nullable(").startswith(("Int", "UInt", "Float", "Decimal"))
