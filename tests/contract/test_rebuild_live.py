"""A rebuild and the live processors: what is not finished is theirs, what came meanwhile is read, nothing is lost or told twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runherald.alerts.alerting import alerting_processor
from runherald.alerts.rules import builtin_rules
from runherald.records import Processor, TopicPartition
from runherald.sinks import migrate as schema
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import LogReplaced
from runherald.sinks.migrate import Migration
from runherald.streams.errors import ProcessorsRun
from runherald.streams.history import history_processor
from runherald.streams.rebuild.rebuild import compare, rebuild
from runherald.topics import EVENTS, METRICS, STATUS
from tests.contract.test_rebuild import START, leftovers, nobody, select, story, tamper
from tests.fixtures.faulty_history import FaultyHistory
from tests.fixtures.live_history import LiveHistory


@pytest.fixture
def live(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[LiveHistory]:
    world = LiveHistory(tmp_path, history_database, START + timedelta(minutes=1))
    yield world
    world.close()


class Killed(Exception):
    """The processor dies here."""


def test_rows_of_records_that_are_not_finished_are_no_difference(live: LiveHistory) -> None:
    live.say(*story("r1"))
    live.work()
    live.say(*story("r1", "late"), *story("r2"))
    die_before_the_watermark(live)

    found = compare(live.log, live.db)

    assert found.equal, found
    assert sum(table.open for table in found.tables) > 10

    published = transitions(live)
    rebuild(live.log, live.db, running=nobody)
    live.work()
    assert compare(live.log, live.db).equal
    assert transitions(live) == published, "what was published before the death is told again under the same ids"
    assert select(live, "SELECT status, count() FROM runs GROUP BY ALL") == [("Failed", 2)]


@pytest.mark.parametrize(("table", "days"), [("alert_log", 0), ("ingest_batches", 0), ("ingest_batches", 2)])
def test_decisions_that_are_published_and_not_stored_yet_are_no_difference(live: LiveHistory, table: str, days: int) -> None:
    live.say(*story("r1"))
    live.work()
    live.say(*story("r2"))
    live.work("history")
    die_before(live, table, STATUS, partial(alerting_processor, rules=builtin_rules(["a@example.org"]), clock=lambda: live.now))

    found = compare(live.log, live.db)
    assert found.equal, found
    assert rebuild(live.log, live.db, running=nobody).equal
    live.now += timedelta(days=days)
    live.work()
    assert compare(live.log, live.db).equal, "what was decided again stands as it was decided last"
    assert select(live, "SELECT run_id, count() FROM alert_log FINAL GROUP BY run_id ORDER BY run_id") == [("r1", 1), ("r2", 1)]


def die_before_the_watermark(live: LiveHistory) -> None:
    die_before(live, "ingest_batches", EVENTS, partial(history_processor, clock=lambda: live.now))


def die_before(live: LiveHistory, stored: str, topic: str, make: Callable[[HistoryDatabase], Processor]) -> None:
    """Let a processor take what is in a topic, publish what comes of it, and die before it stores into a table."""

    def die(table: str, _columns: Mapping[str, Any]) -> None:
        if table == stored:
            raise Killed

    async def work() -> None:
        faulty = FaultyHistory(live.db)
        faulty.before = die
        processor = make(faulty.as_database)
        consumer = live.log.consumer("test", (topic,), on_assigned=lambda _: None, on_revoked=lambda _: None)
        try:
            live.log.append(await processor.process(consumer.poll(1_000, 0)))
        finally:
            consumer.close()
        with pytest.raises(Killed):
            await processor.flush()

    asyncio.run(work())


def transitions(live: LiveHistory) -> set[bytes]:
    """Return the ids of the accepted transitions in the log."""
    consumer = live.log.consumer("test", (STATUS,), on_assigned=lambda _: None, on_revoked=lambda _: None)
    try:
        return {dict(record.headers)["ce_id"] for record in consumer.poll(10_000, 0)}
    finally:
        consumer.close()


def test_records_not_yet_processed_are_left_to_the_live_processors(live: LiveHistory) -> None:
    live.say(*story("r1"))
    live.work()
    live.say(*story("r2"))

    found = rebuild(live.log, live.db, running=nobody)

    assert found.equal, found
    assert any("records beyond not processed yet" in line for line in found.sources)
    assert select(live, "SELECT run_id FROM runs") == [("r1",)]
    before = transitions(live)
    live.work()
    assert len(transitions(live) - before) == 3, "the run's transitions are published: who goes by them has to hear of it"
    assert compare(live.log, live.db).equal


def test_what_was_stored_while_it_read_is_read_before_the_exchange(live: LiveHistory) -> None:
    live.say(*story("r1"))
    live.work()
    looks = 0

    def running(groups: Sequence[str]) -> Mapping[str, int]:
        nonlocal looks
        looks += 1
        if looks == 1:
            live.say(*story("r1", "late"), *story("r2"))
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(live.work).result()
            return {groups[0]: 1}
        return {}

    tamper(live, "run_params", "UPDATE value = '0.2' WHERE key = 'lr'")
    said: list[str] = []
    found = rebuild(live.log, live.db, running=running, wait_seconds=30, say=said.append)

    assert found.count == 1
    assert [line for line in said if "stop the workers of runherald." in line]
    assert compare(live.log, live.db).equal
    assert select(live, "SELECT count() FROM runs") == [(2,)]


def test_workers_that_do_not_stop_prevent_the_exchange(live: LiveHistory) -> None:
    live.say(*story("r1"))
    live.work()
    tamper(live, "run_params", "UPDATE value = '0.2' WHERE key = 'lr'")

    with pytest.raises(ProcessorsRun, match=r"runherald\.metrics run.*--wait"):
        rebuild(live.log, live.db, running=lambda _groups: {"runherald.metrics": 2})

    assert compare(live.log, live.db).count == 1, "nothing was changed"
    assert leftovers(live) == []


def test_what_the_log_no_longer_holds_comes_from_history(live: LiveHistory) -> None:
    live.say(*story("r1"), *story("r2"))
    live.work()
    live.now += timedelta(days=40)
    forget(live)
    assert live.log.begin_offsets([EVENTS, METRICS])[TopicPartition(METRICS, 0)] >= 0
    assert sum(live.log.begin_offsets([EVENTS]).values()) == 16, "all events are gone from the log"
    live.say(*story("r1", "late"), *story("r3"))
    live.work()

    found = compare(live.log, live.db)
    assert found.equal, found
    assert any("run_events below offset" in line for line in found.sources)
    assert any(line.startswith("metrics: ") and "kept as it is" in line for line in found.sources)

    tamper(live, "run_state", "UPDATE status = 'Completed' WHERE run_id = 'r2'")
    tamper(live, "run_params", "DELETE WHERE run_id = 'r2' AND key = 'lr'")
    rows = counts(live)
    found = rebuild(live.log, live.db, running=nobody)
    assert [(table.table, table.count) for table in found.tables if table.count] == [("run_params", 1), ("run_state", 1)]
    assert counts(live) == {**rows, "run_params": rows["run_params"] + 1}
    live.say(*story("r2", "late"))
    live.work()
    assert compare(live.log, live.db).equal


def counts(live: LiveHistory) -> dict[str, int]:
    tables = [table.table for table in compare(live.log, live.db).tables]
    return {table: select(live, f"SELECT count() FROM {table} FINAL")[0][0] for table in tables}


def forget(live: LiveHistory) -> None:
    while live.log._sweep():  # type: ignore[attr-defined]
        pass


def test_a_table_that_a_view_fills_is_filled_again_and_goes_on(live: LiveHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    more = Migration(
        "9999_busy",
        (
            # A run gets another key with each status: the rows of before stay behind, as many as there were batches.
            "CREATE TABLE IF NOT EXISTS $database.busy $on_cluster"
            " (workspace String, run_id String, status String, cause String, version UInt64)"
            " ENGINE = ${replicated}ReplacingMergeTree(version) ORDER BY (status, workspace, run_id)",
            "CREATE MATERIALIZED VIEW IF NOT EXISTS $database.busy_feed $on_cluster TO $database.busy AS"
            " SELECT workspace, run_id, status, cause, version FROM $database.run_state",
        ),
        "digest",
    )
    released = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: [*released, more])
    schema.migrate(live.db)
    live.say(*story("r1")[:2])
    live.work()
    live.say(*story("r1")[2:], *story("r2"))
    live.work()
    assert select(live, "SELECT count() FROM busy FINAL")[0][0] > 2, "the batches were too large to leave rows behind"
    tamper(live, "busy", "UPDATE cause = 'forged' WHERE run_id = 'r1' AND status = 'Failed'")

    found = rebuild(live.log, live.db, running=nobody)

    assert [(table.table, table.count) for table in found.tables if table.count] == [("busy", 1)]
    live.say(*story("r3"))
    live.work()
    states = select(live, "SELECT run_id, status FROM (SELECT * FROM busy ORDER BY version DESC LIMIT 1 BY run_id) ORDER BY run_id")
    assert states == [("r1", "Failed"), ("r2", "Failed"), ("r3", "Failed")]
    assert compare(live.log, live.db).equal


def test_a_log_that_was_replaced_shows_nothing(live: LiveHistory, tmp_path: Path) -> None:
    live.say(*story("r1"))
    live.work()
    live.replace_log(tmp_path / "new")

    with pytest.raises(LogReplaced, match=r"history: history has stored runherald\.events/\d up to offset 7, but the log ends before 0"):
        compare(live.log, live.db)
    assert leftovers(live) == []
