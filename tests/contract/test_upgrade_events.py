"""While versions run side by side, an older part meets what a newer one said: it keeps it, or puts it aside, and goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runherald.dead_letters import Letter, read_letter, replay_record
from runherald.events import Actor, AmlRunEvent, AmlRunStatusChangedEvent, Data, RunHeader, new_event
from runherald.records import Outgoing, Record
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.dead_letters import DeadLetterReader
from runherald.status import Status
from runherald.topics import ALERTS, DEAD_LETTERS
from runherald.wire import from_record, to_outgoing
from tests.fixtures.live_history import LiveHistory
from tests.unit.golden_formats import DREAM

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SCRIPT = Actor(kind="run", name="script")


@pytest.fixture
def live(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[LiveHistory]:
    live = LiveHistory(tmp_path, history_database, NOW)
    yield live
    live.close()


def said(sequence: int, data: Data) -> Outgoing:
    when = NOW + timedelta(seconds=sequence)
    return to_outgoing(new_event(data, workspace="default", run_id="run-1", producer="p", sequence=sequence, time=when))


CREATED = said(0, AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits")))
RUNNING = said(1, AmlRunStatusChangedEvent(status=Status.RUNNING, actor=SCRIPT))
FAILED = said(3, AmlRunStatusChangedEvent(status=Status.FAILED, actor=SCRIPT, message="no"))


def select(live: LiveHistory, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in live.db.client().query(sql).result_rows]


def letters_of(live: LiveHistory) -> Sequence[Record]:
    consumer = live.log.consumer("letters", [DEAD_LETTERS], on_assigned=lambda _: None, on_revoked=lambda _: None)
    try:
        return consumer.poll(100, 0)
    finally:
        consumer.close()


def test_fields_of_a_newer_version_are_kept_verbatim_and_change_nothing(live: LiveHistory) -> None:
    newer = replace(
        RUNNING,
        value=RUNNING.value[:-1] + b',"mood":{"tired":[1,null]}}',
        headers=tuple((name, value.replace(b":1", b":2") if name == "ce_dataschema" else value) for name, value in RUNNING.headers),
    )
    live.say_records([CREATED, newer])
    live.work()

    assert select(live, "SELECT status FROM runs") == [("Running",)]
    assert select(live, "SELECT data_version, payload FROM run_events FINAL WHERE status = 'Running'") == [(2, newer.value.decode())]
    assert letters_of(live) == []


def test_a_value_that_only_a_newer_version_knows_becomes_a_letter_that_can_be_replayed(live: LiveHistory) -> None:
    suspended = said(2, AmlRunStatusChangedEvent(status=Status.PAUSED, actor=SCRIPT))
    suspended = replace(suspended, value=suspended.value.replace(b'"Paused"', b'"Suspended"'))
    live.say_records([CREATED, RUNNING, suspended, FAILED])
    live.work()

    assert select(live, "SELECT status FROM runs") == [("Failed",)], "the others go on"
    (record,) = letters_of(live)
    letter = read_letter(record)
    assert isinstance(letter, Letter)
    assert "status" in letter.reason
    # What comes back to the topic after the upgrade is the event as it was said, behind what came after it.
    again = replay_record(letter, late=True)
    assert (again.topic, again.key, again.value) == (suspended.topic, suspended.key, suspended.value)
    assert dict(again.headers)["ce_id"] == dict(suspended.headers)["ce_id"]
    (counted,) = DeadLetterReader(live.db).counts()
    assert counted.processor == "history"


def test_the_mailer_leaves_alone_what_a_newer_version_decides(live: LiveHistory) -> None:
    later = to_outgoing(replace(DREAM, run_id="run-1"), ALERTS)
    live.say_records([CREATED, RUNNING, FAILED])
    live.work("history", "alerting")
    live.say_records([later])
    for _ in range(3):
        live.now += timedelta(hours=1)
        live.work()

    assert letters_of(live) == []
    assert select(live, "SELECT state, count() FROM notice_log FINAL GROUP BY state ORDER BY state") == [("accepted", 1), ("refused", 1)]


def test_a_producer_that_knows_nothing_of_later_fields_is_understood(live: LiveHistory) -> None:
    # As the first version wrote it, with the least that an event needs; the golden files hold the fullest.
    spare = tuple((name, value) for name, value in CREATED.headers if name not in ("ce_recordedtime", "content-type"))
    first = replace(CREATED, value=b'{"operation":"Created","header":{"experimentName":"digits"}}', headers=spare)
    live.say_records([first])
    live.work()
    assert select(live, "SELECT run_id, experiment, status FROM runs") == [("run-1", "digits", "NotStarted")]
    assert from_record(first).recorded_time is None
