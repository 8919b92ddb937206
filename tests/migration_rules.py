"""What a migration may do while the version before is running: it only adds, and every statement may run again.

Two checks. One reads the statements: what is not on the list has to be a contract, a step of its own that says so. The other looks at the
schema on the engine, before and after: names stay, types only become wider, keys stay.

ClickHouse gives a column that an insert does not name its default, of the type if there is none: a new column needs no DEFAULT for old
writers. It has to be one that they can do without nevertheless, and that is for the reviewer to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import Migration

_NAME = r"\$database\.\w+( \$on_cluster)?"
_ADDS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rf"CREATE TABLE IF NOT EXISTS {_NAME}\s",
        rf"CREATE OR REPLACE VIEW {_NAME}\s",  # that it keeps its columns is seen on the engine
        rf"CREATE MATERIALIZED VIEW IF NOT EXISTS {_NAME} TO \$database\.\w+ ",
        rf"INSERT INTO {_NAME}\s.*\bSELECT\b",
    )
)
_ALTERS = tuple(
    re.compile(pattern)
    for pattern in (
        r"ADD COLUMN IF NOT EXISTS \w",
        r"ADD INDEX IF NOT EXISTS \w",
        r"ADD PROJECTION IF NOT EXISTS \w",
        r"MATERIALIZE (INDEX|PROJECTION|COLUMN) ",
        r"MODIFY COLUMN \w+ \S",  # that the type becomes wider is seen on the engine
        r"MODIFY SETTING \w",
        r"MODIFY COMMENT ",
        r"COMMENT COLUMN \w",
    )
)
_ALTER = re.compile(rf"ALTER TABLE {_NAME}\s+(?P<what>.*)", re.DOTALL)
_REMOVES = re.compile(r"\b(REMOVE|DROP|RENAME|CLEAR|DELETE|DETACH|TTL)\b")
_AGAIN = re.compile(r"\bIF (NOT )?EXISTS\b|\bOR REPLACE\b|^INSERT INTO |\bMODIFY\b|\bMATERIALIZE\b|\bCOMMENT COLUMN\b", re.MULTILINE)
_CALL = re.compile(r"(\w+)\((.*)\)$", re.DOTALL)
_SIZED = re.compile(r"(U?Int|Float)(\d+)$")


def breaks(migration: Migration) -> Iterator[str]:
    """Yield what of a migration an older version could not go on with, or could not be run again."""
    for number, statement in enumerate(migration.statements, 1):
        text = re.sub(r"^--.*$\n?", "", statement, flags=re.MULTILINE).strip()
        where = f"{migration.name}, statement {number}: {' '.join(text.split())[:80]}"
        if not _AGAIN.search(text):
            yield f"{where}: cannot run again; say IF NOT EXISTS or IF EXISTS"
        if not migration.contract_of and not _adds(text):
            yield f"{where}: takes away, or is not known to add only; put it into a migration of its own, with `-- contract of NAME`"


def _adds(text: str) -> bool:
    alter = _ALTER.match(text)
    if alter is None:
        return any(pattern.match(text) for pattern in _ADDS)
    # Commas within types and defaults part nothing that begins like a command.
    commands = [part.strip() for part in re.split(r",\s+(?=[A-Z]+ [A-Z]+ )", alter["what"])]
    return all(any(pattern.match(command) for pattern in _ALTERS) and not _REMOVES.search(command) for command in commands)


class Shape(Struct, frozen=True):
    """A table or view: its engine, its columns with their types, and what it is sorted and partitioned by."""

    engine: str
    columns: tuple[tuple[str, str], ...]
    keys: tuple[str, str]


def shapes(db: HistoryDatabase) -> Mapping[str, Shape]:
    """Return the shapes of all tables and views, by name."""
    client = db.client()
    tables = client.query(
        "SELECT name, engine, sorting_key, partition_key FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    columns = client.query(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY table, position"
    ).result_rows
    return {
        name: Shape(engine, tuple((column, kind) for table, column, kind in columns if table == name), (sorting, partition))
        for name, engine, sorting, partition in tables
    }


def losses(before: Mapping[str, Shape], after: Mapping[str, Shape]) -> Iterator[str]:
    """Yield what a schema has no more, or has otherwise than an older version knows it."""
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"{name} is gone"
            continue
        if (old.engine, old.keys) != (new.engine, new.keys):
            yield f"{name}: engine or keys were {old.engine} {old.keys}, are {new.engine} {new.keys}"
        types = dict(new.columns)
        for column, kind in old.columns:
            if column not in types:
                yield f"{name}.{column} is gone"
            elif not wider(kind, types[column]):
                yield f"{name}.{column} was {kind}, is {types[column]}"
        if old.engine == "View" and [column for column, _ in new.columns][: len(old.columns)] != [column for column, _ in old.columns]:
            yield f"{name}: its columns stand in another order; what is new stands at the end"


def wider(before: str, after: str) -> bool:
    """Say whether a column of one type takes and shows whatever one of the other did."""
    before, after = (
        kind.removeprefix("LowCardinality(").removesuffix(")") if "LowCardinality" in kind else kind for kind in (before, after)
    )
    if before == after:
        return True
    old, new = _SIZED.match(before), _SIZED.match(after)
    if old and new:
        return old[1] == new[1] and int(old[2]) <= int(new[2])
    return bool(before.startswith("Enum") and after == "String")
