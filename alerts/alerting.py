"""Accepted transitions into decisions: who is told of what.

Nothing is sent here. Each decision is an event of the alerts topic and a row of `alert_log`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from runherald.alerts.decisions import MAX_AGE, decide
from runherald.alerts.events import DECODERS, AlertDecided
from runherald.alerts.rules import Rules
from runherald.clock import Clock, to_micros
from runherald.errors import InvalidEvent
from runherald.events import AmlRunStatusChangedEvent, Event
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.intake import Intake, RangeWriter
from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.writer import TableWriter
from runherald.topics import ALERTS, STATUS
from runherald.wire import from_record, to_outgoing

NAME = "alerting"

TABLE = "alert_log"
_COLUMNS = (
    *("workspace", "decision_id", "run_id", "rule", "severity", "subject", "decision", "reason", "event_id", "event_time", "decided_time"),
    *("status", "experiment_name", "notice_ids", "payload", "version", "_topic", "_partition", "_offset"),
)
_LAST = 2**63

Decisions = Callable[[Record], Sequence[Event]]


class AlertingProcessor:
    """The processor `alerting`: holds every accepted transition against the rules.

    Args:
        decisions: returns what a record leads to; raises InvalidEvent where it cannot be read.
        topic: what it takes in.
    """

    name = NAME

    def __init__(self, decisions: Decisions, writer: RangeWriter, *, topic: str = STATUS) -> None:
        self.topics: tuple[str, ...] = (topic,)
        self._decisions = decisions
        self._intake = Intake(writer, NAME)
        self._taken: dict[TopicPartition, list[tuple[int, Event]]] = {}

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Read how far these partitions are decided."""
        await self._intake.assigned(end_offsets)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drop the decisions of these partitions."""
        self._intake.revoked(partitions)
        for partition in partitions:
            self._taken.pop(partition, None)

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Return the decisions, and dead letters of what cannot be read."""
        outgoing: list[Outgoing] = []
        for record in await self._intake.take(records):
            try:
                decisions = self._decisions(record)
            except InvalidEvent as error:
                outgoing.append(self._intake.bury(record, str(error)))
                continue
            outgoing += [to_outgoing(decision, ALERTS) for decision in decisions]
            self._taken.setdefault(record.topic_partition, []).extend((record.offset, decision) for decision in decisions)
        return outgoing

    async def flush(self) -> Sequence[Outgoing]:
        """Store the decisions; what the database does not take is returned as dead letters."""
        letters = await self._intake.store({partition: (_rows(taken),) for partition, taken in self._taken.items() if taken})
        self._taken.clear()
        return letters


def by_rules(rules: Rules, clock: Clock, max_age: timedelta = MAX_AGE) -> Decisions:
    """Return what decides about accepted transitions by these rules."""

    def decisions(record: Record) -> list[Event]:
        return [_placed(decision, record) for decision in decide(rules, _transition(record), clock(), max_age)]

    return decisions


def alerting_processor(db: HistoryDatabase, rules: Rules, clock: Clock, *, max_age: timedelta = MAX_AGE) -> AlertingProcessor:
    """Return the processor that decides by these rules."""
    return AlertingProcessor(by_rules(rules, clock, max_age), TableWriter(db, NAME, clock))


def taken_decisions_processor(db: HistoryDatabase, clock: Clock) -> AlertingProcessor:
    """Return the processor that makes the rows of decisions again, from the alerts topic, whatever the rules are by now: for a rebuild."""
    return AlertingProcessor(_taken_decision, TableWriter(db, NAME, clock), topic=ALERTS)


def _taken_decision(record: Record) -> tuple[Event, ...]:
    """Return the decision that a record is, if it says where its transition stands."""
    event = from_record(record, DECODERS)
    return (event,) if isinstance(event.data, AlertDecided) and event.data.transition_offset >= 0 else ()


def _transition(record: Record) -> Event:
    event = from_record(record)
    if not isinstance(event.data, AmlRunStatusChangedEvent):
        raise InvalidEvent("ce_type", "is no status change; accepted transitions alone belong to this topic")
    return event


def _placed(decision: Event, record: Record) -> Event:
    """Return a decision that says where its transition stands."""
    assert isinstance(decision.data, AlertDecided)
    return replace(decision, data=replace(decision.data, transition_partition=record.partition, transition_offset=record.offset))


def _rows(taken: Sequence[tuple[int, Event]]) -> TableRows:
    """Return decisions as rows. Made again of the same records, at another time or by other rules, they are others: the last ones stand."""
    rows = table_rows(TABLE, _COLUMNS, [_row(decision) for _, decision in taken])
    made = max(decision.time for _, decision in taken)
    return replace(rows, offsets=np.array([offset for offset, _ in taken], dtype=np.uint64), made=str(to_micros(made)))


def _row(decision: Event) -> tuple[Any, ...]:
    data = decision.data
    assert isinstance(data, AlertDecided)
    header = data.transition.header
    return (
        decision.workspace,
        decision.id,
        decision.run_id,
        data.rule,
        data.severity,
        data.subject,
        data.decision,
        data.reason,
        data.event_id,
        data.event_time,
        data.decided_time,
        data.transition.status.value,
        header.experiment_name if header else "",
        [notice.notice_id for notice in data.notices if not notice.suppressed],
        msgspec.json.encode(data.notices).decode(),
        # Of a transition that stands in the log twice, the first decision holds.
        _LAST - data.transition_offset,
        STATUS,
        data.transition_partition,
        data.transition_offset,
    )
