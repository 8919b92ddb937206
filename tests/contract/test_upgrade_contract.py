"""Which versions work on which schema: a newer one carries an older part until what that part needs is taken away; then it is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, cast

import pytest

from runherald.cli.parts import check_schema
from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.errors import SettingsError
from runherald.sinks import migrate as schema
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.fresh_copy import FreshCopy
from runherald.sinks.migrate import Migration, SchemaMismatch, migrate, migrations, unapplied, uncontracted

RELEASED = migrations()
MORE = Migration(
    "9001_more",
    ("ALTER TABLE $database.run_outputs $on_cluster ADD COLUMN IF NOT EXISTS bytes UInt64 DEFAULT size",),
    "digest",
)
LESS = Migration("9002_less", ("ALTER TABLE $database.run_outputs $on_cluster DROP COLUMN IF EXISTS uri",), "digest", MORE.name)
LATER = Migration("9003_later", ("ALTER TABLE $database.run_outputs $on_cluster ADD COLUMN IF NOT EXISTS mood String",), "digest")
NOW = RELEASED
NEXT = [*RELEASED, MORE]
AFTER = [*RELEASED, MORE, LESS, LATER]


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes this process one of a version, by its migrations."""
    return lambda of: monkeypatch.setattr(schema, "migrations", lambda: of)


def columns(db: HistoryDatabase) -> set[str]:
    return {row[0] for row in db.client().query("DESCRIBE TABLE run_outputs").result_rows}


def test_an_older_part_goes_on_with_a_newer_schema(
    history_database: HistoryDatabase, version: Any, caplog: pytest.LogCaptureFixture
) -> None:
    version(NEXT)
    migrate(history_database)
    version(NOW)
    with caplog.at_level("INFO"):
        check_schema(history_database)
    assert "schema is newer than this version, which goes on with it" in caplog.text
    assert "migrations=9001_more" in caplog.text
    assert migrate(history_database) == []  # a job of the old version that runs again


def test_a_schema_that_is_too_old_is_said_with_what_to_do(history_database: HistoryDatabase, version: Any) -> None:
    version(NOW)
    migrate(history_database)
    version(NEXT)
    with pytest.raises(SettingsError, match=r"1 migrations are not applied \(9001_more\); run `runherald migrate"):
        check_schema(history_database)


def test_what_takes_away_waits_until_it_is_asked_for_and_stops_nobody(history_database: HistoryDatabase, version: Any) -> None:
    version(NOW)
    migrate(history_database)
    version(AFTER)

    assert migrate(history_database) == ["9001_more", "9003_later"]
    assert columns(history_database) >= {"uri", "bytes", "mood"}
    assert (unapplied(history_database), uncontracted(history_database)) == ([], ["9002_less"])
    check_schema(history_database)  # of this version
    for older in (NOW, NEXT):
        version(older)
        check_schema(history_database)

    version(AFTER)
    assert migrate(history_database, contract=True) == ["9002_less"]
    assert "uri" not in columns(history_database)
    assert uncontracted(history_database) == []


def test_a_part_that_is_too_old_is_refused_with_what_to_do(history_database: HistoryDatabase, version: Any) -> None:
    version(AFTER)
    migrate(history_database)  # new: there is no older part
    assert "uri" not in columns(history_database)

    version(NEXT)
    check_schema(history_database)
    version(NOW)
    for refused in (check_schema, migrate):
        with pytest.raises(
            SchemaMismatch, match=rf"too old for the schema: .*up to {NOW[-1].name}, .*know 9001_more; upgrade this part"
        ) as said:
            refused(history_database)
        assert said.value.exit_status == 2


def test_a_contract_that_is_cut_off_refuses_old_parts_and_is_completed(history_database: HistoryDatabase, version: Any) -> None:
    version(NEXT)
    migrate(history_database)
    version(AFTER)
    with pytest.raises(InterruptedError):
        migrate(cast(HistoryDatabase, _DiesAtDrop(history_database)), contract=True)

    assert uncontracted(history_database) == ["9002_less"]
    version(NOW)
    with pytest.raises(SchemaMismatch):
        check_schema(history_database)
    version(AFTER)
    assert migrate(history_database, contract=True) == ["9002_less", "9003_later"]


class _DiesAtDrop:
    def __init__(self, db: HistoryDatabase) -> None:
        self._client = db.client()
        self.database = db.database

    def client(self) -> _DiesAtDrop:
        return self

    def command(self, text: str, *args: Any, **options: Any) -> object:
        if "DROP" in text:
            raise InterruptedError
        return self._client.command(text, *args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_an_older_version_makes_no_tables_anew(history_database: HistoryDatabase, version: Any) -> None:
    version(NEXT)
    migrate(history_database)
    FreshCopy(history_database).close()
    version(NOW)
    with pytest.raises(SchemaMismatch, match="newer than this version of runherald, which does not know 9001_more"):
        FreshCopy(history_database)
    version(NEXT)
    fresh = FreshCopy(history_database)
    fresh.drop()
    fresh.close()


def test_a_ledger_of_before_is_read_and_completed(history_database: HistoryDatabase, version: Any) -> None:
    migrate(history_database)
    history_database.client().command("ALTER TABLE schema_migrations DROP COLUMN requires")
    check_schema(history_database)
    version(NEXT)
    assert unapplied(history_database) == ["9001_more"]
    assert migrate(history_database) == ["9001_more"]
    # As a version of before enters what it applies.
    history_database.client().insert("schema_migrations", [["9003_later", "digest"]], column_names=["name", "digest"])
    version(AFTER)
    assert unapplied(history_database) == []


def test_the_command_line_says_it_and_ends_with_2(clickhouse: LocalClickHouse) -> None:
    database = "of_another_version"
    where = ("--history", clickhouse.url)
    before = runherald("worker", "--log", "kafka://127.0.0.1:1", *where, database=database)
    assert (before.returncode, "migrations are not applied" in before.stderr) == (2, True)

    done = runherald("migrate", *where, "-o", "json", database=database)
    assert json.loads(done.stdout)["left"] == []
    history = HistoryDatabase.open(clickhouse.url, database=database)
    try:
        row = ["9002_less", "digest", "9001_more"]
        history.client().insert("schema_migrations", [row], column_names=["name", "digest", "requires"])
        for command in (("worker", "--log", "kafka://127.0.0.1:1"), ("migrate",)):
            refused = runherald(*command, *where, database=database)
            assert refused.returncode == 2
            assert "too old for the schema" in refused.stderr
            assert "Traceback" not in refused.stderr
    finally:
        history.client().command(f"DROP DATABASE {database}")
        history.close()


def runherald(*arguments: str, database: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runherald", *arguments]
    return subprocess.run(
        command, env={**os.environ, "RUNHERALD_DATABASE": database}, capture_output=True, text=True, timeout=60, check=False
    )
