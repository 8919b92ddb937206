"""Rows on their way into history, in columns, each row knowing the record it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from runherald.records import TopicPartition

Column = Sequence[Any] | npt.NDArray[Any]


class TableRows(Struct, frozen=True):
    """Rows of one table.

    Attributes:
        columns: name to values, all of one length.
        offsets: the offset of each row's record, ascending.
        made: what tells the rows from others that the same records became at another time; empty where they always become the same.
    """

    table: str
    columns: Mapping[str, Column]
    offsets: npt.NDArray[np.uint64]
    made: str = ""

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def first(self) -> int:
        """The offset of the first row's record."""
        return int(self.offsets[0])

    @property
    def last(self) -> int:
        """The offset of the last row's record."""
        return int(self.offsets[-1])

    def halves(self) -> tuple[TableRows, TableRows]:
        """Return the rows of the first half of the records and those of the second. There are at least two records."""
        distinct = np.unique(self.offsets)
        cut = int(np.searchsorted(self.offsets, distinct[len(distinct) // 2]))
        return self._slice(slice(None, cut)), self._slice(slice(cut, None))

    def _slice(self, part: slice) -> TableRows:
        return TableRows(self.table, {name: column[part] for name, column in self.columns.items()}, self.offsets[part], self.made)


class Range(Struct, frozen=True):
    """What the records of a partition from offset `first` to `last` became.

    Attributes:
        tables: rows in the order in which they are written.
        dead: how many of the records are dead letters already.
    """

    partition: TopicPartition
    first: int
    last: int
    tables: tuple[TableRows, ...]
    dead: int = 0

    @property
    def span(self) -> str:
        """The range as part of a token."""
        return f"{self.partition.topic}:{self.partition.partition}:{self.first}-{self.last}"

    def __contains__(self, record: BadRecord) -> bool:
        return record.partition == self.partition and self.first <= record.offset <= self.last


class BadRecord(Struct, frozen=True):
    """A record one of whose rows the database does not take; the reason names the table and holds no value."""

    partition: TopicPartition
    offset: int
    reason: str


def table_rows(table: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> TableRows:
    """Return rows given one by one as columns; one of the names is `_offset`, and the rows are in its order."""
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return TableRows(table, dict(zip(names, columns, strict=True)), np.array(columns[names.index("_offset")], dtype=np.uint64))
