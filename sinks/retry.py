"""Trying again for as long as it can help."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runherald.errors import Unreachable
from runherald.sinks.errors import classify

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_SECONDS = 0.1
CAP_SECONDS = 30.0


class Retry:
    """Runs blocking calls in a thread, and again while their error is one that passes.

    The wait doubles from 0.1 to 30 seconds, less up to half of it by chance, so that workers do not come back all at once. There is no last
    attempt: the partition lags meanwhile, and nothing is dropped. Cancelling the task ends it.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._chance = chance

    async def until_done(self, what: str, call: Callable[[], T]) -> T:
        """Return what the call returns. An error that is not retriable is raised."""
        attempt = 0
        while True:
            try:
                result = await asyncio.to_thread(call)
            except Exception as error:
                if not _passes(error):
                    raise
                delay = self.delay(attempt)
                attempt += 1
                logger.warning("history is away what=%s attempt=%d wait_seconds=%.1f error=%s", what, attempt, delay, _brief(error))
                await self._sleep(delay)
            else:
                if attempt:
                    logger.info("history is back what=%s attempts=%d", what, attempt + 1)
                return result

    def delay(self, attempt: int) -> float:
        """Return how many seconds to wait after the n-th failure, counted from 0."""
        ceiling = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(attempt, 16))
        return ceiling * (1 - self._chance() / 2)


def _passes(error: Exception) -> bool:
    return isinstance(error, Unreachable) or classify(error) == "retriable"


def _brief(error: Exception) -> str:
    """The kind alone: an answer of the database may hold values of rows."""
    code = getattr(error, "code", None)
    return type(error).__name__ if code is None else f"{type(error).__name__}:{code}"
