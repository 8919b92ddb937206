"""Rows know their records; a series has one id for ever."""

from __future__ import annotations

import numpy as np
import pytest

from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.series import series_id


@pytest.mark.parametrize(
    ("offsets", "left", "right"),
    [([1, 2], [1], [2]), ([1, 1, 1, 9], [1, 1, 1], [9]), ([4, 5, 5, 5, 6, 7], [4, 5, 5, 5], [6, 7]), ([1, 2, 2], [1], [2, 2])],
)
def test_halves_keep_the_rows_of_a_record_together(offsets: list[int], left: list[int], right: list[int]) -> None:
    rows = TableRows("t", {"value": [f"v{offset}" for offset in offsets], "_offset": np.array(offsets)}, np.array(offsets, dtype=np.uint64))

    first, second = rows.halves()

    assert (list(first.offsets), list(second.offsets)) == (left, right)
    assert (first.columns["value"], second.columns["value"]) == ([f"v{offset}" for offset in left], [f"v{offset}" for offset in right])


def test_rows_become_columns() -> None:
    rows = table_rows("t", ("a", "_offset"), [("x", 3), ("y", 4)])

    assert rows.columns == {"a": ("x", "y"), "_offset": (3, 4)}
    assert (len(rows), rows.first, rows.last) == (2, 3, 4)


def test_no_rows_are_no_rows() -> None:
    assert len(table_rows("t", ("a", "_offset"), [])) == 0


def test_the_id_of_a_series_stays_what_it_is() -> None:
    # Points in every database carry these numbers: another function would cut every curve in two.
    assert series_id("default", "run-1", "loss") == 57_922_271_736_513_442


def test_workspace_run_and_name_are_told_apart() -> None:
    assert len({series_id("a", "b", "c"), series_id("ab", "", "c"), series_id("a", "bc", ""), series_id("c", "b", "a")}) == 4
