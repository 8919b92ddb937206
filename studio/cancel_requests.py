"""Which runs were asked to stop: told to a run with the answer to what it sends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection

from runherald.errors import RunheraldError
from runherald.sinks.queries import HistoryReader
from runherald.studio.blocking import Blocking

logger = logging.getLogger(__name__)

MAX_AGE = 0.5
"""Seconds that an answer of history is used again."""
PATIENCE = 0.5
"""Seconds that the intake waits for history; after that it goes by what it knew."""


class CancelRequests:
    """The runs with a cancellation that they have not obeyed, at most half a second old. Belongs to one event loop."""

    def __init__(self, reader: HistoryReader, blocking: Blocking) -> None:
        self._reader = reader
        self._blocking = blocking
        self._known: frozenset[str] = frozenset()
        self._looked = -MAX_AGE
        self._look: asyncio.Task[None] | None = None

    def add(self, run_id: str) -> None:
        """Know of a request before history does."""
        self._known |= {run_id}

    async def among(self, run_ids: Collection[str]) -> list[str]:
        """Return those of the runs that are to stop."""
        if self._look is None and time.monotonic() - self._looked > MAX_AGE:
            self._look = asyncio.create_task(self._refresh())
        if self._look is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._look), PATIENCE)
        return sorted(self._known.intersection(run_ids))

    async def _refresh(self) -> None:
        try:
            self._known = await self._blocking(self._reader.runs_to_cancel)
        except RunheraldError as error:
            logger.warning("event=cancel_requests_unknown reason=%s", error)
        finally:
            self._looked = time.monotonic()
            self._look = None
