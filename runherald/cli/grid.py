"""Tables for people, drawn by rich: with colour and to the width of a terminal, plain and whole in a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

from msgspec import Struct
from msgspec.structs import replace

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


_GAP = 2
_LEAST = 6
"""What is left of a column that is cut."""
_NAMED = 5


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

    terminal = out.isatty()
    screen = Console(file=out).width if terminal else _PIPE_WIDTH
    for index, grid in enumerate(grids):
        shown = fit(grid, screen)
        # Wider than the terminal only when not even the columns that are kept fit: then lines wrap, and nothing is lost.
        width = max(screen, sum(_widths(shown)) + _GAP * len(shown.heads))
        shown = replace(shown, note="\n".join(filter(None, (grid.note, _left_out(grid, shown)))))
        console = Console(file=out, highlight=False, width=width)
        with console.capture() as captured:
            if index:
                console.print()
            _draw(shown, console)
        drawn = captured.get()
        out.write(drawn if terminal else "\n".join(line.rstrip() for line in drawn.split("\n")))


def fit(grid: Grid, width: int) -> Grid:
    """Return a table that fits: columns that may be cut are, the last ones first, and left out where not even that is enough."""
    widths = _widths(grid)
    cuttable = [index for index, head in enumerate(grid.heads) if not head.keep]
    surplus = sum(widths) + _GAP * (len(widths) - 1) - width
    for index in reversed(cuttable):
        cut = max(0, min(surplus, widths[index] - _LEAST))
        widths[index] -= cut
        surplus -= cut
    if surplus > 0 and cuttable:
        last = cuttable[-1]
        rows = [[*row[:last], *row[last + 1 :]] for row in grid.rows]
        return fit(replace(grid, heads=[*grid.heads[:last], *grid.heads[last + 1 :]], rows=rows), width)
    cells = [[_cut(cell, widths[index]) for index, cell in enumerate(row)] for row in grid.rows] if grid.heads else grid.rows
    return replace(grid, rows=cells, heads=[replace(head, name=_cut(head.name, widths[index])) for index, head in enumerate(grid.heads)])


def _left_out(grid: Grid, shown: Grid) -> str:
    """Return which columns `fit` gave up, as a line for people; they are the last of those that may be cut."""
    count = len(grid.heads) - len(shown.heads)
    if not count:
        return ""
    names = [head.name for head in grid.heads if not head.keep][-count:]
    said = ", ".join(names[:_NAMED]) + (f" and {count - _NAMED} more" if count > _NAMED else "")
    return f"no room for {said}; -o json has all"


def _widths(grid: Grid) -> list[int]:
    from rich.cells import cell_len

    return [max(cell_len(head.name), *(cell_len(_one_line(row[index])) for row in grid.rows), 0) for index, head in enumerate(grid.heads)]


def _cut(cell: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    line = _one_line(cell)
    return line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"


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
            box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_header=any(head.name for head in grid.heads)
        )
        for head in grid.heads:
            table.add_column(head.name, no_wrap=True, justify="right" if head.right else "left")
        for row in grid.rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
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
