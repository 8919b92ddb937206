"""Accepted transitions into decisions: who is told of what.

Nothing is sent here. Each decision is an event of the alerts topic and a row of `alert_log`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from runherald.alerts.decisions import MAX_AGE, decide
from runherald.alerts.events import DECODERS, AlertDecided
from runherald.alerts.rules import Rules
from runherald.clock import Clock
from runherald.errors import InvalidEvent
from runherald.events import AmlRunStatusChangedEvent, Event
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.intake import Intake, RangeWriter
from runherald.sinks.retry import Retry
from runherald.sinks.rows import table_rows
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


class _DecisionsProcessor(ABC):
    """Takes records in, and keeps the decisions that they lead to."""

    name = NAME

    def __init__(self, writer: RangeWriter) -> None:
        self._intake = Intake(writer, NAME)
        self._rows: dict[TopicPartition, list[tuple[Any, ...]]] = {}

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Read how far these partitions are decided."""
        await self._intake.assigned(end_offsets)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drop the rows of these partitions."""
        self._intake.revoked(partitions)
        for partition in partitions:
            self._rows.pop(partition, None)

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Return the decisions, and dead letters of what leads to none because it cannot be read."""
        outgoing: list[Outgoing] = []
        for record in await self._intake.take(records):
            try:
                decisions = self._decisions(record)
            except InvalidEvent as error:
                outgoing.append(self._intake.bury(record, str(error)))
                continue
            for decision in decisions:
                outgoing.append(to_outgoing(decision, ALERTS))
                self._rows.setdefault(record.topic_partition, []).append(_row(decision))
        return outgoing

    async def flush(self) -> Sequence[Outgoing]:
        """Store the decisions; what the database does not take is returned as dead letters."""
        tables = {partition: (table_rows(TABLE, _COLUMNS, rows),) for partition, rows in self._rows.items()}
        letters = await self._intake.store(tables)
        self._rows.clear()
        return letters

    @abstractmethod
    def _decisions(self, record: Record) -> Iterable[Event]:
        """Return the decisions that a record leads to.

        Raises:
            InvalidEvent: it cannot be read.
        """


class AlertingProcessor(_DecisionsProcessor):
    """The processor `alerting`: holds every accepted transition against the rules."""

    topics: tuple[str, ...] = (STATUS,)

    def __init__(self, rules: Rules, writer: RangeWriter, clock: Clock, *, max_age: timedelta = MAX_AGE) -> None:
        super().__init__(writer)
        self._rules = rules
        self._max_age = max_age
        self._clock = clock

    def _decisions(self, record: Record) -> Iterable[Event]:
        decisions = decide(self._rules, _transition(record), self._clock(), self._max_age)
        return [replace(decision, data=_placed(decision, record)) for decision in decisions]


class TakenDecisionsProcessor(_DecisionsProcessor):
    """Makes the rows of decisions that were taken, from the alerts topic: what a rebuild reads, whatever the rules are by now."""

    topics: tuple[str, ...] = (ALERTS,)

    def _decisions(self, record: Record) -> Iterable[Event]:
        event = from_record(record, DECODERS)
        is_placed = isinstance(event.data, AlertDecided) and event.data.transition_offset >= 0
        return (event,) if is_placed else ()


def alerting_processor(
    db: HistoryDatabase, rules: Rules, clock: Clock, *, max_age: timedelta = MAX_AGE, retry: Retry | None = None
) -> AlertingProcessor:
    """Return the processor that decides by these rules."""
    return AlertingProcessor(rules, TableWriter(db, NAME, clock, retry=retry), clock, max_age=max_age)


def taken_decisions_processor(db: HistoryDatabase, clock: Clock) -> TakenDecisionsProcessor:
    """Return the processor that makes the rows of decisions again."""
    return TakenDecisionsProcessor(TableWriter(db, NAME, clock))


def _transition(record: Record) -> Event:
    event = from_record(record)
    if not isinstance(event.data, AmlRunStatusChangedEvent):
        raise InvalidEvent("ce_type", "is no status change; accepted transitions alone belong to this topic")
    return event


def _placed(decision: Event, record: Record) -> AlertDecided:
    assert isinstance(decision.data, AlertDecided)
    return replace(decision.data, transition_partition=record.partition, transition_offset=record.offset)


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
