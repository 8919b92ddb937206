"""Who is told of which transition, and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runherald.alerts.alerting import AlertingProcessor, by_rules
from runherald.alerts.decisions import decide
from runherald.alerts.events import DECODERS, AlertDecided
from runherald.alerts.rule import Rule, StatusCondition
from runherald.alerts.rules import Rules, builtin_rules
from runherald.dead_letters import Letter, dead_letter, read_letter
from runherald.events import AmlRunStatusChangedEvent, Event, PathStep, RunHeader, new_event
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.errors import LogReplaced
from runherald.sinks.rows import BadRecord, Range
from runherald.status import Cause, Status
from runherald.streams.letter_trial import LetterTrial
from runherald.topics import ALERTS, DEAD_LETTERS, STATUS
from runherald.wire import from_record, to_outgoing

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ME = "me@example.org"
PARTITION = TopicPartition(STATUS, 0)


def transition(status: Status = Status.FAILED, *, number: int = 1, parent: str = "", **said: Any) -> Event:
    header = RunHeader(experiment_name="digits", display_name="lr=0.1", parent_run_id=parent)
    data = AmlRunStatusChangedEvent(**{"status": status, "header": header, "revision": number, **said})
    return new_event(data, workspace="default", run_id="run-1", producer="runherald.history", sequence=number, time=NOW)


def told(rules: Rules, event: Event) -> list[tuple[str, str, str]]:
    """Return rule, recipient and named reason of each notice."""
    return [
        (decided.rule, notice.recipient, notice.reason.partition(":")[0])
        for decided in map(data_of, decide(rules, event, NOW))
        for notice in decided.notices
    ]


def data_of(event: Event) -> AlertDecided:
    assert isinstance(event.data, AlertDecided)
    return event.data


def step(status: Status, seconds: int, attempt: int = 1) -> PathStep:
    return PathStep(status=status, time=NOW - timedelta(seconds=seconds), attempt=attempt)


LOST = (step(Status.RUNNING, 90), step(Status.NOT_RESPONDING, 30))


def test_nobody_is_told_of_what_happened_long_before_it_was_heard_of() -> None:
    rules = builtin_rules([ME])
    [young] = map(data_of, decide(rules, transition(), NOW + timedelta(hours=23)))
    [old] = map(data_of, decide(rules, transition(), NOW + timedelta(hours=25)))
    assert (young.decision, old.decision) == ("notify", "suppress")
    [notice] = old.notices
    assert notice.suppressed
    assert notice.reason == "too_old: it happened 1 d 1 h before this was decided, and mails are for what is new (mail.max_age_hours)"
    assert data_of(decide(rules, transition(), NOW + timedelta(hours=25), timedelta(days=2))[0]).decision == "notify"


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (transition(Status.FAILED), "run-failed"),
        (transition(Status.FAILED, parent="sweep"), "run-failed"),
        (transition(Status.NOT_RESPONDING, parent="sweep", claim=True, cause=Cause.LOST_CONTACT), "run-not-responding"),
        (transition(Status.COMPLETED), "run-completed"),
        (transition(Status.COMPLETED, parent="sweep"), None),
        (transition(Status.CANCELED, cause=Cause.PREEMPTION), "run-canceled"),
        (transition(Status.CANCELED, cause=Cause.USER), None),
        (transition(Status.CANCELED), None),
        (transition(Status.CANCELED, cause=Cause.PREEMPTION, parent="sweep"), None),
        (transition(Status.RUNNING), None),
    ],
)
def test_what_is_told_from_the_first_run_on(event: Event, rule: str | None) -> None:
    assert told(builtin_rules([ME]), event) == ([(rule, ME, "matched")] if rule else [])


@pytest.mark.parametrize(
    ("event", "rules"),
    [
        # It speaks again.
        (
            transition(Status.RUNNING, correction=True, previous_status=Status.NOT_RESPONDING, path=(*LOST, step(Status.RUNNING, 0))),
            ["run-not-responding"],
        ),
        # Taken for dead, and alive: those who got either mail.
        (
            transition(
                Status.RUNNING,
                correction=True,
                previous_status=Status.FAILED,
                path=(*LOST, step(Status.FAILED, 10), step(Status.RUNNING, 0)),
            ),
            ["run-failed", "run-not-responding"],
        ),
        # The failure of an earlier attempt was real.
        (
            transition(
                Status.RUNNING,
                correction=True,
                attempt=2,
                path=(step(Status.FAILED, 90), step(Status.RUNNING, 60, 2), step(Status.NOT_RESPONDING, 30, 2), step(Status.RUNNING, 0, 2)),
            ),
            ["run-not-responding"],
        ),
        # Of a child nobody hears that it completed, unless they were told that it was silent.
        (
            transition(Status.COMPLETED, parent="sweep", correction=True, path=(*LOST, step(Status.COMPLETED, 0))),
            ["run-not-responding"],
        ),
    ],
)
def test_who_was_told_of_a_claim_is_told_of_its_end(event: Event, rules: list[str]) -> None:
    decided = told(builtin_rules([ME]), event)
    assert [(rule, reason) for rule, _, reason in decided] == [
        (rule, "claim_withdrawn" if index == 0 else "duplicate_recipient") for index, rule in enumerate(rules)
    ]


def test_a_rule_may_leave_corrections_out() -> None:
    event = transition(Status.RUNNING, correction=True, path=(*LOST, step(Status.RUNNING, 0)))
    rule = Rule(name="a", when=StatusCondition(status=(Status.NOT_RESPONDING,)), receivers=(ME,), corrections=False)
    assert told(Rules([rule]), event) == []


def test_a_rule_that_is_switched_off_tells_nobody() -> None:
    rule = Rule(name="a", when=StatusCondition(status=(Status.FAILED,)), receivers=(ME,), enabled=False)
    assert told(Rules([rule]), transition()) == []


def test_one_mail_for_one_person_however_many_rules() -> None:
    failed = StatusCondition(status=(Status.FAILED,))
    rules = Rules(
        [
            Rule(name="first", when=failed, receivers=("a@example.org",)),
            Rule(name="second", when=failed, receivers=("A@Example.org", "b@example.org")),
            Rule(name="third", when=failed, receivers=("b@example.org",)),
        ]
    )
    assert told(rules, transition()) == [
        ("first", "a@example.org", "matched"),
        ("second", "A@Example.org", "duplicate_recipient"),
        ("second", "b@example.org", "matched"),
        ("third", "b@example.org", "duplicate_recipient"),
    ]
    assert [data_of(event).decision for event in decide(rules, transition(), NOW)] == ["notify", "notify", "suppress"]


def test_whoever_decides_again_decides_the_same() -> None:
    rules = builtin_rules([ME, "you@example.org"])
    first, again = (decide(rules, transition(), NOW + timedelta(seconds=seconds)) for seconds in (0, 60))
    assert [event.id for event in first] == [event.id for event in again]
    assert data_of(first[0]).notices == data_of(again[0]).notices
    other = decide(rules, transition(number=2), NOW)
    assert not {notice.notice_id for notice in data_of(first[0]).notices} & {notice.notice_id for notice in data_of(other[0]).notices}


class MemoryRanges:
    """Keeps rows by table and key in memory, and the watermarks, as the real writer does in ClickHouse."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}
        self.stored: dict[TopicPartition, int] = {}

    async def watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.stored.get(partition, -1) for partition in partitions}

    async def write(self, ranges: Sequence[Range]) -> list[BadRecord]:
        for one in ranges:
            for table in one.tables:
                for values in zip(*table.columns.values(), strict=True):
                    row = dict(zip(table.columns, values, strict=True))
                    self.rows.setdefault(table.table, {})[row.get("decision_id", "")] = row
            self.stored[one.partition] = max(self.stored.get(one.partition, -1), one.last)
        return []

    async def settle(self) -> None:
        """Nothing is held back here."""

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is held back here."""


def records(events: Sequence[Event]) -> list[Record]:
    return [stand(to_outgoing(event, STATUS), offset) for offset, event in enumerate(events)]


def stand(outgoing: Outgoing, offset: int) -> Record:
    return Record(outgoing.topic, 0, offset, 0, outgoing.key, outgoing.value, outgoing.headers)


EVENTS = [transition(Status.FAILED, number=1), transition(Status.RUNNING, number=2), transition(Status.COMPLETED, number=3)]


@given(st.lists(st.tuples(st.sampled_from(range(3)), st.booleans()), max_size=12))
async def test_redelivery_decides_each_notice_once(steps: list[tuple[int, bool]]) -> None:
    """Crash after the n-th record, before or after the flush, any number of times; then run to the end."""
    writer = MemoryRanges()
    decided: list[Outgoing] = []
    # The second copy of the first transition: history itself may publish it twice.
    log = records([*EVENTS, EVENTS[0]])
    committed = 0
    for count, flushed in [*steps, (len(log), True)]:
        processor = AlertingProcessor(by_rules(builtin_rules([ME]), lambda: NOW), writer)
        await processor.assigned({PARTITION: len(log)})
        batch = log[committed : committed + count]
        decided += await processor.process(batch)
        if flushed:
            await processor.flush()
            committed += len(batch)
    ids = {notice.notice_id for outgoing in decided for notice in data_of(from_record(outgoing, DECODERS)).notices}
    assert len(ids) == 2
    assert {row["rule"] for row in writer.rows["alert_log"].values()} == {"run-failed", "run-completed"}
    assert len(writer.rows["alert_log"]) == 2
    assert {outgoing.key for outgoing in decided} == {b"run-1"}
    assert {outgoing.topic for outgoing in decided} == {ALERTS}


async def test_what_is_no_transition_is_a_dead_letter_and_the_rest_goes_on() -> None:
    writer = MemoryRanges()
    processor = AlertingProcessor(by_rules(builtin_rules([ME]), lambda: NOW), writer)
    await processor.assigned({PARTITION: 2})
    broken = Record(STATUS, 0, 0, 0, b"run-1", b"{", ())
    letter, decision = await processor.process([broken, stand(to_outgoing(EVENTS[0], STATUS), 1)])
    assert (letter.topic, decision.topic) == (DEAD_LETTERS, ALERTS)
    assert dict(letter.headers)["rh_processor"] == b"alerting"


async def test_a_dead_letter_of_alerting_can_be_tried_again() -> None:
    broken = dead_letter(Record(STATUS, 0, 3, 0, b"run-1", b"{", ()), processor="alerting", reason="was no JSON")
    letter = read_letter(stand(broken, 0))
    assert isinstance(letter, Letter)
    trial = LetterTrial({"alerting": lambda: AlertingProcessor(by_rules(builtin_rules([ME]), lambda: NOW), MemoryRanges())})
    assert (await trial.refusals([letter]))[letter.letter_id].startswith("ce_type: ")


async def test_a_log_that_was_emptied_stops_the_processor_before_it_tells_nobody() -> None:
    writer = MemoryRanges()
    writer.stored[PARTITION] = 7
    processor = AlertingProcessor(by_rules(builtin_rules([ME]), lambda: NOW), writer)
    with pytest.raises(LogReplaced, match=r"alerting: .*runherald\.status/0 up to offset 7"):
        await processor.assigned({PARTITION: 3})
