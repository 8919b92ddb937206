"""A worker that takes nothing though the log has more ends itself, so that whoever runs it starts another.

Faust has been seen alive and consuming nothing, after a broker's outage or a rebalance. Its own detector only logs.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from runherald.records import TopicPartition


class Patience(Struct, frozen=True):
    """How long a worker may be seen without progress, in seconds.

    Attributes:
        idle: while it waits for records, though there are.
        call: within one call of the processor. A database that is away is waited for, so this is long.
    """

    idle: float = 90.0
    call: float = 900.0


class Watchdog:
    """Judges what it is shown, about every few seconds."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._standing: dict[TopicPartition, tuple[int, float]] = {}

    def look(
        self, now: float, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], called_since: float | None
    ) -> str | None:
        """Return why the worker is stuck, or None. `called_since` is when the processor's present call began."""
        if called_since is not None:
            # It takes nothing because it is busy.
            self._standing.clear()
            waited = now - called_since
            return f"the processor has not returned for {waited:.0f} s" if waited >= self._patience.call else None
        standing: dict[TopicPartition, tuple[int, float]] = {}
        for partition, position in positions.items():
            if ends.get(partition, position) <= position:
                continue
            before, since = self._standing.get(partition, (position, now))
            standing[partition] = (position, since if before == position else now)
        self._standing = standing
        for partition, (position, since) in standing.items():
            if now - since >= self._patience.idle:
                behind = ends[partition] - position
                return f"{partition.topic}/{partition.partition} stands {behind} records behind and has not moved for {now - since:.0f} s"
        return None
