"""What a full disk leaves of the embedded engine's merges, and that nothing of it is lost. `make drill` fills real disks."""

from __future__ import annotations

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import LOW_BYTES, DamagedPartsWatch, damages, heal_tables, set_aside
from tests.fixtures.emptied_parts import empty_parts
from tests.server_process import wait_until

SIZES = (1_000, 6_000)


def merged_table(history: HistoryDatabase) -> None:
    client = history.client()
    client.command("CREATE TABLE merged (a UInt64, b String) ENGINE = ReplacingMergeTree ORDER BY a")
    for first in range(0, SIZES[1], SIZES[0]):
        client.command(f"INSERT INTO merged SELECT number + {first}, toString(number) FROM numbers({SIZES[0]})")
    client.command("OPTIMIZE TABLE merged FINAL")


def counts(history: HistoryDatabase) -> tuple[int, int, int]:
    [row] = history.client().query("SELECT count(), uniqExact(a), countIf(b = '') FROM merged").result_rows
    return (row[0], row[1], row[2])


def test_a_merge_whose_files_are_empty_is_made_again_from_its_sources(history_database: HistoryDatabase) -> None:
    merged_table(history_database)
    assert heal_tables(history_database) == []
    empty_parts(history_database, "merged")
    assert heal_tables(history_database) == ["merged"]
    assert counts(history_database) == (SIZES[1], SIZES[1], 0)
    assert set_aside(history_database) == {"merged": 1}
    history_database.client().command("INSERT INTO merged VALUES (10000, 'x')")
    history_database.client().command("OPTIMIZE TABLE merged FINAL")
    assert heal_tables(history_database) == []
    assert counts(history_database) == (SIZES[1] + 1, SIZES[1] + 1, 0)


def test_a_part_that_is_short_of_its_size_is_damaged(history_database: HistoryDatabase) -> None:
    merged_table(history_database)
    [part] = empty_parts(history_database, "merged")
    (part / "checksums.txt").write_bytes(b"something")
    assert heal_tables(history_database) == ["merged"]
    assert counts(history_database) == (SIZES[1], SIZES[1], 0)


def test_while_the_disk_is_nearly_full_is_looked_at_once(history_database: HistoryDatabase) -> None:
    merged_table(history_database)
    empty_parts(history_database, "merged")
    free = [LOW_BYTES]
    with DamagedPartsWatch(history_database, every=3_600.0, free=lambda _folder: free[0]):
        before = damages(history_database)
        free[0] -= 1
        wait_until("the look", lambda: damages(history_database) > before, 30)
    assert counts(history_database) == (SIZES[1], SIZES[1], 0)


def test_a_table_that_could_not_be_attached_is_attached_by_the_next_look(history_database: HistoryDatabase) -> None:
    merged_table(history_database)
    history_database.client().command("DETACH TABLE merged SYNC")
    assert history_database.engine is not None
    history_database.engine.parts.detached.append((history_database.database, "merged"))
    assert heal_tables(history_database, new_alone=True) == []
    assert counts(history_database) == (SIZES[1], SIZES[1], 0)
