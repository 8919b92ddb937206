"""The rules that a migration is held to, so that the version before works on."""

from __future__ import annotations

import pytest

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import Migration, migrate, migrations
from tests.migration_rules import breaks, losses, shapes, wider

ADDS = (
    "ALTER TABLE $database.run_state $on_cluster ADD COLUMN IF NOT EXISTS mood LowCardinality(String) DEFAULT 'calm' AFTER life",
    "ALTER TABLE $database.run_state $on_cluster ADD COLUMN IF NOT EXISTS mood Map(String, String),"
    " ADD INDEX IF NOT EXISTS by_mood mood TYPE set(4)",
    "ALTER TABLE $database.run_state $on_cluster MATERIALIZE INDEX by_mood",
    "ALTER TABLE $database.run_state $on_cluster MODIFY COLUMN attempt UInt64",
    "ALTER TABLE $database.run_state $on_cluster MODIFY SETTING merge_max_block_size = 1024",
    "CREATE OR REPLACE VIEW $database.moods $on_cluster AS SELECT 1",
    "INSERT INTO $database.moods (mood)\nSELECT 1",
)
TAKES_AWAY = (
    "DROP TABLE IF EXISTS $database.run_state $on_cluster",
    "DROP VIEW IF EXISTS $database.run_index_feed $on_cluster",
    "ALTER TABLE $database.run_state $on_cluster DROP COLUMN IF EXISTS mood",
    "ALTER TABLE $database.run_state $on_cluster ADD COLUMN IF NOT EXISTS mood String, DROP COLUMN IF EXISTS life",
    "ALTER TABLE $database.run_state $on_cluster RENAME COLUMN IF EXISTS life TO mood",
    "ALTER TABLE $database.run_state $on_cluster CLEAR COLUMN IF EXISTS life",
    "ALTER TABLE $database.run_state $on_cluster MODIFY COLUMN life REMOVE DEFAULT",
    "ALTER TABLE $database.run_state $on_cluster MODIFY TTL time + INTERVAL 1 DAY",
    "ALTER TABLE $database.run_state $on_cluster MODIFY ORDER BY (workspace, run_id, life)",
    "ALTER TABLE $database.run_state $on_cluster DELETE WHERE 1 -- IF EXISTS",
    "EXCHANGE TABLES $database.run_state AND $database.former -- IF EXISTS",
    "RENAME TABLE IF EXISTS $database.run_state TO $database.former",
    "TRUNCATE TABLE IF EXISTS $database.run_state $on_cluster",
    "CREATE OR REPLACE TABLE $database.run_state $on_cluster (a String) ENGINE = ${replicated}MergeTree ORDER BY a",
)
ONCE = (
    "CREATE TABLE $database.moods $on_cluster (a String) ENGINE = ${replicated}MergeTree ORDER BY a",
    "ALTER TABLE $database.run_state $on_cluster ADD COLUMN mood String",
    "ALTER TABLE $database.run_state $on_cluster DROP COLUMN mood",
)


def step(*statements: str, contract_of: str = "") -> Migration:
    return Migration("0042_step", statements, "digest", contract_of)


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_a_migration_only_adds_or_says_so(migration: Migration) -> None:
    assert list(breaks(migration)) == []


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_a_contract_names_a_migration_of_before(migration: Migration) -> None:
    before = [each.name for each in migrations() if each.name < migration.name and not each.contract_of]
    assert not migration.contract_of or migration.contract_of in before


@pytest.mark.parametrize("statement", ADDS)
def test_what_adds_is_taken(statement: str) -> None:
    assert list(breaks(step(statement))) == []


@pytest.mark.parametrize("statement", TAKES_AWAY)
def test_what_takes_away_is_a_contract_of_its_own(statement: str) -> None:
    (line,) = [line for line in breaks(step("INSERT INTO $database.a (b)\nSELECT 1", statement)) if "takes away" in line]
    assert "statement 2" in line
    assert not [line for line in breaks(step(statement, contract_of="0041_more")) if "takes away" in line]


@pytest.mark.parametrize("statement", ONCE)
def test_what_cannot_run_again_is_refused_even_of_a_contract(statement: str) -> None:
    assert any("cannot run again" in line for line in breaks(step(statement, contract_of="0041_more")))


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [
        ("UInt32", "UInt64", True),
        ("UInt64", "UInt32", False),
        ("UInt32", "Int64", False),
        ("Float64", "Float32", False),
        ("LowCardinality(String)", "String", True),
        ("String", "LowCardinality(String)", True),
        ("Enum8('a' = 1)", "String", True),
        ("String", "UInt64", False),
        ("DateTime64(6, 'UTC')", "DateTime64(3, 'UTC')", False),
        ("Map(LowCardinality(String), String)", "Map(LowCardinality(String), String)", True),
    ],
)
def test_types_only_become_wider(before: str, after: str, may: bool) -> None:
    assert wider(before, after) is may


def test_what_the_engine_has_no_more_is_said(history_database: HistoryDatabase) -> None:
    migrate(history_database)
    client, before = history_database.client(), shapes(history_database)
    for statement in (
        "DROP VIEW run_index_feed",
        "ALTER TABLE run_outputs MODIFY COLUMN size UInt32",
        "ALTER TABLE run_params DROP COLUMN value_num",
        "CREATE OR REPLACE VIEW outputs AS SELECT path, run_id, experiment, workspace, size, sha256, content_type, uri, time, 1 AS more"
        " FROM run_outputs CROSS JOIN (SELECT '' AS experiment) AS e",
        "ALTER TABLE run_events ADD COLUMN mood String",
    ):
        client.command(statement)
    found = list(losses(before, shapes(history_database)))
    assert sorted(line.partition(" ")[0].rstrip(":") for line in found) == [
        "outputs",
        "outputs.size",
        "run_index_feed",
        "run_outputs.size",
        "run_params.value_num",
    ]
