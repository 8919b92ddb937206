"""The writer on the real engine: once, in order, and past what cannot be stored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from runherald.records import TopicPartition
from runherald.sinks import writer as sinks_writer
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import damages, heal_tables
from runherald.sinks.migrate import migrate
from runherald.sinks.retry import Retry
from runherald.sinks.rows import Range, TableRows, table_rows
from runherald.sinks.writer import TableWriter
from tests.fixtures.emptied_parts import empty_parts
from tests.fixtures.faulty_history import FaultyHistory

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HERE = TopicPartition("runherald.logs", 3)
THERE = TopicPartition("runherald.logs", 4)
_NAMES = ("workspace", "run_id", "file", "producer", "stream", "number", "time", "text", "_topic", "_partition", "_offset")


@pytest.fixture
def history(history_database: HistoryDatabase) -> FaultyHistory:
    migrate(history_database)
    return FaultyHistory(history_database)


class KilledError(Exception):
    """Stands for the end of the process."""


async def no_sleep(_seconds: float) -> None:
    pass


def writer(history: FaultyHistory, processor: str = "logs") -> TableWriter:
    return TableWriter(history.as_database, processor, lambda: NOW, retry=Retry(sleep=no_sleep))


def lines(first: int, last: int, at: TopicPartition = HERE) -> TableRows:
    """Two lines a record, whose number says which record they are of."""
    rows = [
        ("w", "r", f"f{at.partition}", f"p{half}", "stdout", n, 0, "text", at.topic, at.partition, n)
        for n in range(first, last + 1)
        for half in (0, 1)
    ]
    return table_rows("log_lines", _NAMES, rows)


def range_of(first: int, last: int, *, at: TopicPartition = HERE, dead: int = 0) -> Range:
    return Range(at, first, last, (lines(first, last, at),), dead)


def stored(history: FaultyHistory) -> list[int]:
    return [row[0] for row in history.client().query("SELECT number FROM log_lines ORDER BY number, producer").result_rows]


def opening(history: FaultyHistory) -> str:
    """The end of a token on the embedded engine: which opening of it, and how often parts were set aside since."""
    assert history.engine is not None
    return f"{history.engine.parts.opened}:{damages(history.as_database)}"


def refuse(*numbers: int) -> Any:
    def fault(_table: str, columns: dict[str, Any]) -> None:
        if set(numbers) & set(columns.get("number", ())):
            raise DatabaseError("Code: 321. the value secret is out of range", code=321)

    return fault


async def test_the_watermark_is_what_was_written(history: FaultyHistory) -> None:
    assert await writer(history).watermarks([HERE]) == {HERE: -1}

    assert await writer(history).write([range_of(5, 9)]) == []
    await writer(history).write([Range(HERE, 10, 12, ())])  # records without rows move it as well

    assert await writer(history).watermarks([HERE, THERE]) == {HERE: 12, THERE: -1}
    assert await writer(history, "metrics").watermarks([HERE]) == {HERE: -1}


async def test_a_range_that_is_written_again_is_not_stored_again(history: FaultyHistory) -> None:
    await writer(history).write([range_of(0, 4)])
    await writer(history).write([range_of(0, 4)])

    assert stored(history) == sorted([*range(5), *range(5)])  # without FINAL: the token alone did it


async def test_all_partitions_go_in_one_insert_whose_token_lists_them(history: FaultyHistory) -> None:
    ranges = [range_of(0, 4), range_of(7, 7, at=THERE), Range(TopicPartition(HERE.topic, 5), 0, 3, ())]
    await writer(history).write(ranges)
    await writer(history).write(ranges)

    assert [table for table, _ in history.inserts] == ["log_lines", "ingest_batches"] * 2
    assert history.inserts[0][1] == f"1:logs:log_lines:runherald.logs:3:0-4#10,runherald.logs:4:7-7#2:{opening(history)}"
    assert stored(history) == sorted([*range(5), *range(5), 7, 7])
    assert (await writer(history).watermarks([HERE, THERE])) == {HERE: 4, THERE: 7}


async def test_ranges_cut_otherwise_are_stored_again_and_read_once(history: FaultyHistory) -> None:
    await writer(history).write([range_of(0, 4), range_of(0, 4, at=THERE)])
    await writer(history).write([range_of(0, 4)])
    await writer(history).write([range_of(0, 2, at=THERE)])

    assert history.client().command("SELECT count() FROM log_lines") == 20 + 10 + 6
    assert history.client().command("SELECT count() FROM log_lines FINAL") == 20


async def test_fewer_rows_of_the_same_ranges_are_no_repeat(history: FaultyHistory) -> None:
    # The database stores an insert of many blocks one by one. Had a crash left some of them, a replay may make the rest alone.
    await writer(history).write([Range(HERE, 0, 4, (lines(0, 3),))])
    await writer(history).write([Range(HERE, 0, 4, (lines(4, 4),))])

    assert stored(history) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


async def test_many_partitions_make_no_long_token(history: FaultyHistory) -> None:
    ranges = [range_of(0, 0, at=TopicPartition(HERE.topic, number)) for number in range(300)]
    await writer(history).write(ranges)
    await writer(history).write([range_of(0, 1, at=TopicPartition(HERE.topic, 0)), *ranges[1:]])

    tokens = [token for _, token in history.inserts]
    assert len(set(tokens)) == 4
    assert max(map(len, tokens)) < 200


async def test_a_reply_that_is_lost_costs_a_try_and_no_row(history: FaultyHistory) -> None:
    lost = iter([True])

    def lose(_table: str, _columns: dict[str, Any]) -> None:
        if next(lost, False):
            raise OperationalError("the connection was closed")

    history.after = lose
    await writer(history).write([range_of(0, 4)])

    assert [table for table, _ in history.inserts] == ["log_lines", "log_lines", "ingest_batches"]
    assert history.inserts[0] == history.inserts[1]
    assert stored(history) == sorted([*range(5), *range(5)])


@pytest.mark.parametrize("hit", ["log_lines", "ingest_batches"])
async def test_an_insert_that_a_full_disk_left_empty_is_done_again(history: FaultyHistory, hit: str) -> None:
    damaged: list[Path] = []

    def empty(table: str, _columns: dict[str, Any]) -> None:
        if table == hit and len(damaged) < 2:  # what is stored again is damaged as well
            damaged.extend(empty_parts(history.as_database, table))

    history.after = empty
    assert await writer(history).write([range_of(1, 3)]) == []
    assert len(damaged) == 2
    assert stored(history) == [1, 1, 2, 2, 3, 3]
    assert await writer(history).watermarks([HERE]) == {HERE: 3}
    assert [table for table, _token in history.inserts if table == hit] == [hit] * 3


async def test_a_look_that_fails_after_it_set_something_aside_has_it_done_again(
    history: FaultyHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def fail_once(database: HistoryDatabase, *, new_alone: bool = False) -> list[str]:
        nonlocal looks
        looks += 1
        healed = heal_tables(database, new_alone=new_alone)
        if looks == 1:
            raise OperationalError("away")
        return healed

    def empty(table: str, _columns: dict[str, Any]) -> None:
        history.after = lambda _table, _columns: None
        empty_parts(history.as_database, table)

    monkeypatch.setattr(sinks_writer, "heal_tables", fail_once)
    history.after = empty
    await writer(history).write([range_of(1, 3)])
    assert stored(history) == [1, 1, 2, 2, 3, 3]


async def test_what_came_before_a_kill_and_was_left_empty_is_no_repeat(history: FaultyHistory) -> None:
    def die(table: str, _columns: dict[str, Any]) -> None:
        empty_parts(history.as_database, table)
        raise KilledError

    history.after = die
    with pytest.raises(KilledError):
        await writer(history).write([range_of(1, 3)])
    history.after = lambda _table, _columns: None
    # As the engine does when it starts again.
    heal_tables(history.as_database)
    await writer(history).write([range_of(1, 3)])
    assert stored(history) == [1, 1, 2, 2, 3, 3]


async def test_what_another_one_found_damaged_is_done_again_too(history: FaultyHistory) -> None:
    def found_by_another(table: str, _columns: dict[str, Any]) -> None:
        history.after = lambda _table, _columns: None
        empty_parts(history.as_database, table)
        assert heal_tables(history.as_database) == [table]

    history.after = found_by_another
    await writer(history).write([range_of(1, 3)])
    assert stored(history) == [1, 1, 2, 2, 3, 3]


async def test_an_insert_is_tried_until_the_database_is_back(history: FaultyHistory) -> None:
    tries = iter(range(50))

    def away(_table: str, _columns: dict[str, Any]) -> None:
        if next(tries, None) is not None:
            raise DatabaseError("Code: 252. too many parts", code=252)

    history.before = away
    assert await writer(history).write([range_of(0, 1)]) == []

    assert len(history.inserts) == 52
    assert stored(history) == [0, 0, 1, 1]


@pytest.mark.parametrize("bad", [(0,), (7,), (3, 4), (0, 1, 2, 3, 4, 5, 6, 7)])
async def test_a_bad_value_costs_its_record_alone(history: FaultyHistory, bad: tuple[int, ...]) -> None:
    history.before = refuse(*bad)

    found = await writer(history).write([range_of(0, 7)])

    assert [record.offset for record in found] == list(bad)
    assert stored(history) == [number for number in range(8) if number not in bad for _ in (0, 1)]
    assert all("log_lines" in record.reason and "321" in record.reason and "secret" not in record.reason for record in found)


async def test_a_bad_value_is_found_among_partitions(history: FaultyHistory) -> None:
    history.before = refuse(21, 30)
    places = [TopicPartition(HERE.topic, number) for number in range(5)]
    subject = writer(history)

    found = await subject.write([range_of(10 * at.partition, 10 * at.partition + 3, at=at) for at in places])

    assert [(record.partition.partition, record.offset) for record in found] == [(2, 21), (3, 30)]
    assert len(stored(history)) == 2 * (20 - 2)
    assert await subject.watermarks(places) == {places[0]: 3, places[1]: 13, places[2]: -1, places[3]: -1, places[4]: 43}
    await subject.settle()
    assert await subject.watermarks(places) == {at: 10 * at.partition + 3 for at in places}


async def test_the_watermark_waits_for_the_dead_letters(history: FaultyHistory) -> None:
    history.before = refuse(2)
    subject = writer(history)

    await subject.write([range_of(0, 3, dead=1), Range(THERE, 0, 8, ())])
    assert await subject.watermarks([HERE, THERE]) == {HERE: -1, THERE: 8}

    await subject.settle()
    assert await subject.watermarks([HERE]) == {HERE: 3}
    assert history.client().command("SELECT dead FROM ingest_batches WHERE partition = 3") == 2


async def test_a_partition_that_is_gone_leaves_no_watermark(history: FaultyHistory) -> None:
    history.before = refuse(2)
    subject = writer(history)
    await subject.write([range_of(0, 3)])

    subject.forget([HERE])
    await subject.settle()

    assert await subject.watermarks([HERE]) == {HERE: -1}


async def test_an_error_that_nobody_knows_is_raised(history: FaultyHistory) -> None:
    def fault(_table: str, _columns: dict[str, Any]) -> None:
        raise DatabaseError("Code: 60. no such table", code=60)

    history.before = fault
    with pytest.raises(DatabaseError):
        await writer(history).write([range_of(0, 3)])

    history.before = lambda _table, _columns: None
    assert await writer(history).watermarks([HERE]) == {HERE: -1}


async def test_parts_of_a_range_carry_tokens_of_their_own(history: FaultyHistory) -> None:
    history.before = refuse(3)
    await writer(history).write([range_of(0, 3)])
    tokens = [token for table, token in history.inserts if table == "log_lines"]

    assert tokens[0] == f"1:logs:log_lines:runherald.logs:3:0-3#8:{opening(history)}"
    assert tokens[1] == f"1:logs:log_lines:runherald.logs:3:0-3#4/0-1:{opening(history)}"
    assert len(set(tokens)) == len(tokens)


async def test_a_value_that_the_engine_itself_refuses_is_found(history: FaultyHistory) -> None:
    rows = lines(0, 3)
    numbers: list[Any] = list(rows.columns["number"])
    numbers[4] = 2**70
    spoilt = TableRows(rows.table, {**rows.columns, "number": numbers}, rows.offsets)

    found = await writer(history).write([Range(HERE, 0, 3, (spoilt,))])

    assert [record.offset for record in found] == [2]
    assert stored(history) == [0, 0, 1, 1, 3, 3]


async def test_truth_goes_first(history: FaultyHistory) -> None:
    def crash(table: str, _columns: dict[str, Any]) -> None:
        raise RuntimeError(table)

    history.after = crash
    tables = (lines(0, 1), table_rows("metric_descriptions", ("workspace", "run_id", "name", "_offset"), [("w", "r", "m", 1)]))
    with pytest.raises(RuntimeError, match="log_lines"):
        await writer(history).write([Range(HERE, 0, 1, tables)])

    assert [table for table, _ in history.inserts] == ["log_lines"]
