"""Which runs were asked to stop: told to a run with the answer to what it sends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection

from runherald.errors import RunheraldError
from runherald.records import Position
from runherald.sinks.queries import HistoryReader
from runherald.studio.blocking import Blocking
from runherald.studio.positions import Positions

logger = logging.getLogger(__name__)

MAX_AGE = 0.5
"""Seconds that an answer of history is used again."""
PATIENCE = 0.5
"""Seconds that the intake waits for history; after that it goes by what it knew."""


class CancelRequests:
    """The runs with a cancellation that they have not obeyed, at most half a second old. Belongs to one event loop."""

    def __init__(self, reader: HistoryReader, blocking: Blocking, positions: Positions) -> None:
        self._reader = reader
        self._blocking = blocking
        self._positions = positions
        self._asked: dict[str, Position] = {}
        self._known: frozenset[str] = frozenset()
        self._looked = -MAX_AGE
        self._look: asyncio.Task[None] | None = None

    def add(self, run_id: str, position: Position) -> None:
        """Know of a request from the moment it is logged, until history has passed it and knows better."""
        self._asked[run_id] = position

    async def among(self, run_ids: Collection[str]) -> list[str]:
        """Return those of the runs that are to stop."""
        if self._look is None and time.monotonic() - self._looked > MAX_AGE:
            self._look = asyncio.create_task(self._refresh())
        if self._look is not None:
            await asyncio.wait({self._look}, timeout=PATIENCE)
        return sorted((self._known | self._asked.keys()).intersection(run_ids))

    async def _refresh(self) -> None:
        try:
            asked = list(self._asked.items())
            passed = [run_id for run_id, position in asked if await self._positions.passed(position)]
            self._known = await self._blocking(self._reader.runs_to_cancel)
            for run_id, position in asked:
                if run_id in passed and self._asked[run_id] == position:
                    del self._asked[run_id]
        except RunheraldError as error:
            logger.warning("event=cancel_requests_unknown reason=%s", error)
        except Exception:
            # Whoever waits for this has events in the log already: they must hear of that, whatever fails here.
            logger.exception("event=cancel_requests_failed")
        finally:
            self._looked = time.monotonic()
            self._look = None
