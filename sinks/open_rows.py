"""Conditions, as SQL, on where in the log a row comes from."""

from __future__ import annotations

from collections.abc import Mapping

from runherald.sinks.former_log import STEP, is_former
from runherald.sinks.table_shape import TableShape


def beyond(offsets: Mapping[int, int]) -> str:
    """Return the condition of rows at or above the offset of their partition; of a partition that is not named, all."""
    return f"toInt64(_offset) >= {_of_partition(offsets)}"


def before(offsets: Mapping[int, int], value: str = "toInt64(_offset)") -> str:
    """Return the condition of rows below the offset of their partition, or another value of it; of a partition that is not named, none."""
    return f"{value} < {_of_partition(offsets)}"


def open_rows(shape: TableShape, until: Mapping[int, int], database: str, *, unfinished: bool) -> str | None:
    """Return the condition of stored rows that come of records from these offsets on, which their processor has not finished.

    A row that does not say where it comes from is open while its run is, or while its series has no finished point. None: nothing in the
    table says it, so that it can only be compared once all is finished.
    """
    if shape.has("_partition", "_offset"):
        return f"NOT ({is_former(shape)}) AND {beyond(until)}"
    if not unfinished:
        return "0"
    if shape.has("series_id"):
        return f"series_id NOT IN (SELECT series_id FROM `{database}`.metric_points WHERE _partition >= {STEP} OR NOT ({beyond(until)}))"  # noqa: S608
    if shape.has("workspace", "run_id"):
        return f"(workspace, run_id) IN (SELECT workspace, run_id FROM `{database}`.run_state FINAL WHERE version > 0 AND {beyond(until)})"  # noqa: S608
    return None


def _of_partition(offsets: Mapping[int, int]) -> str:
    numbers = ", ".join(str(number) for number in offsets)
    values = ", ".join(str(offset) for offset in offsets.values())
    # toInt64 of the lists: ClickHouse gives small numbers small types, and -1 in another than 300.
    return f"transform(toInt64(_partition), [{numbers}]::Array(Int64), [{values}]::Array(Int64), toInt64(0))" if offsets else "toInt64(0)"
