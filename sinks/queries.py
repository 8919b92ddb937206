"""Reading history: every page and API call comes through here, and how each table is de-duplicated is known here alone.

`run_state`, `transitions_log`, `notice_log`, `run_outputs` and `log_lines` are read with FINAL: narrow rows, or a narrow range of keys.
Lists of runs and points are not: see `runherald.sinks.run_list` and `runherald.sinks.metric_queries`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct

from runherald.api import LogLineView, MetricPage, MetricSeries, NoticeView, RunPage, RunView, TransitionView
from runherald.clock import Clock, system_clock
from runherald.records import TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.metric_queries import Curve, MetricReader
from runherald.sinks.run_list import IDS_AT_ONCE, RunList
from runherald.sinks.run_list import Family as Family
from runherald.sinks.run_list import RunFilter as RunFilter
from runherald.sinks.run_rows import known_time, view_of_state
from runherald.sinks.run_tree import RunTree
from runherald.sinks.select import Rows, select
from runherald.sinks.state_text import decode_state
from runherald.state import RunState
from runherald.status import TERMINAL, Status

MAX_LINES = 100_000
MAX_NOTICES = 10_000
MAX_LISTED = 10_000
"""How many runs are answered at once, without pages."""


class Change(Struct, frozen=True):
    """A run whose state was written lately; `version` differs each time."""

    run_id: str
    version: int
    parent_run_id: str
    root_run_id: str


class RunFile(Struct, frozen=True):
    """A file that a run has kept: its name, its size in bytes, and where it lies."""

    path: str
    size: int
    uri: str


class Activity(Struct, frozen=True):
    """How much there is of what a run's page shows beside its state. It differs when the page should be drawn again."""

    points: int
    lines: int
    notices: int


class HistoryReader:
    """Reads history. Safe between threads; every call blocks.

    Each call raises:
        Unreachable: the database does not answer now.
    """

    def __init__(self, db: HistoryDatabase, clock: Clock = system_clock) -> None:
        self._db = db
        self._clock = clock
        self._list = RunList(db, clock)
        self._tree = RunTree(self._list)
        self._metrics = MetricReader(db)

    def run(self, run_id: str) -> RunView | None:
        """Return all that is known of a run, or None."""
        state = self.state(run_id)
        return None if state is None else view_of_state(state, self._clock())

    def state(self, run_id: str) -> RunState | None:
        """Return the state of a run, or None."""
        rows = self._select("SELECT state FROM run_state WHERE run_id = {run:String} ORDER BY version DESC LIMIT 1", run=run_id)
        return decode_state(rows[0][0]) if rows else None

    def runs(self, wanted: RunFilter | None = None, *, cursor: str = "", limit: int = 100) -> RunPage:
        """Return a page of runs, newest first; `cursor` is the `next` of the page before.

        Raises:
            InvalidInput: a status, the cursor or the limit cannot be used.
        """
        return self._list.page(wanted or RunFilter(), cursor=cursor, limit=limit)

    def children(self, run_id: str, *, recursive: bool = False) -> list[RunView]:
        """Return the children of a run, oldest first, or all its descendants, each before its own children.

        Raises:
            InvalidInput: they are more than 10,000: ask for pages.
        """
        return self._tree.all(run_id, recursive=recursive, most=MAX_LISTED)

    def children_page(self, run_id: str, *, recursive: bool = False, cursor: str = "", limit: int = 100) -> RunPage:
        """Return a page of what `children` returns; `cursor` is the `next` of the page before.

        Raises:
            InvalidInput: the cursor or the limit cannot be used.
        """
        return self._tree.page(run_id, recursive=recursive, cursor=cursor, limit=limit)

    def families(self, run_ids: Sequence[str], each: int) -> dict[str, Family]:
        """Return the children of each of some runs, at most so many each; runs without children are left out."""
        return self._list.families(run_ids, each)

    def transitions(self, run_id: str) -> list[TransitionView]:
        """Return the transitions of a run in order, each refused report after what it came too late for."""
        rows = self._select(
            "SELECT run_id, status, previous_status, time, attempt, revision, cause, message, actor_kind, actor_name, correction, claim,"
            " accepted, reason FROM transitions_log FINAL WHERE run_id = {run:String}"
            " ORDER BY revision, accepted DESC, time, event_id",
            run=run_id,
        )
        return [_transition(row) for row in rows]

    def metrics(self, run_id: str, *, name: str = "", recursive: bool = False) -> list[MetricSeries]:
        """Return what a run logged under one name or all; `recursive` adds its descendants'. Raises what `children` does."""
        run_ids = [run_id, *(child.run_id for child in self.children(run_id, recursive=True))] if recursive else [run_id]
        return [series for part in _parts(run_ids) for series in self._metrics.series(part, name)]

    def metrics_page(self, run_id: str, *, name: str = "", cursor: str = "", limit: int = 100) -> MetricPage:
        """Return what a run (on the first page) and some of its descendants logged; `cursor` is the `next` of the page before.

        Raises:
            InvalidInput: the cursor or the limit cannot be used.
        """
        page = self._tree.page(run_id, recursive=True, cursor=cursor, limit=limit)
        run_ids = [*([] if cursor else [run_id]), *(run.run_id for run in page.runs)]
        return MetricPage(series=[one for part in _parts(run_ids) for one in self._metrics.series(part, name)], next=page.next)

    def curves(self, run_ids: Sequence[str]) -> list[Curve]:
        """Return the scalar metrics of at most 200 runs, reduced to what a chart can show."""
        return self._metrics.curves(run_ids[:IDS_AT_ONCE])

    def logs(self, run_id: str, *, tail: int | None = None) -> list[LogLineView]:
        """Return the last lines that a run printed, at most 100,000, in order of time."""
        rows = self._select(
            "SELECT file, number, time, text, stream FROM log_lines FINAL WHERE run_id = {run:String}"
            " ORDER BY time DESC, file DESC, number DESC LIMIT {lines:UInt32}",
            run=run_id,
            lines=MAX_LINES if tail is None else max(0, min(tail, MAX_LINES)),
        )
        return [
            LogLineView(file=file, number=number, time=time, text=text, stream=stream)
            for file, number, time, text, stream in reversed(rows)
        ]

    def files(self, run_id: str, limit: int) -> tuple[list[RunFile], int]:
        """Return the files of a run in order of their names, at most `limit`, and how many there are."""
        rows = self._select(
            "SELECT path, size, uri, count() OVER () FROM run_outputs FINAL WHERE run_id = {run:String} ORDER BY path LIMIT {rows:UInt32}",
            run=run_id,
            rows=limit,
        )
        return [RunFile(path, size, uri) for path, size, uri, _ in rows], rows[0][3] if rows else 0

    def notices(self, run_id: str = "", *, limit: int = MAX_NOTICES) -> list[NoticeView]:
        """Return the notices about a run, or all, newest first."""
        rows = self._select(
            "SELECT notice_id, run_id, rule, recipient, subject, state, reason, attempts, event_time, decided_time, done_time"
            " FROM notice_log FINAL WHERE {run:String} = '' OR run_id = {run:String}"
            " ORDER BY decided_time DESC, notice_id LIMIT {rows:UInt32}",
            run=run_id,
            rows=limit,
        )
        return [_notice(row) for row in rows]

    def notice_balance(self) -> dict[str, int]:
        """Return how many notices are in each state."""
        return dict(self._select("SELECT state, count() FROM notice_log FINAL GROUP BY state ORDER BY state"))

    def status_counts(self, experiment: str = "") -> dict[str, int]:
        """Return how many active-life runs have each status."""
        return self._list.status_counts(experiment)

    def experiments(self, limit: int = 200) -> list[str]:
        """Return the names of the experiments that had runs last."""
        return self._list.experiments(limit)

    def runs_to_cancel(self) -> frozenset[str]:
        """Return the runs that somebody asked to cancel and that have not obeyed yet."""
        # Asked twice a second: FINAL over all runs would cost too much. Any row that says so makes a run a candidate, its newest decides.
        rows = self._select(
            "SELECT run_id FROM run_state WHERE (workspace, run_id) IN"
            " (SELECT workspace, run_id FROM run_state WHERE status = {status:String})"
            " GROUP BY workspace, run_id HAVING argMax(status, version) = {status:String}",
            status=Status.CANCEL_REQUESTED.value,
        )
        return frozenset(run_id for (run_id,) in rows)

    def active_states(self, partitions: Collection[int] | None = None) -> list[RunState]:
        """Return the states of the runs that have not ended, of some partitions of the events topic or of all."""
        rows = self._select(
            "SELECT state FROM run_state FINAL WHERE (workspace, run_id) IN (SELECT workspace, run_id FROM run_state FINAL"
            " WHERE status NOT IN {ended:Array(String)} AND ({all:Bool} OR _partition IN {partitions:Array(UInt32)}))",
            ended=["", *sorted(TERMINAL)],
            all=partitions is None,
            partitions=sorted(partitions or ()),
        )
        return [decode_state(text) for (text,) in rows]

    def changed_runs(self, seconds: float) -> list[Change]:
        """Return the runs whose state was written within the last seconds."""
        rows = self._select(
            "SELECT run_id, max(version), any(parent_run_id), any(root_run_id) FROM run_state"
            " WHERE _ingested_at > now64(6) - toIntervalMillisecond({millis:UInt32}) GROUP BY run_id ORDER BY run_id",
            millis=round(seconds * 1000),
        )
        return [Change(*row) for row in rows]

    def activity(self, run_id: str) -> Activity:
        """Return how much there is of a run's metrics, log and notices."""
        rows = self._select(
            "SELECT (SELECT count() FROM metric_points WHERE series_id IN"
            " (SELECT series_id FROM metric_series WHERE run_id = {run:String})),"
            " (SELECT count() FROM log_lines WHERE run_id = {run:String}),"
            " (SELECT max(version) FROM notice_log WHERE run_id = {run:String})",
            run=run_id,
        )
        return Activity(*rows[0])

    def watermarks(self, processor: str) -> dict[TopicPartition, int]:
        """Return the highest offset that a processor has stored, for each partition it has stored any of."""
        rows = self._select(
            "SELECT topic, partition, max(last) FROM ingest_watermarks WHERE processor = {processor:String} GROUP BY topic, partition",
            processor=processor,
        )
        return {TopicPartition(topic, partition): last for topic, partition, last in rows}

    def check(self) -> None:
        """Raise `Unreachable` unless the database answers and has the tables."""
        self._select("SELECT 1 FROM run_state LIMIT 1")

    def _select(self, query: str, **parameters: Any) -> Rows:
        return select(self._db, query, parameters)


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE)]


def _transition(row: Sequence[Any]) -> TransitionView:
    run_id, status, previous, time, attempt, revision, cause, message, actor_kind, actor_name, correction, claim, accepted, reason = row
    return TransitionView(
        run_id=run_id,
        status=status,
        previous_status=previous,
        time=time,
        attempt=attempt,
        revision=revision,
        cause=cause,
        message=message,
        # A run's name for itself is its producer, which tells a reader nothing.
        actor=actor_kind if actor_kind == "run" or not actor_name else f"{actor_kind} {actor_name}",
        correction=correction,
        claim=claim,
        accepted=accepted,
        reason=reason,
    )


def _notice(row: Sequence[Any]) -> NoticeView:
    notice_id, run_id, rule, recipient, subject, state, reason, attempts, event_time, decided_time, done_time = row
    return NoticeView(
        notice_id=notice_id,
        run_id=run_id,
        rule=rule,
        recipient=recipient,
        subject=subject,
        state=state,
        reason=reason,
        attempts=attempts,
        event_time=known_time(event_time),
        decided_time=known_time(decided_time),
        done_time=known_time(done_time),
    )
