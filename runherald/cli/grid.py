"""Tables for people, drawn by rich: with colour and to the width of a terminal, plain and whole in a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

from msgspec import Struct

from runherald.cli.words import number, plain

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 10_000
"""Wide enough that nothing is cut where no terminal sets the width."""

_STYLES: Mapping[str, str] = MappingProxyType(
    {
        "Completed": "green",
        "Failed": "bold red",
        "Canceled": "yellow",
        "CancelRequested": "yellow",
        "NotResponding": "bold magenta",
        "Running": "cyan",
        "Finalizing": "cyan",
        "accepted": "green",
        "refused": "bold red",
    }
)
"""The colour of words that say how something is doing. The word is always there as well."""


class Head(Struct, frozen=True):
    """A column. `keep`: never cut (ids are copied). `right`: numbers stand under each other."""

    name: str
    keep: bool = False
    right: bool = False


class Grid(Struct, frozen=True):
    """A table: its columns, its rows as text, a title, and a line below. Without columns: lines of text."""

    heads: Sequence[Head]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""


def pairs(rows: Sequence[tuple[str, str]], title: str = "") -> Grid:
    """Return a table of names and values without a head; those without a value are left out."""
    return Grid(heads=(Head("", keep=True), Head("")), rows=[row for row in rows if row[1]], title=title)


def text(lines: Sequence[str], title: str = "") -> Grid:
    """Return lines that are shown as they are."""
    return Grid(heads=(), rows=[(line,) for line in lines], title=title)


def grid_of(data: Any) -> Grid:
    """Return a table of any data: a row an object, or a row a value."""
    items = data if isinstance(data, list) else [data]
    if items and all(isinstance(item, dict) for item in items):
        names = list(dict.fromkeys(str(name) for item in items for name in item))
        return Grid(heads=[Head(name) for name in names], rows=[[_cell(item.get(name)) for name in names] for item in items])
    return text(["\t".join(_cell(value) for value in item) if isinstance(item, list) else _cell(item) for item in items])


def show(grids: Sequence[Grid], out: TextIO) -> None:
    """Draw tables below each other."""
    from rich.console import Console

    console = Console(file=out, highlight=False, soft_wrap=False, width=None if out.isatty() else _PIPE_WIDTH)
    for index, grid in enumerate(grids):
        if index:
            console.print()
        _draw(grid, console)


def _draw(grid: Grid, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    if grid.title:
        console.print(Text(plain(grid.title), style="bold"))
    if not grid.heads:
        for row in grid.rows:
            console.print(Text(plain("  ".join(row))), soft_wrap=True)
    else:
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=any(head.name for head in grid.heads)
        )
        for index, head in enumerate(grid.heads):
            width = max((len(row[index]) for row in grid.rows), default=0) if head.keep else None
            table.add_column(head.name, no_wrap=True, overflow="ellipsis", min_width=width, justify="right" if head.right else "left")
        for row in grid.rows:
            table.add_row(*(Text(_one_line(cell), style=_STYLES.get(cell.strip(), "")) for cell in row))
        console.print(table)
    if grid.note:
        console.print(Text(plain(grid.note), style="dim"))


def _one_line(cell: str) -> str:
    return plain(cell.replace("\r\n", "\n").replace("\n", "⏎").replace("\t", " "))


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool() | dict() | list():
            import msgspec

            return msgspec.json.encode(value).decode()
        case float():
            return number(value)
        case _:
            return str(value)
