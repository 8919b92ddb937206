"""What a mail about a run says beyond its event: last metrics, last lines, how its sweep is doing.

The mail does not wait for it: what history does not answer within half a second is left out, and said to be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from runherald.errors import Unreachable
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.select import select

logger = logging.getLogger(__name__)

WAIT_SECONDS = 0.5
LOG_LINES = 20
METRICS = 12

_FAMILY = """
SELECT parent_run_id, status, count() FROM run_state FINAL
WHERE workspace = {workspace:String} AND parent_run_id != '' AND parent_run_id IN ({run:String}, {parent:String}) AND run_id != {run:String}
GROUP BY parent_run_id, status
SETTINGS max_execution_time = 2
"""
_PARENT = """
SELECT display_name FROM run_state WHERE workspace = {workspace:String} AND run_id = {parent:String}
ORDER BY version DESC LIMIT 1
SETTINGS max_execution_time = 2
"""
_LINES = """
SELECT text FROM log_lines FINAL WHERE workspace = {workspace:String} AND run_id = {run:String} AND stream != 'file'
ORDER BY time DESC, number DESC LIMIT {lines:UInt32}
SETTINGS max_execution_time = 2
"""
# Not FINAL: a point that is stored twice changes no extreme, and is counted once.
_METRICS = """
SELECT name, last, lowest, highest, last_step, points
FROM
(
    SELECT
        series_id,
        argMax(value, (step, time)) AS last,
        min(value) AS lowest,
        max(value) AS highest,
        max(step) AS last_step,
        uniqExact(step, time, value) AS points
    FROM metric_points
    WHERE isFinite(value)
        AND series_id IN (SELECT series_id FROM metric_series WHERE workspace = {workspace:String} AND run_id = {run:String})
    GROUP BY series_id
) AS summaries
INNER JOIN (SELECT DISTINCT name, series_id FROM metric_series WHERE workspace = {workspace:String} AND run_id = {run:String}) AS series
    USING series_id
ORDER BY name LIMIT {metrics:UInt32}
SETTINGS max_execution_time = 2
"""


class MetricSummary(Struct, frozen=True, kw_only=True):
    """A scalar metric in a few numbers. `points` counts the finite ones; `last` is that of the highest step."""

    name: str
    last: float
    lowest: float
    highest: float
    last_step: int
    points: int


class RunContext(Struct, frozen=True, kw_only=True):
    """What history knows of a run at this moment.

    Attributes:
        lines: the last lines of its console, in order.
        metrics: by name.
        parent_name: how people call the run's parent.
        siblings: how many other children of its parent have each status.
        children: how many of its own children have each status.
    """

    lines: tuple[str, ...] = ()
    metrics: tuple[MetricSummary, ...] = ()
    parent_name: str = ""
    siblings: Mapping[str, int] = {}
    children: Mapping[str, int] = {}


class HistoryRunContext:
    """Reads a run's context from history, within a bound."""

    def __init__(self, db: HistoryDatabase, *, wait: float = WAIT_SECONDS, readers: int = 2) -> None:
        self._db = db
        self._wait = wait
        # Of its own: queries that hang must not hold the threads that store things.
        self._threads = ThreadPoolExecutor(max_workers=readers, thread_name_prefix="runherald-context")

    async def load(self, workspace: str, run_id: str, parent_run_id: str) -> RunContext | None:
        """Return the context of a run, or None when history did not answer in time."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._wait):
                return await loop.run_in_executor(self._threads, self._read, workspace, run_id, parent_run_id)
        except (TimeoutError, Unreachable) as error:
            logger.warning("mail goes without metrics and log lines run=%s reason=%s", run_id, type(error).__name__)
            return None

    def _read(self, workspace: str, run_id: str, parent_run_id: str) -> RunContext:
        run = {"workspace": workspace, "run": run_id, "parent": parent_run_id, "lines": LOG_LINES, "metrics": METRICS}
        counts: dict[str, dict[str, int]] = {}
        for parent, status, count in select(self._db, _FAMILY, run):
            counts.setdefault(parent, {})[status] = count
        names = select(self._db, _PARENT, run) if parent_run_id else ()
        return RunContext(
            lines=tuple(text for (text,) in reversed(select(self._db, _LINES, run))),
            metrics=tuple(
                MetricSummary(name=name, last=last, lowest=lowest, highest=highest, last_step=step, points=points)
                for name, last, lowest, highest, step, points in select(self._db, _METRICS, run)
            ),
            parent_name=names[0][0] if names else "",
            siblings=counts.get(parent_run_id, {}),
            children=counts.get(run_id, {}),
        )
