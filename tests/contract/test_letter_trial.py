"""Trying dead letters: the processors' own verdict, and nothing of it anywhere afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from runherald.alerts.alerting import alerting_processor
from runherald.alerts.rules import builtin_rules
from runherald.clock import system_clock
from runherald.dead_letters import Letter, dead_letter, read_letter
from runherald.events import AmlRunEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, Data, RunHeader, new_event
from runherald.records import Outgoing, Record
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.status import Status
from runherald.streams.history import history_processor
from runherald.streams.letter_trial import LetterTrial
from runherald.streams.metrics import metrics_processor
from runherald.topics import ALERTS, DEAD_LETTERS, EVENTS, METRICS, STATUS
from runherald.wire import to_outgoing

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def db(history_database: HistoryDatabase) -> HistoryDatabase:
    migrate(history_database)
    return history_database


@pytest.fixture
def trial(db: HistoryDatabase) -> LetterTrial:
    def forbidden() -> Any:
        raise AssertionError("a mailer would send mail")

    return LetterTrial(
        {
            "history": lambda: history_processor(db, system_clock),
            "metrics": lambda: metrics_processor(db, system_clock),
            "alerting": lambda: alerting_processor(db, builtin_rules(("ann@example.org",)), system_clock),
            "mailer": forbidden,
        }
    )


def letter(processor: str, outgoing: Outgoing, offset: int = 0) -> Letter:
    record = Record(outgoing.topic, 0, offset, 0, outgoing.key, outgoing.value, outgoing.headers)
    dead = dead_letter(record, processor=processor, reason="ce_type: was wrong once")
    found = read_letter(Record(DEAD_LETTERS, 0, offset, 0, dead.key, dead.value, dead.headers))
    assert isinstance(found, Letter)
    return found


def event(data: Data, topic: str | None = None, sequence: int = 0) -> Outgoing:
    identity: Mapping[str, Any] = {"workspace": "default", "run_id": "r", "producer": "p", "sequence": sequence, "time": NOW}
    return to_outgoing(new_event(data, **identity), topic)


GOOD = {
    "history": event(AmlRunEvent(operation="Created", header=RunHeader(experiment_name="e"))),
    "metrics": event(AmlRunMetricEvent(names=("loss",), series=[0], steps=[0], times=[1], values=[0.5])),
    "alerting": event(AmlRunStatusChangedEvent(status=Status.FAILED), STATUS),
    "mailer": event(AmlRunStatusChangedEvent(status=Status.FAILED), ALERTS),
}
TOPICS = {"history": EVENTS, "metrics": METRICS, "alerting": STATUS, "mailer": ALERTS}


async def test_each_is_judged_as_its_processor_would(trial: LetterTrial) -> None:
    good = [letter(name, record) for name, record in GOOD.items()]
    bad = [letter(name, Outgoing(topic, b"r", b"no event"), 1) for name, topic in TOPICS.items()]
    refusals = await trial.refusals([*good, *bad])
    assert {each.letter_id for each in bad} == refusals.keys()
    assert all(reason.startswith("ce_") for reason in refusals.values())


async def test_a_trial_leaves_nothing_behind(trial: LetterTrial, db: HistoryDatabase) -> None:
    for _ in range(2):
        await trial.refusals([letter(name, record) for name, record in GOOD.items()])
    for table in ("run_events", "run_state", "metric_points", "alert_log", "notice_log", "ingest_batches"):
        assert db.client().command(f"SELECT count() FROM {table}") == 0, table


async def test_letters_of_a_processor_that_is_not_here_are_not_judged(trial: LetterTrial) -> None:
    assert await trial.refusals([letter("exports", Outgoing(EVENTS, None, b"x"))]) == {}
    assert not trial.tries("exports")
    assert trial.tries("mailer")
