"""Two copies of a table compared within the database: which rows differ, named.

Rows are read with FINAL, as readers read them. A row's key and its other columns are hashed; the sums of the hashes of a bucket of rows
say whether the bucket is equal, and only those that are not are looked into. So memory is bounded by a bucket, whatever the table holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.select import LONG, select
from runherald.sinks.table_shape import TableShape, listed

Kind = Literal["missing", "unexpected", "changed"]

BUCKET_ROWS = 2_000_000
EXAMPLES = 10
"""How many rows of a table are named, of each kind."""
SHOWN = 200
"""How many characters of a value are shown."""


class Difference(Struct, frozen=True, kw_only=True):
    """One row, or one column of it, that is not what it should be.

    Attributes:
        key: the columns that identify the row, as text.
        kind: missing: history lacks the row; unexpected: nothing in the log makes it; changed: this column of it differs.
        column: the column that differs; empty where the whole row does.
        stored: what history holds; None where it holds nothing.
        expected: what the log makes; None where it makes nothing.
    """

    table: str
    key: Mapping[str, str]
    kind: Kind
    column: str = ""
    stored: str | None = None
    expected: str | None = None


class TableDifferences(Struct, frozen=True, kw_only=True):
    """How two copies of a table compare.

    Attributes:
        stored: how many rows history holds.
        expected: how many the log makes.
        missing, unexpected, changed: how many rows differ.
        open: how many stored rows are of records that their processor has not finished; they are not compared.
        examples: the first differences of each kind.
        skipped: why the table was not compared, if it was not.
    """

    table: str
    stored: int = 0
    expected: int = 0
    missing: int = 0
    unexpected: int = 0
    changed: int = 0
    open: int = 0
    examples: tuple[Difference, ...] = ()
    skipped: str = ""

    @property
    def count(self) -> int:
        """How many rows differ."""
        return self.missing + self.unexpected + self.changed


class _Bucket(Struct, frozen=True):
    rows: int = 0
    sum: int = 0
    open: int = 0


def compare_table(
    stored: HistoryDatabase,
    expected: HistoryDatabase,
    shape: TableShape,
    *,
    open_rows: str = "0",
    made_open: str = "0",
    by_run: bool = False,
    bucket_rows: int = BUCKET_ROWS,
) -> TableDifferences:
    """Compare a table in two databases of one server.

    Args:
        open_rows: the condition of stored rows that are not to be compared yet.
        made_open: the same of the rows that were made again.
        by_run: a run may have rows under several keys, of which readers see those of its newest version. Which others there are depends on
            where batches ended: they are not compared.
        bucket_rows: how many rows are looked into at once.
    """
    here, there = _Side(stored, shape, open_rows, by_run), _Side(expected, shape, made_open, by_run)
    ((rows,),) = select(stored, f"SELECT greatest({here.physical_rows()}, {there.physical_rows()})")
    buckets = max(1, math.ceil(rows / bucket_rows))
    ours, theirs = here.buckets(buckets), there.buckets(buckets)
    counts: dict[Kind, int] = {"missing": 0, "unexpected": 0, "changed": 0}
    examples: dict[Kind, list[str]] = {"missing": [], "unexpected": [], "changed": []}
    for bucket in sorted(ours.keys() | theirs.keys()):
        mine = ours.get(bucket, _Bucket())
        if mine == theirs.get(bucket, _Bucket()):
            continue
        for kind, count, keys in select(stored, _differing(here, there, buckets, bucket), settings=LONG):
            counts[kind] += count
            examples[kind] += keys[: EXAMPLES - len(examples[kind])]
    return TableDifferences(
        table=shape.name,
        stored=sum(each.rows for each in ours.values()),
        expected=sum(each.rows for each in theirs.values()),
        missing=counts["missing"],
        unexpected=counts["unexpected"],
        changed=counts["changed"],
        open=sum(each.open for each in ours.values()),
        examples=tuple(_named(here, there, examples)),
    )


class _Side:
    """One of the two copies, and the SQL that reads it."""

    def __init__(self, db: HistoryDatabase, shape: TableShape, open_rows: str, by_run: bool) -> None:
        self.db = db
        self.by_run = by_run
        self.shape = shape
        self.open_rows = open_rows
        self.key = f"sipHash128({listed(shape.key)})"
        self.row = f"sipHash64({', '.join((chr(39) * 2, *shape.compared.values()))})"

    def from_final(self) -> str:
        table = f"`{self.db.database}`.`{self.shape.name}`"
        seen = f"(workspace, run_id, version) IN (SELECT workspace, run_id, max(version) FROM {table} GROUP BY workspace, run_id)"  # noqa: S608
        return f"FROM {table} FINAL WHERE {seen if self.by_run else 1}"

    def physical_rows(self) -> str:
        return f"(SELECT count() FROM `{self.db.database}`.`{self.shape.name}`)"  # noqa: S608

    def bucket(self, buckets: int) -> str:
        return f"toUInt32(cityHash64({listed(self.shape.key)}) % {buckets})"

    def buckets(self, buckets: int) -> dict[int, _Bucket]:
        query = (
            f"SELECT {self.bucket(buckets)} AS bucket, count(), sum(sipHash64({self.key}, {self.row})), countIf({self.open_rows})"
            f" {self.from_final()} GROUP BY bucket"
        )
        return {bucket: _Bucket(rows, hashes, still) for bucket, rows, hashes, still in select(self.db, query, settings=LONG)}

    def rows(self, keys: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the rows of these keys, the columns as text."""
        expressions = {**{name: f"`{name}`" for name in self.shape.key}, **self.shape.compared}
        texts = ", ".join(f"toString({expression})" for expression in expressions.values())
        query = f"SELECT hex({self.key}) AS row_key, {texts} {self.from_final()} AND row_key IN {{keys:Array(String)}}"
        return {key: dict(zip(expressions, row, strict=True)) for key, *row in select(self.db, query, {"keys": list(keys)}, LONG)}


def _differing(here: _Side, there: _Side, buckets: int, bucket: int) -> str:
    """Return the query of a bucket: for each kind of difference how many rows, and the keys of the first."""
    sides = " UNION ALL ".join(
        f"SELECT {side.key} AS k, {side.row} AS r, {number} AS side, {side.open_rows} AS still {side.from_final()}"
        f" AND {side.bucket(buckets)} = {bucket}"
        for number, side in enumerate((there, here))
    )
    return (
        f"SELECT kind, count(), groupArray({EXAMPLES})(hex(k)) FROM ("  # noqa: S608
        " SELECT k, multiIf(countIf(side = 1) = 0, 'missing', countIf(side = 0) = 0, 'unexpected', 'changed') AS kind"
        f" FROM ({sides}) GROUP BY k HAVING max(still) = 0 AND (kind != 'changed' OR anyIf(r, side = 1) != anyIf(r, side = 0))"
        ") GROUP BY kind"
    )


def _named(here: _Side, there: _Side, examples: Mapping[Kind, Sequence[str]]) -> list[Difference]:
    keys = [key for found in examples.values() for key in found]
    if not keys:
        return []
    stored, expected = here.rows(keys), there.rows(keys)
    named = []
    for kind, found in examples.items():
        for row_key in found:
            mine, theirs = stored.get(row_key), expected.get(row_key)
            any_row = mine or theirs or {}
            key = {name: _shown(any_row.get(name, "")) for name in here.shape.key}
            named += [
                Difference(table=here.shape.name, key=key, kind=kind, column=column, stored=left, expected=right)
                for column, left, right in _columns(here.shape, kind, mine, theirs)
            ]
    return named


def _columns(
    shape: TableShape, kind: Kind, stored: Mapping[str, str] | None, expected: Mapping[str, str] | None
) -> list[tuple[str, str | None, str | None]]:
    if kind != "changed" or stored is None or expected is None:
        return [("", _row(shape, stored), _row(shape, expected))]
    return [(name, _shown(stored[name]), _shown(expected[name])) for name in shape.compared if stored[name] != expected[name]]


def _row(shape: TableShape, row: Mapping[str, str] | None) -> str | None:
    return None if row is None else _shown(", ".join(f"{name}={row[name]}" for name in shape.compared) or "the key alone")


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
