"""What a mail about a run says beyond its event: last metrics, last lines, how its sweep is doing.

Read for all runs of a batch together, with one query a kind. The mails do not wait for it: what history does not answer within half a
second is left out, and said to be.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from msgspec import Struct

from runherald.errors import Unreachable
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.select import select

logger = logging.getLogger(__name__)

T = TypeVar("T")

WAIT_SECONDS = 0.5
LOG_LINES = 20
METRICS = 12

# Of runs and of their parents: what people call them, and how far history has come with them.
_STATES = """
SELECT run_id, parent_run_id, display_name, status, revision FROM run_state
WHERE workspace = {workspace:String} AND run_id IN {runs:Array(String)}
ORDER BY version DESC LIMIT 1 BY run_id
SETTINGS max_execution_time = 2
"""
# Of the others in their families. A run's parent never changes, so they are found without FINAL, and only they are read with it.
_OTHERS = """
SELECT parent_run_id, status, count() FROM run_state FINAL
WHERE workspace = {workspace:String} AND run_id NOT IN {runs:Array(String)} AND run_id IN
    (SELECT run_id FROM run_state WHERE workspace = {workspace:String} AND parent_run_id IN {runs:Array(String)})
GROUP BY parent_run_id, status
SETTINGS max_execution_time = 2
"""
_LINES = """
SELECT run_id, text FROM log_lines FINAL WHERE workspace = {workspace:String} AND run_id IN {runs:Array(String)} AND stream != 'file'
ORDER BY time DESC, number DESC LIMIT {lines:UInt32} BY run_id
SETTINGS max_execution_time = 2
"""
_SERIES = """
SELECT DISTINCT run_id, name, series_id FROM metric_series WHERE workspace = {workspace:String} AND run_id IN {runs:Array(String)}
ORDER BY run_id, name
SETTINGS max_execution_time = 2
"""
# Not FINAL: a point that is stored twice changes no extreme, and is counted once.
_SUMMARIES = """
SELECT
    series_id,
    argMax(value, (step, time)) AS last,
    min(value) AS lowest,
    max(value) AS highest,
    max(step) AS last_step,
    uniqExact(step, time, value) AS points
FROM metric_points
WHERE isFinite(value) AND series_id IN {series:Array(UInt64)}
GROUP BY series_id
SETTINGS max_execution_time = 2
"""


class RunKey(NamedTuple):
    """Which run is asked about; `parent_run_id` is empty for one without."""

    workspace: str
    run_id: str
    parent_run_id: str


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


class _State(NamedTuple):
    run_id: str
    parent_run_id: str
    display_name: str
    status: str
    revision: int


class HistoryRunContext:
    """Reads runs' contexts from history, within a bound."""

    def __init__(self, db: HistoryDatabase, *, wait: float = WAIT_SECONDS, readers: int = 2) -> None:
        self._db = db
        self._wait = wait
        # Of its own: queries that hang must not hold the threads that store things.
        self._threads = ThreadPoolExecutor(max_workers=readers, thread_name_prefix="runherald-context")

    async def revisions(self, runs: Collection[RunKey]) -> Mapping[RunKey, int]:
        """Return how many transitions of each run history knows; nothing when it does not answer in time."""
        return await self._bounded(self._revisions, runs) or {}

    async def load(self, runs: Collection[RunKey]) -> Mapping[RunKey, RunContext]:
        """Return the contexts of some runs: of each, or of none when history did not answer in time."""
        found = await self._bounded(self._read, runs)
        if found is None:
            logger.warning("mails go without metrics and log lines mails=%d run=%s", len(runs), min(run.run_id for run in runs))
        return found or {}

    async def _bounded(self, read: Callable[[Set[RunKey]], dict[RunKey, T]], runs: Collection[RunKey]) -> dict[RunKey, T] | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._wait):
                return await loop.run_in_executor(self._threads, read, frozenset(runs))
        except (TimeoutError, Unreachable):
            return None

    def _revisions(self, runs: Set[RunKey]) -> dict[RunKey, int]:
        found: dict[RunKey, int] = {}
        for workspace, some in _by_workspace(runs):
            states = self._states(workspace, {run.run_id for run in some})
            found.update((run, states[run.run_id].revision) for run in some if run.run_id in states)
        return found

    def _states(self, workspace: str, run_ids: Set[str]) -> dict[str, _State]:
        return {row[0]: _State(*row) for row in select(self._db, _STATES, {"workspace": workspace, "runs": sorted(run_ids)})}

    def _read(self, runs: Set[RunKey]) -> dict[RunKey, RunContext]:
        return {run: context for workspace, some in _by_workspace(runs) for run, context in self._read_workspace(workspace, some)}

    def _read_workspace(self, workspace: str, runs: Sequence[RunKey]) -> Iterator[tuple[RunKey, RunContext]]:
        own = {run.run_id for run in runs}
        related = own | {run.parent_run_id for run in runs if run.parent_run_id}
        states = self._states(workspace, related)
        families: dict[str, Counter[str]] = {}
        for parent, status, count in select(self._db, _OTHERS, {"workspace": workspace, "runs": sorted(related)}):
            families.setdefault(parent, Counter())[status] = count
        for state in states.values():
            families.setdefault(state.parent_run_id, Counter())[state.status] += 1
        lines: dict[str, list[str]] = {}
        for run_id, text in select(self._db, _LINES, {"workspace": workspace, "runs": sorted(own), "lines": LOG_LINES}):
            lines.setdefault(run_id, []).append(text)
        metrics = self._metrics(workspace, own)
        unknown = _State("", "", "", "", 0)
        for run in runs:
            state = states.get(run.run_id, unknown)
            yield (
                run,
                RunContext(
                    lines=tuple(reversed(lines.get(run.run_id, ()))),
                    metrics=tuple(metrics.get(run.run_id, ())[:METRICS]),
                    parent_name=states.get(run.parent_run_id, unknown).display_name,
                    siblings=families.get(run.parent_run_id, Counter()) - Counter({state.status: 1}) if run.parent_run_id else {},
                    children=families.get(run.run_id, {}),
                ),
            )

    def _metrics(self, workspace: str, run_ids: Set[str]) -> dict[str, list[MetricSummary]]:
        series = select(self._db, _SERIES, {"workspace": workspace, "runs": sorted(run_ids)})
        if not series:
            return {}
        summaries = {row[0]: row[1:] for row in select(self._db, _SUMMARIES, {"series": [series_id for _, _, series_id in series]})}
        found: dict[str, list[MetricSummary]] = {}
        for run_id, name, series_id in series:
            if series_id in summaries:
                last, lowest, highest, last_step, points = summaries[series_id]
                summary = MetricSummary(name=name, last=last, lowest=lowest, highest=highest, last_step=last_step, points=points)
                found.setdefault(run_id, []).append(summary)
        return found


def _by_workspace(runs: Set[RunKey]) -> Iterator[tuple[str, list[RunKey]]]:
    for workspace in {run.workspace for run in runs}:
        yield workspace, [run for run in runs if run.workspace == workspace]
