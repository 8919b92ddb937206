"""What a full disk leaves of the embedded engine's merges, and that nothing of it is lost. `make drill` fills real disks."""

from __future__ import annotations

from pathlib import Path

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import heal_tables, set_aside

SIZES = (1_000, 6_000)


def merged_table(history: HistoryDatabase) -> None:
    client = history.client()
    client.command("CREATE TABLE merged (a UInt64, b String) ENGINE = ReplacingMergeTree ORDER BY a")
    for first in range(0, SIZES[1], SIZES[0]):
        client.command(f"INSERT INTO merged SELECT number + {first}, toString(number) FROM numbers({SIZES[0]})")
    client.command("OPTIMIZE TABLE merged FINAL")


def empty_the_merge(history: HistoryDatabase) -> Path:
    """Leave of the merged part what a merge on a full disk leaves: each file, and nothing in it."""
    [(path,)] = (
        history.client()
        .query("SELECT path FROM system.parts WHERE active AND table = 'merged' AND database = currentDatabase()")
        .result_rows
    )
    for file in Path(path).iterdir():
        file.write_bytes(b"")
    return Path(path)


def counts(history: HistoryDatabase) -> tuple[int, int, int]:
    [row] = history.client().query("SELECT count(), uniqExact(a), countIf(b = '') FROM merged").result_rows
    return (row[0], row[1], row[2])


def test_a_merge_whose_files_are_empty_is_made_again_from_its_sources(history_database: HistoryDatabase) -> None:
    merged_table(history_database)
    assert heal_tables(history_database) == []
    empty_the_merge(history_database)
    assert heal_tables(history_database) == ["merged"]
    assert counts(history_database) == (SIZES[1], SIZES[1], 0)
    assert set_aside(history_database) == {"merged": 1}
    history_database.client().command("INSERT INTO merged VALUES (10000, 'x')")
    history_database.client().command("OPTIMIZE TABLE merged FINAL")
    assert heal_tables(history_database) == []
    assert counts(history_database) == (SIZES[1] + 1, SIZES[1] + 1, 0)


def test_a_part_that_is_short_of_its_size_is_damaged(history_database: HistoryDatabase) -> None:
    merged_table(history_database)
    part = empty_the_merge(history_database)
    (part / "checksums.txt").write_bytes(b"something")
    assert heal_tables(history_database) == ["merged"]
    assert counts(history_database) == (SIZES[1], SIZES[1], 0)
