"""The schema: applied once, in order, by whoever comes first; and what users see of it is what the documentation says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runherald.errors import Unreachable
from runherald.sinks import migrate as schema
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.guard.views import USER_VIEWS
from runherald.sinks.migrate import Migration, SchemaMismatch, migrate, migrations, pending
from runherald.sinks.running_inserts import wait_for_running_inserts
from tests.server_process import wait_until

WITH_VIEW = Migration(
    "9001_with_view",
    (
        "CREATE TABLE IF NOT EXISTS $database.ends $on_cluster (workspace String, run_id String, status String, version UInt64)"
        " ENGINE = ${replicated}ReplacingMergeTree(version) ORDER BY (workspace, run_id)",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS $database.ends_feed $on_cluster TO $database.ends AS"
        " SELECT workspace, run_id, status, version FROM $database.run_state",
        "-- The runs that were there before.\nINSERT INTO $database.ends (workspace, run_id, status, version)\n"
        "SELECT workspace, run_id, status, version FROM $database.run_state",
    ),
    "digest",
)
RUNNING_INSERT = "SELECT query_id FROM system.processes WHERE query_kind = 'Insert' AND current_database = currentDatabase()"
SCHEMA_PAGE = Path(__file__).parents[2] / "docs" / "schema.md"


def test_migrating_again_applies_nothing(history_database: HistoryDatabase) -> None:
    assert migrate(history_database) == [migration.name for migration in migrations()]
    assert migrate(history_database) == []


def test_a_migration_that_was_cut_off_is_completed(history_database: HistoryDatabase) -> None:
    migrate(history_database)
    client = history_database.client()
    client.command("TRUNCATE TABLE schema_migrations")
    client.command("DROP TABLE log_lines")
    client.command("DROP VIEW logs")

    assert migrate(history_database) == [migration.name for migration in migrations()]
    assert client.command("SELECT count() FROM logs") == 0


def test_two_may_migrate_at_once(history_database: HistoryDatabase) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(migrate, history_database) for _ in range(2)]:
            done.result()

    applied = history_database.client().query("SELECT name FROM schema_migrations FINAL ORDER BY name").result_rows
    assert [name for (name,) in applied] == [migration.name for migration in migrations()]


def test_a_view_that_a_migration_makes_misses_nothing_of_inserts_that_are_under_way(
    history_database: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(history_database)
    released = migrations()
    monkeypatch.setattr(schema, "migrations", lambda: [*released, WITH_VIEW])
    client = history_database.client()
    with ThreadPoolExecutor(1) as pool:
        # The view is made while the insert runs, which without any waiting would end long after the copy.
        insert = pool.submit(_insert_slowly, history_database)
        wait_until("the insert to run", lambda: client.query(RUNNING_INSERT).result_rows, 30)
        assert migrate(history_database) == [WITH_VIEW.name]
        insert.result()
    assert client.query("SELECT run_id, status FROM ends FINAL").result_rows == [("slow", "Running")]


def test_an_insert_that_does_not_end_is_named(history_database: HistoryDatabase) -> None:
    migrate(history_database)
    client = history_database.client()
    seconds = itertools.count(step=10.0)
    with ThreadPoolExecutor(1) as pool:
        insert = pool.submit(_insert_slowly, history_database)
        wait_until("the insert to run", lambda: client.query(RUNNING_INSERT).result_rows, 30)
        [(query_id,)] = client.query(RUNNING_INSERT).result_rows
        with pytest.raises(Unreachable, match=rf"under way for 15 s \(query_id {query_id}\).*migrate again"):
            wait_for_running_inserts(
                client, history_database.database, bound_seconds=15.0, sleep=lambda _seconds: None, now=lambda: next(seconds)
            )
        insert.result()


def _insert_slowly(history: HistoryDatabase) -> None:
    client = history.new_client()
    client.command(
        "INSERT INTO run_state (workspace, run_id, version, status) SELECT 'default', 'slow', 1 + sleep(3), 'Running'"  # the most it takes
    )
    client.close()


def test_a_migration_applied_in_another_form_is_refused() -> None:
    first = migrations()[0]

    with pytest.raises(SchemaMismatch, match=first.name):
        list(pending({first.name: "of another version"}))


def test_numbers_of_migrations_leave_no_gap() -> None:
    assert [migration.name[:4] for migration in migrations()] == [f"{number:04}" for number in range(1, len(migrations()) + 1)]


def test_no_table_has_nullable_columns_or_local_times(history_database: HistoryDatabase) -> None:
    migrate(history_database)
    columns = history_database.client().query(
        "SELECT table, name, type FROM system.columns INNER JOIN system.tables USING (database, table)"
        " WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    )
    assert columns.result_rows
    for table, name, kind in columns.result_rows:
        assert "Nullable" not in kind, f"{table}.{name}"
        assert "DateTime" not in kind or "'UTC'" in kind, f"{table}.{name}"


def test_every_table_remembers_insert_tokens(history_database: HistoryDatabase) -> None:
    migrate(history_database)
    forgetful = history_database.client().query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
        " AND name NOT IN ('schema_migrations') AND create_table_query NOT LIKE '%non_replicated_deduplication_window = 10000%'"
    )
    assert forgetful.result_rows == []


def test_statements_for_a_cluster_are_replicated() -> None:
    for migration in migrations():
        for statement in migration.statements:
            # Rows go in on one server and are replicated; tables and views must be made on each.
            assert "$on_cluster" in statement or re.search(r"^INSERT INTO ", statement, re.MULTILINE), statement[:80]
            assert not re.search(r"ENGINE = (?!\$\{replicated\})", statement), statement[:80]


def test_the_documented_views_are_those_of_the_engine(history_database: HistoryDatabase) -> None:
    migrate(history_database)
    client = history_database.client()
    views = client.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'").result_rows
    engine = {
        view: [(row[0], row[1].replace("LowCardinality(String)", "String")) for row in client.query(f"DESCRIBE TABLE {view}").result_rows]
        for (view,) in views
    }
    assert engine == dict(_documented())


def test_users_may_query_documented_views_alone() -> None:
    assert set(USER_VIEWS) <= dict(_documented()).keys()


def _documented() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for section in SCHEMA_PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, _, text = section.partition("\n")
        _heading, *columns = re.findall(r"^\| (\w+) \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
        yield name, columns
