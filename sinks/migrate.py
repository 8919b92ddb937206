"""The schema of history: numbered SQL files, applied in order, each once.

A file holds statements, each after a line `-- statement`. What differs between engines is filled in: `$database`, `$on_cluster`,
`${replicated}` (prefix of the engines), `$dedup_window` (the setting that remembers insert tokens), `$definer` (whose rights views have).

Every statement may run again: two processes that migrate at once both succeed, and a migration that was cut off is completed by the next
one. A released file is never changed; a change is a new file.

A migration only adds, so that the version before goes on writing and reading while it is applied and after. What has to go away goes in
two steps. A first migration adds what takes its place, and the code of that release uses it. A later one, with a line
`-- contract of NAME` that names the first, takes the rest away. It is applied when it is asked for, once no part is left that does not
know the first; from then on such a part is refused. docs/upgrades.md is the operator's side of this.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from string import Template

from clickhouse_connect.driver.client import Client
from msgspec import Struct

from runherald.errors import InvalidInput
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import copied_whole
from runherald.sinks.running_inserts import wait_for_running_inserts

logger = logging.getLogger(__name__)

_STATEMENT = re.compile(r"^-- statement$", re.MULTILINE)
_CONTRACT = re.compile(r"^-- contract of (\w+)$", re.MULTILINE)
_COPIES = re.compile(r"^INSERT INTO \$database\b", re.MULTILINE)
_COPIED = re.compile(r"\b(?:FROM|JOIN) \$database\.(\w+)")
_LEDGER = """
CREATE TABLE IF NOT EXISTS $database.schema_migrations $on_cluster
(name String, digest String, applied_time DateTime64(6, 'UTC') DEFAULT now64(6))
ENGINE = ${replicated}ReplacingMergeTree(applied_time) ORDER BY name
"""
_LEDGER_REQUIRES = """
ALTER TABLE $database.schema_migrations $on_cluster
ADD COLUMN IF NOT EXISTS requires String COMMENT 'the migration that a part has to know since this one was applied'
"""


class SchemaMismatch(InvalidInput):
    """The schema is one that this version of runherald cannot work on."""


class Migration(Struct, frozen=True):
    """A numbered file.

    Attributes:
        digest: the SHA-256 of its text.
        contract_of: of one that takes away: the migration that added what took its place. A part that does not know it, stops working.
    """

    name: str
    statements: tuple[str, ...]
    digest: str
    contract_of: str = ""


class Applied(Struct, frozen=True):
    """What a database says of its schema: digests of the migrations by name, and those that a part has to know."""

    digests: dict[str, str]
    required: frozenset[str]


def migrate(db: HistoryDatabase, *, cluster: str = "", contract: bool | None = None) -> list[str]:
    """Bring a database's schema up to date and return the names of what was applied.

    With `cluster`, tables are replicated and every statement runs on that cluster. `contract`: whether to take away what only older
    versions need; if it is not said, only where the database is new, and there are none.

    Raises:
        SchemaMismatch: an applied migration is not the one of this version, or this version is too old for the schema.
        Unreachable: an insert that is under way does not end, or the disk is full.
    """
    client = db.client()
    values = _values(client, db.database, cluster)
    if cluster:  # the connection made the database on its own server
        client.command(Template("CREATE DATABASE IF NOT EXISTS $database $on_cluster").substitute(values))
    for statement in (_LEDGER, _LEDGER_REQUIRES):
        client.command(Template(statement).substitute(values))
    before = _applied(client, db.database)
    applied = []
    for migration in _pending(before):
        if migration.contract_of:
            if not (contract if contract is not None else not before.digests):
                logger.info("schema not contracted database=%s migration=%s", db.database, migration.name)
                continue
            # First of all: a part that cannot do without what goes away is refused from now on, however far this comes.
            _enter(client, values, migration, digest="")
        for statement in migration.statements:
            filled_in = Template(statement).substitute(values)
            if not _COPIES.search(statement):
                client.command(filled_in)
                continue
            _bring_together(client, db.database, values, cluster, _COPIED.findall(statement))
            with copied_whole(db):
                client.command(filled_in)
        _enter(client, values, migration, digest=migration.digest)
        logger.info("schema migrated database=%s migration=%s", db.database, migration.name)
        applied.append(migration.name)
    return applied


def unapplied(db: HistoryDatabase) -> list[str]:
    """Return the names of the migrations that this version needs and a database lacks; changes nothing.

    Raises:
        SchemaMismatch: an applied migration is not the one of this version, or this version is too old for the schema.
    """
    before = applied_migrations(db)
    missing = [migration.name for migration in _pending(before) if not migration.contract_of]
    newer = _newer(before)
    if newer:
        logger.info("schema is newer than this version, which goes on with it database=%s migrations=%s", db.database, ",".join(newer))
    return missing


def check_whole(db: HistoryDatabase) -> None:
    """Raise `SchemaMismatch` where a database has migrations that this version does not know: who makes tables anew must know all."""
    newer = _newer(applied_migrations(db))
    if newer:
        raise SchemaMismatch(
            f"history {db.url_for_humans}: the schema is newer than this version of runherald, which does not know {', '.join(newer)}; "
            "tables can be made anew by the version that knows all of it"
        )


def uncontracted(db: HistoryDatabase) -> list[str]:
    """Return the names of the migrations that only take away, and that a database lacks."""
    return [migration.name for migration in _pending(applied_migrations(db)) if migration.contract_of]


def applied_migrations(db: HistoryDatabase) -> Applied:
    """Return what a database says of its schema; changes nothing."""
    client = db.client()
    return _applied(client, db.database) if client.command("EXISTS TABLE schema_migrations") else Applied({}, frozenset())


def pending(known: dict[str, str]) -> Iterator[Migration]:
    """Yield the migrations that are not among the known ones (name to digest).

    Raises:
        SchemaMismatch: a known one has another digest.
    """
    for migration in migrations():
        digest = known.get(migration.name)
        if digest is None:
            yield migration
        elif digest != migration.digest:
            raise SchemaMismatch(
                f"migration {migration.name} was applied to this database in another form; "
                "use the version of runherald that made it, or rebuild history in a new database"
            )


def _newer(before: Applied) -> list[str]:
    return sorted(before.digests.keys() - {migration.name for migration in migrations()})


def _pending(before: Applied) -> Iterator[Migration]:
    ours = [migration.name for migration in migrations()]
    unknown = sorted(before.required.difference(ours))
    if unknown:
        raise SchemaMismatch(
            f"this version of runherald is too old for the schema: it knows migrations up to {ours[-1]}, and since the schema was "
            f"contracted a part has to know {unknown[-1]}; upgrade this part to a version that does"
        )
    return pending(before.digests)


def migrations() -> Sequence[Migration]:
    """Return the migrations of this version, in order."""
    folder = resources.files("runherald.sinks") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [_parse(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")) for file in files]


def _parse(name: str, text: str) -> Migration:
    head, *statements = _STATEMENT.split(text)
    contract = _CONTRACT.search(head)
    return Migration(
        name,
        tuple(statement.strip() for statement in statements),
        hashlib.sha256(text.encode()).hexdigest(),
        contract[1] if contract else "",
    )


def _values(client: Client, database: str, cluster: str) -> dict[str, str]:
    return {
        "database": _quoted(database),
        "on_cluster": f"ON CLUSTER {_quoted(cluster)}" if cluster else "",
        "replicated": "Replicated" if cluster else "",
        "dedup_window": "replicated_deduplication_window" if cluster else "non_replicated_deduplication_window",
        "definer": _quoted(str(client.command("SELECT currentUser()"))),
    }


def _bring_together(client: Client, database: str, values: dict[str, str], cluster: str, tables: Sequence[str]) -> None:
    """See to it that a copy of tables has all rows that views, made right before, do not get: of inserts that began without them."""
    wait_for_running_inserts(client, database, cluster=_quoted(cluster) if cluster else "")
    for table in tables if cluster else ():  # what other replicas took in
        client.command(Template(f"SYSTEM SYNC REPLICA $on_cluster $database.{_quoted(table)}").substitute(values))


def _enter(client: Client, values: dict[str, str], migration: Migration, *, digest: str) -> None:
    """Write a migration into the ledger; without a digest it is begun, not applied."""
    row = [migration.name, digest, migration.contract_of]
    client.insert(f"{values['database']}.schema_migrations", [row], column_names=["name", "digest", "requires"])


def _applied(client: Client, database: str) -> Applied:
    # COLUMNS: a ledger of before knows nothing of what is required.
    query = "SELECT name, digest, COLUMNS('^requires$') FROM {database:Identifier}.schema_migrations FINAL"
    rows = client.query(query, {"database": database}).result_rows
    return Applied({str(row[0]): str(row[1]) for row in rows if row[1]}, frozenset(str(row[2]) for row in rows if len(row) > 2 and row[2]))


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
