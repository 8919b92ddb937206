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
        self._positions: dict[TopicPartition, int] = {}
        self._moved: dict[TopicPartition, float] = {}

    def look(
        self, now: float, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], called_since: float | None
    ) -> str | None:
        """Return why the worker is stuck, or None. `called_since` is when the processor's present call began."""
        for partition, position in positions.items():
            waits = ends.get(partition, position) > position
            if not waits or self._positions.get(partition) != position or partition not in self._moved:
                self._moved[partition] = now
        self._positions = dict(positions)
        if called_since is not None:
            if now - called_since >= self._patience.call:
                return f"the processor has not returned for {now - called_since:.0f} s"
            # It takes nothing because it is busy.
            self._moved = dict.fromkeys(positions, now)
            return None
        for partition in positions:
            still = now - self._moved[partition]
            if still >= self._patience.idle:
                behind = ends[partition] - positions[partition]
                return f"{partition.topic}/{partition.partition} stands {behind} records behind and has not moved for {still:.0f} s"
        return None
