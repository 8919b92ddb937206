"""What the server runs and how far it is, from log and history."""

from __future__ import annotations

from collections.abc import Mapping

from runherald.api import PartitionStatus, ServerStatus
from runherald.sinks.queries import HistoryReader
from runherald.streams.log import Log, group_of
from runherald.topics import DEAD_LETTERS


class LogStatus:
    """Tells the status of processors that read this log, here or in other processes; blocks.

    `processors` maps a processor's name to its topics; `log_url` and `history_url` are shown to people, so they hold no password.
    """

    def __init__(
        self, log: Log, reader: HistoryReader, processors: Mapping[str, tuple[str, ...]], *, version: str, log_url: str, history_url: str
    ) -> None:
        self._log = log
        self._reader = reader
        self._processors = processors
        self._version = version
        self._log_url = log_url
        self._history_url = history_url

    def __call__(self) -> ServerStatus:
        """Return the status now."""
        topics = sorted({topic for own in self._processors.values() for topic in own})
        begins, ends = self._log.begin_offsets([*topics, DEAD_LETTERS]), self._log.end_offsets([*topics, DEAD_LETTERS])
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
        return ServerStatus(
            version=self._version,
            log=self._log_url,
            history=self._history_url,
            partitions=partitions,
            notices=self._reader.notice_balance(),
            dead_letters=sum(end - begins[at] for at, end in ends.items() if at.topic == DEAD_LETTERS),
        )
