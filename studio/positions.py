"""Read-your-writes: waiting until history has passed a position."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

from starlette.requests import Request

from runherald.api import POSITION_HEADER, parse_positions
from runherald.errors import InvalidInput
from runherald.records import Position, TopicPartition
from runherald.streams.log import Log, group_of
from runherald.studio.blocking import Blocking
from runherald.studio.errors import NotYet
from runherald.topics import DEAD_LETTERS, EVENTS, LOGS, METRICS

PROCESSORS = {EVENTS: "history", METRICS: "metrics", LOGS: "logs", DEAD_LETTERS: "dead-letters"}
"""Who stores the records of a topic. An offset is committed after its rows are stored, so a committed one can be read."""

_FIRST_PAUSE = 0.004
_LONGEST_PAUSE = 0.1


class Positions:
    """Knows how far history is. Belongs to one event loop."""

    def __init__(self, log: Log, blocking: Blocking, *, wait_seconds: float) -> None:
        self._log = log
        self._blocking = blocking
        self._wait_seconds = wait_seconds
        self._committed: dict[TopicPartition, int] = {}
        self._read_at: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def wait_for_request(self, request: Request) -> None:
        """Wait for the positions that a request carries; see `wait`."""
        value = request.headers.get(POSITION_HEADER)
        if value:
            await self.wait(parse_positions(value))

    async def wait(self, positions: Sequence[Position]) -> None:
        """Return once history has passed all of the positions.

        Raises:
            InvalidInput: no history is kept of a topic.
            NotYet: that did not happen in time.
        """
        for position in positions:
            if position.topic not in PROCESSORS:
                raise InvalidInput(f"{POSITION_HEADER}: {position.topic[:80]!r} is no topic that history is made of")
        deadline = time.monotonic() + self._wait_seconds
        pause = _FIRST_PAUSE
        while True:
            positions = [position for position in positions if not self._passed(position)]
            if not positions:
                return
            if time.monotonic() >= deadline:
                raise NotYet(f"history has not passed {len(positions)} of the positions within {self._wait_seconds:g} s; try again")
            await self._look({position.topic for position in positions})
            if all(self._passed(position) for position in positions):
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def passed(self, position: Position) -> bool:
        """Say whether history has passed a position."""
        if not self._passed(position):
            await self._look({position.topic})
        return self._passed(position)

    def _passed(self, position: Position) -> bool:
        return self._committed.get(TopicPartition(position.topic, position.partition), 0) > position.offset

    async def _look(self, topics: Collection[str]) -> None:
        """Ask the log how far history is. Many that wait share one question."""
        asked = time.monotonic()
        async with self._lock:
            for topic in topics:
                if self._read_at.get(topic, -1.0) < asked:
                    started = time.monotonic()
                    self._committed |= await self._blocking(self._log.committed, group_of(PROCESSORS[topic]), [topic])
                    self._read_at[topic] = started
