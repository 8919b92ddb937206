"""What a table of history is made of, as the engine says it: what identifies a row, and what of a row can be compared."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from runherald.errors import InvalidInput
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.select import select

PLACE = ("_topic", "_partition", "_offset")
_NEVER = ("_ingested_at",)
_VERSION = re.compile(r"\w*ReplacingMergeTree\((?:.*, )?(\w+)\)")
_COLUMNS = """
SELECT name, type, is_in_sorting_key, default_kind FROM system.columns
WHERE database = {database:String} AND table = {table:String} ORDER BY position
"""
_ENGINE = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}"


class TableShape(Struct, frozen=True):
    """A table.

    Attributes:
        key: the columns that identify a row.
        columns: all that are stored.
        compared: the expressions, by column, that two copies of a row agree in. Where no version says which of the rows of a key stays,
            the place in the log that it came from is left out: it may be that of any copy.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    compared: dict[str, str]

    def has(self, *columns: str) -> bool:
        """Say whether the table has these columns."""
        return set(columns) <= set(self.columns)


def shape_of(history: HistoryDatabase, table: str) -> TableShape:
    """Return the shape of a table.

    Raises:
        InvalidInput: there is no such table.
    """
    where = {"database": history.database, "table": table}
    described = select(history, _COLUMNS, where)
    if not described:
        raise InvalidInput(f"history {history.url_for_humans}: {history.database} has no table {table}; run `runherald migrate`")
    ((engine,),) = select(history, _ENGINE, where)
    found = _VERSION.match(engine)
    names = [name for name, *_ in described]
    versioned = found is not None and found[1] in names
    left_out = _NEVER if versioned else (*_NEVER, *PLACE)
    stored = [(name, kind, in_key) for name, kind, in_key, default in described if default not in ("MATERIALIZED", "ALIAS", "EPHEMERAL")]
    key = tuple(name for name, _, in_key in stored if in_key)
    return TableShape(
        name=table,
        key=key,
        columns=tuple(name for name, *_ in stored),
        compared={name: _comparable(name, kind) for name, kind, _ in stored if name not in key and name not in left_out},
    )


def listed(names: Sequence[str]) -> str:
    """Return names of columns as SQL."""
    return ", ".join(f"`{name}`" for name in names)


def _comparable(name: str, kind: str) -> str:
    return f"finalizeAggregation(`{name}`)" if kind.startswith("AggregateFunction(") else f"`{name}`"
