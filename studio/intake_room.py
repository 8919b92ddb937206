"""Room for the bodies of requests that write: when the log is slow, callers wait, and memory does not grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from runherald.streams.fill import Fill
from runherald.studio.errors import Busy

MAX_BYTES = 48 * 1024 * 1024
"""Of bodies that are being read, checked or appended."""
MAX_REQUESTS = 512
WAIT_SECONDS = 10.0
"""How long a caller waits for room. Its body stays in its socket meanwhile, which slows it down."""


class Share:
    """What one request has in the room."""

    def __init__(self) -> None:
        self.size = 0
        self.whole = False


class IntakeRoom:
    """Lets so many requests, and so many bytes of them, in at once. Belongs to one event loop.

    Attributes:
        on_turned_away: called for each request that is told to come again.
    """

    def __init__(
        self,
        on_turned_away: Callable[[], None],
        *,
        max_bytes: int = MAX_BYTES,
        max_requests: int = MAX_REQUESTS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.on_turned_away = on_turned_away
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self._wait_seconds = wait_seconds
        self._shares: dict[Share, None] = {}  # the oldest first
        self._size = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def share(self) -> AsyncIterator[Share]:
        """Let a request in, until the block ends.

        Raises:
            Busy: too many are in.
        """
        if len(self._shares) >= self._max_requests:
            raise self._busy(f"{self._max_requests} requests that write are under way")
        share = Share()
        self._shares[share] = None
        try:
            yield share
        finally:
            del self._shares[share]
            self._size -= share.size
            await self._tell()

    async def add(self, share: Share, size: int) -> None:
        """Make room for more bytes of a body; waits for it.

        Raises:
            Busy: there was none in time.
        """
        if not self._fits(share, size):
            try:
                async with asyncio.timeout(self._wait_seconds), self._changed:
                    await self._changed.wait_for(lambda: self._fits(share, size))
            except TimeoutError:
                raise self._busy(f"{self._size} bytes wait to be appended to the log") from None
        share.size += size
        self._size += size

    async def read(self, share: Share) -> None:
        """Take note that a body is whole: from now on its share is given back by itself."""
        share.whole = True
        await self._tell()

    def fill(self) -> Fill:
        """Return how full it is."""
        return Fill("intake", len(self._shares), self._max_requests, self._size, self._max_bytes)

    def _fits(self, share: Share, size: int) -> bool:
        if self._size + size <= self._max_bytes:
            return True
        # Where all wait for the rest of their bodies nobody would ever give room back: the first one in may go on.
        return not any(each.whole for each in self._shares) and share is next(iter(self._shares))

    def _busy(self, reason: str) -> Busy:
        self.on_turned_away()
        return Busy(f"{reason} already; send it again in a moment")

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
