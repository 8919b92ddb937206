"""How far processors are in a log, and how old the oldest is that they have not processed: from the log alone, so that it is known when
history is away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from runherald.api import PartitionStatus, ProcessorStatus
from runherald.streams.log import Log, group_of


class LogLag:
    """Reads the lag of processors that read this log, here or in other processes; blocks. `processors` maps their names to their topics."""

    def __init__(self, log: Log, processors: Mapping[str, tuple[str, ...]]) -> None:
        self._log = log
        self._processors = processors

    def __call__(self) -> list[PartitionStatus]:
        """Return how far each processor is in each partition.

        Raises:
            Unreachable: the log does not answer.
        """
        topics = sorted({topic for own in self._processors.values() for topic in own})
        begins, ends = self._log.begin_offsets(topics), self._log.end_offsets(topics)
        partitions = []
        for name, own in self._processors.items():
            # Without a commit a group begins at what is kept; with one from before that, too.
            known = self._log.committed(group_of(name), own)
            committed = {at: max(begins[at], known.get(at, 0)) for at in ends if at.topic in own}
            times = self._log.times({at: offset for at, offset in committed.items() if offset < ends[at]})
            partitions += [
                PartitionStatus(
                    processor=name,
                    topic=at.topic,
                    partition=at.partition,
                    committed=offset,
                    end=ends[at],
                    lag=max(0, ends[at] - offset),
                    oldest_time=times.get(at),
                )
                for at, offset in sorted(committed.items())
            ]
        return partitions


def processor_statuses(partitions: Iterable[PartitionStatus], now: datetime) -> list[ProcessorStatus]:
    """Return the partitions of each processor and topic folded, in order of their names."""
    folded: dict[tuple[str, str], list[PartitionStatus]] = {}
    for part in partitions:
        folded.setdefault((part.processor, part.topic), []).append(part)
    return [_folded(processor, topic, parts, now) for (processor, topic), parts in sorted(folded.items())]


def _folded(processor: str, topic: str, parts: list[PartitionStatus], now: datetime) -> ProcessorStatus:
    oldest = min((part.oldest_time for part in parts if part.oldest_time is not None), default=None)
    return ProcessorStatus(
        processor=processor,
        topic=topic,
        partitions=len(parts),
        committed=sum(part.committed for part in parts),
        end=sum(part.end for part in parts),
        lag=sum(part.lag for part in parts),
        oldest_time=oldest,
        # Who appended may have another clock.
        age_seconds=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
    )
