"""Events straight into history: the real processors without a log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from runherald.events import AmlRunEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, Data, Event, RunHeader, new_event
from runherald.records import Processor, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.status import Status
from runherald.streams.history import history_processor
from runherald.streams.logs import logs_processor
from runherald.streams.metrics import metrics_processor
from runherald.wire import to_outgoing

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class HistoryFeed:
    """Takes events as if each topic had one partition, and stores them at once."""

    def __init__(self, db: HistoryDatabase) -> None:
        migrate(db)
        processors: list[Processor] = [
            history_processor(db, lambda: NOW),
            metrics_processor(db, lambda: NOW),
            logs_processor(db, lambda: NOW),
        ]
        self._processors = {processor.topics[0]: processor for processor in processors}
        self._offsets: Counter[str] = Counter()
        for topic, processor in self._processors.items():
            asyncio.run(processor.assigned({TopicPartition(topic, 0): 0}))

    def add(self, *events: Event) -> None:
        """Store events in the order given."""
        asyncio.run(self._add([self._record(event) for event in events]))

    async def _add(self, records: Sequence[Record]) -> None:
        for topic, processor in self._processors.items():
            own = [record for record in records if record.topic == topic]
            if own:
                await processor.process(own)
                assert not await processor.flush()

    def _record(self, event: Event) -> Record:
        outgoing = to_outgoing(event)
        offset = self._offsets[outgoing.topic]
        self._offsets[outgoing.topic] += 1
        return Record(outgoing.topic, 0, offset, 0, outgoing.key, outgoing.value, outgoing.headers)


class Teller:
    """Makes the events of one producer of a run, a second apart unless said otherwise."""

    def __init__(self, run_id: str, *, producer: str = "", start: datetime = NOW) -> None:
        self.run_id = run_id
        self._producer = producer or f"producer-of-{run_id}"
        self._start = start
        self._sequence = 0

    def event(self, data: Data, *, time: datetime | None = None) -> Event:
        """Return the producer's next event."""
        event = new_event(
            data, workspace="default", run_id=self.run_id, producer=self._producer, sequence=self._sequence, time=time or self._start
        )
        self._sequence += 1
        return event

    def created(
        self, experiment: str = "digits", *, time: datetime | None = None, params: dict[str, str] | None = None, **header: Any
    ) -> Event:
        """Return the event that creates the run."""
        return self.event(
            AmlRunEvent(operation="Created", header=RunHeader(experiment_name=experiment, **header), params=params or {}), time=time
        )

    def status(self, status: Status, *, time: datetime | None = None, **more: Any) -> Event:
        """Return the event that reports a status."""
        return self.event(AmlRunStatusChangedEvent(status=status, **more), time=time)

    def points(self, name: str, values: Sequence[float], *, first: int = 0, **more: Any) -> Event:
        """Return a batch of points of one metric, a step and a second each."""
        start = round(self._start.timestamp()) * 1_000_000
        return self.event(
            AmlRunMetricEvent(
                names=(name,),
                series=[0] * len(values),
                steps=list(range(first, first + len(values))),
                times=[start + 1_000_000 * step for step in range(first, first + len(values))],
                values=list(values),
                **more,
            )
        )
