"""Events to measure with, and how fast consumer groups work them off."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType

from runherald.clock import system_clock, to_micros
from runherald.events import (
    AmlRunEvent,
    AmlRunMetricEvent,
    AmlRunStatusChangedEvent,
    Data,
    ErrorEnvelope,
    Event,
    RootError,
    RunHeader,
    new_event,
)
from runherald.identifiers import new_producer_id, new_run_id
from runherald.records import Outgoing
from runherald.status import Status
from runherald.streams.log import Log, group_of
from runherald.wire import to_outgoing

POINTS_OF_MESSAGE = 1_000
SERIES_OF_MESSAGE = 10
_CHUNK = 200


def metric_records(messages: int, runs: int = 64) -> Iterator[Outgoing]:
    """Give metric messages of 1,000 points: ten series of a hundred noisy values, some messages for each run."""
    draw = random.Random(1)
    names = tuple(f"metric-{number}" for number in range(SERIES_OF_MESSAGE))
    identities = [(new_run_id(), new_producer_id()) for _ in range(runs)]
    series = [number % SERIES_OF_MESSAGE for number in range(POINTS_OF_MESSAGE)]
    for number in range(messages):
        run_id, producer = identities[number % runs]
        now = to_micros(system_clock())
        first = number // runs * (POINTS_OF_MESSAGE // SERIES_OF_MESSAGE)
        data = AmlRunMetricEvent(
            records=POINTS_OF_MESSAGE,
            names=names,
            series=series,
            steps=[first + index // SERIES_OF_MESSAGE for index in range(POINTS_OF_MESSAGE)],
            times=[now + index for index in range(POINTS_OF_MESSAGE)],
            values=[draw.random() for _ in range(POINTS_OF_MESSAGE)],
        )
        yield to_outgoing(_event(data, run_id, producer, number // runs * POINTS_OF_MESSAGE))


def status_records(runs: int) -> Iterator[Outgoing]:
    """Give four events for each run: created, starting, running, completed."""
    for _ in range(runs):
        for event in run_events(Status.COMPLETED):
            yield to_outgoing(event)


def run_events(end: Status) -> list[Event]:
    """Return the events of a run that ends so, now."""
    run_id, producer = new_run_id(), new_producer_id()
    header = RunHeader(experiment_name="benchmark", display_name=run_id[:8])
    error = ErrorEnvelope(error=RootError(message="ValueError: loss is NaN")) if end is Status.FAILED else None
    payloads: list[Data] = [
        AmlRunEvent(operation="Created", header=header),
        AmlRunStatusChangedEvent(status=Status.STARTING, header=header),
        AmlRunStatusChangedEvent(status=Status.RUNNING, header=header),
        AmlRunStatusChangedEvent(status=end, header=header, error=error),
    ]
    return [_event(data, run_id, producer, sequence) for sequence, data in enumerate(payloads)]


def append(log: Log, records: Iterator[Outgoing]) -> int:
    """Append records some hundred at a time, and return how many there were."""
    chunk: list[Outgoing] = []
    count = 0
    for record in records:
        chunk.append(record)
        count += 1
        if len(chunk) == _CHUNK:
            log.append(chunk)
            chunk.clear()
    log.append(chunk)
    return count


def progress(log: Log, processor: str, topic: str) -> int:
    """Return the sum of the offsets that a processor's group has committed."""
    return sum(log.committed(group_of(processor), [topic]).values())


def work_off(
    log: Log,
    first: tuple[str, str],
    wanted: int,
    *,
    then: Mapping[str, str] = MappingProxyType({}),
    pause: float,
    warm: bool = False,
    bound: float = 120.0,
) -> float:
    """Wait until a processor has committed so much and those after it have caught up; return records of the first a second.

    Args:
        first: processor and topic.
        then: topics of the processors that read what the first one publishes, by processor.
        warm: begin to count at the first commit that is seen, so that a process's start does not count.

    Raises:
        TimeoutError: it takes longer than `bound` seconds.
    """
    begun = since = time.perf_counter()
    before = progress(log, *first)
    counting = not warm
    while time.perf_counter() - begun < bound:
        now = progress(log, *first)
        if not counting and now > before:
            counting, since, before = True, time.perf_counter(), now
        if now >= wanted and all(progress(log, *each) >= sum(log.end_offsets([each[1]]).values()) for each in then.items()):
            return (wanted - before) / (time.perf_counter() - since)
        time.sleep(pause)
    raise TimeoutError(f"{first[0]} has not worked off its records within {bound:.0f} s")


def rules_text(count: int) -> str:
    """Return a rule file with rules of which none matches the benchmark's runs, each of which must be asked."""
    rule = "  - name: rule-{0}\n    experiment: team-{0}-*\n    status: [Completed, Failed]\n    receivers: [you@example.org]\n"
    return "rules:\n" + "".join(rule.format(number) for number in range(count))


def _event(data: Data, run_id: str, producer: str, sequence: int) -> Event:
    return new_event(
        data,
        workspace="benchmark",
        run_id=run_id,
        producer=producer,
        sequence=sequence,
        time=system_clock() + timedelta(microseconds=sequence % 1_000),
    )
