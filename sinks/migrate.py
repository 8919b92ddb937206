"""The schema of history: numbered SQL files, applied in order, each once.

A file holds statements, each after a line `-- statement`. What differs between engines is filled in: `$database`, `$on_cluster`,
`${replicated}` (prefix of the engines), `$dedup_window` (the setting that remembers insert tokens), `$definer` (whose rights views have).

Every statement may run again: two processes that migrate at once both succeed, and a migration that was cut off is completed by the next
one. A released file is never changed; a change is a new file.
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

from runherald.errors import RunheraldError
from runherald.sinks.connection import HistoryDatabase

logger = logging.getLogger(__name__)

_STATEMENT = re.compile(r"^-- statement$", re.MULTILINE)
_LEDGER = """
CREATE TABLE IF NOT EXISTS $database.schema_migrations $on_cluster
(name String, digest String, applied_time DateTime64(6, 'UTC') DEFAULT now64(6))
ENGINE = ${replicated}ReplacingMergeTree(applied_time) ORDER BY name
"""


class SchemaMismatch(RunheraldError):
    """The database was migrated by a version of runherald that this one does not follow."""


class Migration(Struct, frozen=True):
    """A numbered file. `digest` is the SHA-256 of its text."""

    name: str
    statements: tuple[str, ...]
    digest: str


def migrate(db: HistoryDatabase, *, cluster: str = "") -> list[str]:
    """Bring a database's schema up to date and return the names of what was applied.

    With `cluster`, tables are replicated and every statement runs on that cluster.

    Raises:
        SchemaMismatch: an applied migration is not the one of this version.
    """
    client = db.client()
    values = _values(client, db.database, cluster)
    if cluster:  # the connection made the database on its own server
        client.command(Template("CREATE DATABASE IF NOT EXISTS $database $on_cluster").substitute(values))
    client.command(Template(_LEDGER).substitute(values))
    known = _applied(client, db.database)
    applied = []
    for migration in pending(known):
        for statement in migration.statements:
            client.command(Template(statement).substitute(values))
        client.insert(f"{values['database']}.schema_migrations", [[migration.name, migration.digest]], column_names=["name", "digest"])
        logger.info("schema migrated database=%s migration=%s", db.database, migration.name)
        applied.append(migration.name)
    return applied


def unapplied(db: HistoryDatabase) -> list[str]:
    """Return the names of the migrations that a database lacks; changes nothing.

    Raises:
        SchemaMismatch: an applied migration is not the one of this version.
    """
    client = db.client()
    known = _applied(client, db.database) if client.command("EXISTS TABLE schema_migrations") else {}
    return [migration.name for migration in pending(known)]


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


def migrations() -> Sequence[Migration]:
    """Return the migrations of this version, in order."""
    folder = resources.files("runherald.sinks") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [_parse(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")) for file in files]


def _parse(name: str, text: str) -> Migration:
    _, *statements = _STATEMENT.split(text)
    return Migration(name, tuple(statement.strip() for statement in statements), hashlib.sha256(text.encode()).hexdigest())


def _values(client: Client, database: str, cluster: str) -> dict[str, str]:
    return {
        "database": _quoted(database),
        "on_cluster": f"ON CLUSTER {_quoted(cluster)}" if cluster else "",
        "replicated": "Replicated" if cluster else "",
        "dedup_window": "replicated_deduplication_window" if cluster else "non_replicated_deduplication_window",
        "definer": _quoted(str(client.command("SELECT currentUser()"))),
    }


def _applied(client: Client, database: str) -> dict[str, str]:
    rows = client.query("SELECT name, digest FROM {database:Identifier}.schema_migrations FINAL", {"database": database}).result_rows
    return {str(name): str(digest) for name, digest in rows}


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
