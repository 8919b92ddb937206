"""One insert a table: in the order of every range, and in halves that keep records whole."""

from __future__ import annotations

from graphlib import CycleError

import numpy as np
import pytest

from runherald.records import TopicPartition
from runherald.sinks.rows import Range, TableRows, table_rows
from runherald.sinks.shares import Share, by_table, halves, joined


def table(name: str, *offsets: int) -> TableRows:
    return table_rows(name, ("_offset",), [(offset,) for offset in offsets])


def range_of(partition: int, *tables: TableRows) -> Range:
    return Range(TopicPartition("t", partition), 0, 9, tables)


def spans(shares: list[Share]) -> list[str]:
    return [share.span for share in shares]


def test_tables_keep_the_order_of_each_range_that_has_them() -> None:
    ranges = [range_of(0, table("b", 1), table("c", 1)), range_of(1), range_of(2, table("a", 1), table("b", 2)), range_of(3, table("a"))]

    found = list(by_table(ranges))

    assert [shares[0].rows.table for shares in found] == ["a", "b", "c"]
    assert [spans(shares) for shares in found] == [["t:2:0-9#1"], ["t:0:0-9#1", "t:2:0-9#1"], ["t:0:0-9#1"]]


def test_tables_in_two_orders_are_refused() -> None:
    with pytest.raises(CycleError):
        list(by_table([range_of(0, table("a", 1), table("b", 1)), range_of(1, table("b", 1), table("a", 1))]))


def test_halves_are_of_ranges_first_and_then_of_records() -> None:
    (shares,) = by_table([range_of(0, table("a", 1, 1, 2)), range_of(1, table("a", 3)), range_of(2, table("a", 4))])

    left, right = halves(shares) or ([], [])
    assert (spans(left), spans(right)) == (["t:0:0-9#3"], ["t:1:0-9#1", "t:2:0-9#1"])
    first, second = halves(left) or ([], [])
    assert (spans(first), spans(second)) == (["t:0:0-9#2/1-1"], ["t:0:0-9#1/2-2"])
    assert halves(first) is None


def test_columns_are_joined_as_what_they_are() -> None:
    one = TableRows("t", {"text": ("a", "b"), "value": np.array([1.0, 2.0])}, np.array([1, 2], dtype=np.uint64))
    two = TableRows("t", {"text": ["c"], "value": np.array([3.0])}, np.array([1], dtype=np.uint64))

    columns = joined([one, two])

    assert columns["text"] == ["a", "b", "c"]
    assert isinstance(columns["value"], np.ndarray)
    assert columns["value"].tolist() == [1.0, 2.0, 3.0]
    assert joined([one]) == one.columns
