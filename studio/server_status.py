"""What the server runs and how far it is, from log and history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from runherald.api import PartitionStatus, ServerStatus
from runherald.letters_api import ProcessorStop
from runherald.sinks.dead_letters import DeadLetterReader
from runherald.sinks.queries import HistoryReader
from runherald.streams.limited_processor import remedy
from runherald.streams.log import Log, group_of


class LogStatus:
    """Tells the status of processors that read this log, here or in other processes; blocks.

    `processors` maps a processor's name to its topics; `log_url` and `history_url` are shown to people, so they hold no password.
    """

    def __init__(
        self,
        log: Log,
        reader: HistoryReader,
        letters: DeadLetterReader,
        processors: Mapping[str, tuple[str, ...]],
        *,
        version: str,
        log_url: str,
        history_url: str,
    ) -> None:
        self._log = log
        self._reader = reader
        self._letters = letters
        self._processors = processors
        self._version = version
        self._log_url = log_url
        self._history_url = history_url

    def __call__(self) -> ServerStatus:
        """Return the status now."""
        topics = sorted({topic for own in self._processors.values() for topic in own})
        begins, ends = self._log.begin_offsets(topics), self._log.end_offsets(topics)
        partitions = []
        for name, own in self._processors.items():
            # Without a commit a group begins at what is kept.
            committed = {**begins, **self._log.committed(group_of(name), own)}
            for at, end in sorted(ends.items()):
                if at.topic in own:
                    partitions.append(
                        PartitionStatus(
                            processor=name,
                            topic=at.topic,
                            partition=at.partition,
                            committed=committed[at],
                            end=end,
                            lag=max(0, end - committed[at]),
                        )
                    )
        letters = self._letters.counts()
        return ServerStatus(
            version=self._version,
            log=self._log_url,
            history=self._history_url,
            partitions=partitions,
            notices=self._reader.notice_balance(),
            dead_letters=sum(count.open for count in letters),
            letters=letters,
            stops=standing(self._letters.stops(), partitions),
        )


def standing(stops: Sequence[ProcessorStop], partitions: Collection[PartitionStatus]) -> list[ProcessorStop]:
    """Return the stops that still hold, each with what to do: those of processors that have not passed the record before which they
    stopped."""
    passed = {(part.processor, part.topic, part.partition): part.committed for part in partitions}
    return [
        replace(stop, remedy=f"start {stop.processor} again" if stop.allowed else remedy(stop.processor))
        for stop in stops
        if passed.get((stop.processor, stop.topic, stop.partition), 0) <= stop.offset
    ]
