"""Rows that come of a log that is gone: marked as such, so that those of the log that took its place stand above them.

Offsets of the new log begin anew. Where a version says which row of a key stays, that of a former row is 0, below every other. Where none
does, the number of the partition is raised by 2²⁰ for each log that has gone since, so that the events can still be read in their order.
"""

from __future__ import annotations

from collections.abc import Mapping

from runherald.sinks.table_shape import TableShape

STEP = 1 << 20
"""Above the number of partitions of any topic."""

_BEGINNING = {"version": "toUInt64(0)", "_offset": "toUInt64(0)"}


def marks(shape: TableShape) -> Mapping[str, str]:
    """Return the columns, as SQL, that make rows those of a former log."""
    if shape.has("version"):
        return _BEGINNING
    return {"_partition": f"toUInt32(_partition + {STEP})"} if shape.has("_partition") else {}


def marks_of_replayed() -> Mapping[str, str]:
    """Return what makes versioned rows former that were made of a former log's partition."""
    return {**_BEGINNING, "_partition": f"toUInt32(_partition % {STEP})"}


def is_former(shape: TableShape) -> str:
    """Return the condition of rows of a former log."""
    if shape.has("version"):
        return "version = 0"
    return f"_partition >= {STEP}" if shape.has("_partition") else "0"
