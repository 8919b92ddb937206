"""What ranges of offsets bring to the inserts of a flush: one insert a table, whatever partitions the rows come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from itertools import chain, pairwise

import numpy as np
from msgspec import Struct

from runherald.sinks.rows import Column, Range, TableRows


class Share(Struct, frozen=True):
    """Rows of one table that come of one range: all there are, or a part of them. There is at least one."""

    written: Range
    rows: TableRows

    @property
    def span(self) -> str:
        """What a token says of these rows: which range, how many rows of it, and for a part from which records.

        The count tells a replay that finds some runs' states stored already, and so makes fewer rows, from what was stored at first. A part
        says what it is a part of, since the same offsets in a smaller range may have become other rows.
        """
        whole = f"{self.written.span}#{len(self.rows)}{self.rows.made and f'@{self.rows.made}'}"
        complete = next(rows for rows in self.written.tables if rows.table == self.rows.table)
        return whole if len(self.rows) == len(complete) else f"{whole}/{self.rows.first}-{self.rows.last}"


def by_table(ranges: Sequence[Range]) -> Iterator[list[Share]]:
    """Give the shares of each table that has rows, in an order of the tables that is that of every range.

    Raises:
        graphlib.CycleError: two ranges have their tables in different orders.
    """
    for table in _order(ranges):
        shares = [Share(written, rows) for written in ranges for rows in written.tables if rows.table == table and len(rows)]
        if shares:
            yield shares


def joined(tables: Sequence[TableRows]) -> dict[str, Column]:
    """Return the columns of several rows of one table, one after the other."""
    if len(tables) == 1:
        return dict(tables[0].columns)
    return {name: _joined([rows.columns[name] for rows in tables]) for name in tables[0].columns}


def halves(shares: Sequence[Share]) -> tuple[list[Share], list[Share]] | None:
    """Return the shares of the first half of the ranges and those of the second, or of the one range's records; None for one record."""
    if len(shares) > 1:
        cut = len(shares) // 2
        return list(shares[:cut]), list(shares[cut:])
    (share,) = shares
    if share.rows.first == share.rows.last:
        return None
    first, second = share.rows.halves()
    return [Share(share.written, first)], [Share(share.written, second)]


def _order(ranges: Sequence[Range]) -> Iterator[str]:
    """Some leave out tables for which they have no rows."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for written in ranges:
        names = [rows.table for rows in written.tables]
        for name in names:
            sorter.add(name)
        for before, after in pairwise(names):
            sorter.add(after, before)
    return iter(tuple(sorter.static_order()))


def _joined(columns: Sequence[Column]) -> Column:
    if all(isinstance(column, np.ndarray) for column in columns):
        return np.concatenate(columns)
    return list(chain.from_iterable(columns))
