"""What is read from where to make a topic's tables again. Pure: offsets in, parts out.

A partition is read as far as its processor has stored it, and no further. What lies beyond is the live processor's to do: history
publishes transitions before it stores, so whatever was never stored was perhaps never published, and a table that had it already would
make the live processor skip it.

    0 ……………… log_from ……………… until ……………… log_end
    ├─ older ──┤├─ from the log ──┤├─ not yet processed ┤
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from runherald.records import TopicPartition
from runherald.sinks.errors import LogReplaced

Older = Literal["none", "run_events", "kept"]
"""Where rows come from whose records the log no longer holds: from `run_events`, or they are taken as they are."""


class Part(Struct, frozen=True, kw_only=True):
    """One partition.

    Attributes:
        older: where what lies before `log_from` comes from.
        log_from: the offset of the first record that is read from the log.
        until: the offset after the last one that is read: the processor's high-water mark, plus 1.
        log_end: where the log ended when this was planned.
        lost: how many records the log dropped before they were processed.
    """

    topic: str
    partition: int
    older: Older
    log_from: int
    until: int
    log_end: int
    lost: int = 0

    @property
    def at(self) -> TopicPartition:
        """The partition."""
        return TopicPartition(self.topic, self.partition)

    @property
    def from_log(self) -> int:
        """How many records are read from the log."""
        return max(0, self.until - self.log_from)

    @property
    def open(self) -> int:
        """How many records wait for their processor."""
        return self.log_end - self.until - self.lost


def plan(
    processor: str,
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    stored: Mapping[TopicPartition, int],
    *,
    older: Older,
) -> list[Part]:
    """Return what is read of each partition. `stored`: the highest offset that the processor has stored, or -1.

    Raises:
        LogReplaced: the log ends before what is stored.
    """
    parts = []
    for at in sorted(ends):
        until, begin = stored.get(at, -1) + 1, begins[at]
        if until > ends[at]:
            raise LogReplaced(
                f"{processor}: history has stored {at.topic}/{at.partition} up to offset {until - 1}, but the log ends before {ends[at]}: "
                "it was emptied or replaced, and cannot show what history should be. To go on with this log, behind the history that "
                "there is: runherald rebuild --new-log"
            )
        parts.append(
            Part(
                topic=at.topic,
                partition=at.partition,
                older=older if min(begin, until) > 0 else "none",
                log_from=min(begin, until),
                until=until,
                log_end=ends[at],
                lost=max(0, begin - until),
            )
        )
    return parts


def words_of(processor: str, parts: Sequence[Part]) -> list[str]:
    """Return the parts in words, a line for each partition with something in it."""
    lines = []
    for part in parts:
        words = []
        if part.older == "run_events":
            words.append(f"run_events below offset {part.log_from}, which the log no longer holds")
        if part.older == "kept":
            words.append(f"what is older than the log (below offset {part.log_from}) kept as it is")
        if part.from_log:
            words.append(f"the log from {part.log_from} to {part.until - 1}")
        if part.open:
            words.append(f"{part.open} records beyond not processed yet")
        if part.lost:
            words.append(f"{part.lost} records dropped by the log before they were processed")
        if words:
            lines.append(f"{processor}: {part.topic}/{part.partition}: {'; '.join(words)}")
    return lines
