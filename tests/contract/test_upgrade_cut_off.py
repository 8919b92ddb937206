"""A migration that is killed, between any two statements, is completed by the next one; whoever comes at once does no harm."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.sinks import migrate as schema
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.embedded import EmbeddedEngine
from runherald.sinks.migrate import Migration, migrate, migrations
from tests.contract.test_upgrade_schema import RELEASED, at, counts, unfed
from tests.fixtures.chdb import fresh_database
from tests.migration_rules import shapes
from tests.schema_statements import FOLDER, Insert, recorded

KILLED = """
import os, signal, sys
from runherald.sinks import migrate as schema
from runherald.sinks.connection import HistoryDatabase
from clickhouse_connect.driver.client import Client

db = HistoryDatabase.open(f"chdb://{sys.argv[1]}", database="killed")
released, migration, statements = schema.migrations(), int(sys.argv[2]), int(sys.argv[3])
schema.migrations = lambda: released[:migration]
schema.migrate(db)
client, done, command = db.client(), 0, db.client().command

def counted(text, *args, **options):
    global done
    answer = command(text, *args, **options)
    done += "schema_migrations" not in text and "currentUser" not in text
    if done == statements:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

schema.migrations = lambda: released[:migration + 1]
client.command = counted
schema.migrate(db)
"""


class Killed(BaseException):
    """The process dies here."""


class _Dying:
    """Stands in for a `HistoryDatabase` whose process dies after so many of a migration's statements."""

    def __init__(self, db: HistoryDatabase, statements: int) -> None:
        self._db = db
        self._left = statements

    def client(self) -> _Dying:
        return self

    @property
    def database(self) -> str:
        return self._db.database

    @property
    def engine(self) -> EmbeddedEngine | None:
        return self._db.engine

    def command(self, text: str, *args: Any, **options: Any) -> object:
        answer = self._db.client().command(text, *args, **options)
        if "schema_migrations" not in text and "currentUser" not in text:
            self._left -= 1
            if not self._left:
                raise Killed
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db.client(), name)


def whole_schema(db: HistoryDatabase) -> dict[str, str]:
    """Return what each table and view was made with, apart from the name of its database."""
    rows = db.client().query("SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()").result_rows
    return {name: text.replace(f"{db.database}.", "") for name, text in rows}


@pytest.mark.parametrize("migration", RELEASED, ids=lambda migration: migration.name)
def test_a_migration_cut_off_after_any_statement_is_completed(
    chdb_history: HistoryDatabase, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = RELEASED.index(migration)
    with fresh_database(chdb_history) as smooth, fresh_database(chdb_history) as db:
        at(smooth, migration, monkeypatch)
        if place:
            at(db, RELEASED[place - 1], monkeypatch)
        tables = shapes(db)
        inserts = [each for each in recorded(_SET) if isinstance(each, Insert) and each.table in tables]
        for insert in inserts:
            insert.say(db)
        before = counts(db, inserts)

        monkeypatch.setattr(schema, "migrations", lambda: RELEASED[: place + 1])
        for statements in range(1, len(migration.statements) + 1):
            with pytest.raises(Killed):
                migrate(cast(HistoryDatabase, _Dying(db, statements)))
            assert migration.name in schema.unapplied(db)
        assert migrate(db) == [migration.name]

        assert whole_schema(db) == whole_schema(smooth)
        assert counts(db, inserts) == before
        assert set(unfed(db).values()) <= {0}
        assert schema.unapplied(db) == []


_SET = sorted(path.stem for path in FOLDER.glob("*.json"))[-1]


def test_the_engine_killed_within_a_migration_goes_on(tmp_path: Path) -> None:
    every_second = range(0, len(RELEASED), 2)
    for place in every_second:
        statements = (len(RELEASED[place].statements) + 1) // 2
        arguments = [sys.executable, "-c", KILLED, str(tmp_path / "history"), str(place), str(statements)]
        died = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
        assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    finish = KILLED.partition("released, migration")[0] + "print(schema.migrate(db), schema.unapplied(db), len(schema.migrations()))"
    done = subprocess.run([sys.executable, "-c", finish, str(tmp_path / "history")], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == f"{[migration.name for migration in RELEASED[every_second[-1] :]]} [] {len(RELEASED)}"


def test_several_commands_at_once_migrate_once(clickhouse: LocalClickHouse) -> None:
    database = "migrated_at_once"
    command = [sys.executable, "-m", "runherald", "migrate", "--history", clickhouse.url, "--database", database, "-o", "json"]
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False), range(3)))

    assert [run.returncode for run in runs] == [0, 0, 0], [run.stderr for run in runs]
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(again.stdout)["applied"] == []
    history = HistoryDatabase.open(clickhouse.url, database=database)
    try:
        ledger = history.client().query("SELECT name, count() FROM schema_migrations FINAL GROUP BY name ORDER BY name").result_rows
        assert list(ledger) == [(migration.name, 1) for migration in migrations()]
    finally:
        history.client().command(f"DROP DATABASE {database}")
        history.close()
