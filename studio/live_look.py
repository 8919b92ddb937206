"""Looking for changes in history while a page is open: works wherever the processors run."""

from __future__ import annotations

import asyncio
import logging
import time

from runherald.errors import RunheraldError
from runherald.sinks.queries import Activity, HistoryReader
from runherald.studio.blocking import Blocking
from runherald.studio.live import LiveFeed

logger = logging.getLogger(__name__)

_WINDOW = 5.0
"""Seconds looked back beyond the last look: a row may become visible that much later than its time says."""


class LiveLook:
    """Publishes the runs whose state, metrics, log or notices changed since the last look. Nobody reads: nobody looks."""

    def __init__(self, feed: LiveFeed, reader: HistoryReader, blocking: Blocking, *, interval: float) -> None:
        self._feed = feed
        self._reader = reader
        self._blocking = blocking
        self._interval = interval
        self._versions: dict[str, int] = {}
        self._activities: dict[str, Activity] = {}
        self._looked = time.monotonic()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        failing = False
        while True:
            await asyncio.sleep(self._interval)
            if not self._feed.followed:
                self._versions.clear()
                self._activities.clear()
                self._looked = time.monotonic()
                continue
            try:
                await self.look()
                failing = False
            except RunheraldError as error:
                if not failing:
                    logger.warning("event=live_feed_blind reason=%s", error)
                failing = True
            except Exception:
                # Pages that stand still must not go unnoticed: say it, and look again.
                if not failing:
                    logger.exception("event=live_feed_failed")
                failing = True

    async def look(self) -> None:
        """Look once. The first look after a pause tells of the last seconds: a page may have been read just before it followed."""
        now = time.monotonic()
        changed = await self._blocking(self._reader.changed_runs, _WINDOW + now - self._looked)
        known, self._versions, self._looked = self._versions, {run.run_id: run.version for run in changed}, now
        for run in changed:
            if known.get(run.run_id) != run.version:
                self._feed.publish(run.run_id, run.parent_run_id, run.root_run_id)
        await self._look_at_watched()

    async def _look_at_watched(self) -> None:
        before, self._activities = self._activities, {}
        for run_id in self._feed.watched():
            activity = await self._blocking(self._reader.activity, run_id)
            self._activities[run_id] = activity
            if before.get(run_id) != activity:
                self._feed.publish(run_id)
