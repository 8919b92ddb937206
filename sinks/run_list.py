"""Reading runs by the time of their creation: pages, families and counts out of millions.

`run_index` is read without FINAL: rows are found that fulfil a filter in some version, newest run first, and the newest version of each
then decides. Counts need every run once, and take FINAL: a month that is past is one merged part, where it costs nothing.

A run whose creation time became known late has an older row at 1970-01-01, which only `run_state` tells from a run that never had one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct

from runherald.api import RunPage, RunView
from runherald.clock import EPOCH, Clock, from_micros, to_micros
from runherald.errors import InvalidInput
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.run_rows import LIST_COLUMNS, view_of_row
from runherald.sinks.select import Rows, select
from runherald.status import Status

T = TypeVar("T")

MAX_PAGE = 1_000
IDS_AT_ONCE = 200
"""How many ids one query names: parameters travel in the URL."""
_KEYS_AT_ONCE = 250
_MAX_ROWS = 10_000
_WINDOWS = (timedelta(days=31), timedelta(days=366))
"""How far back a page looks first. Old months need not be opened for a page of new runs."""

_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)  # the least that DateTime64 holds
_UNKNOWN = "toDateTime64(0, 6, 'UTC')"
_REPLACED = (
    "(SELECT workspace, run_id FROM run_state WHERE (workspace, run_id) IN"  # noqa: S608 (a constant)
    f" (SELECT workspace, run_id FROM run_index WHERE created_time = {_UNKNOWN}) AND created_time != {_UNKNOWN})"
)
_CURRENT = (
    f"(SELECT * FROM run_index FINAL WHERE created_time != {_UNKNOWN} UNION ALL"  # noqa: S608 (a constant)
    f" SELECT * FROM run_index FINAL WHERE created_time = {_UNKNOWN} AND (workspace, run_id) NOT IN {_REPLACED})"
)
"""Each run once, as it is now."""


class RunFilter(Struct, frozen=True, kw_only=True):
    """Which runs are meant. What is empty does not matter.

    Attributes:
        statuses: any of these.
        root_only: only runs without a parent.
        tag: `key`, or `key=value`.
        life: Active, Archived or Deleted; empty for all.
    """

    experiment: str = ""
    statuses: tuple[str, ...] = ()
    parent: str = ""
    root_only: bool = False
    tag: str = ""
    life: str = "Active"


class Family(Struct, frozen=True):
    """The first children of a run, oldest first, and how many there are of each status."""

    first: list[RunView]
    counts: dict[str, int]


class Place(NamedTuple):
    """Where a run stands in the order of creation. One without a known time stands at 1970-01-01."""

    created_time: datetime
    run_id: str


class _Key(NamedTuple):
    """A key of `run_index`."""

    created_time: datetime
    run_id: str
    workspace: str


class _Conditions(NamedTuple):
    """What rows must satisfy: to be looked at, and to be shown. Only constants stand here; what the user said is bound."""

    found: str
    shown: str
    parameters: dict[str, Any]


class RunList:
    """Reads the list of runs. Safe between threads; every call blocks."""

    def __init__(self, db: HistoryDatabase, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def page(self, wanted: RunFilter, *, cursor: str = "", limit: int = 100) -> RunPage:
        """Return a page of runs, newest first; `cursor` is the `next` of the page before.

        Raises:
            InvalidInput: a status, the cursor or the limit cannot be used.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"limit: {limit} is not between 1 and {MAX_PAGE}")
        conditions = _conditions(wanted)
        runs: list[RunView] = []
        for keys in self._batches(conditions, _parse_cursor(cursor) if cursor else None, limit + 1):
            runs += self._shown(keys, conditions)
            if len(runs) > limit:
                break
        return RunPage(runs=runs[:limit], next=place_text(place_of(runs[limit - 1])) if len(runs) > limit else "")

    def children_after(self, parent: str, after: Place | None, limit: int) -> list[RunView]:
        """Return the children of a run that come after a place, oldest first and at most so many, except those that were deleted."""
        place = "(created, run_id) > ({after:DateTime64(6, 'UTC')}, {after_run:String})" if after else "1"
        return self._views(
            self._select(
                f"SELECT created, run_id, workspace FROM {_CHILDREN} WHERE now_life != 'Deleted' AND {place}"  # noqa: S608 (constants only)
                " ORDER BY created, run_id LIMIT {rows:UInt32}",
                parents=[parent],
                rows=limit,
                **({"after": after.created_time, "after_run": after.run_id} if after else {}),
            )
        )

    def parents_among(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Return which of some runs have children that were not deleted."""
        return frozenset(
            parent
            for part in _parts(run_ids, IDS_AT_ONCE)
            for (parent,) in self._select(
                f"SELECT DISTINCT parent_run_id FROM {_CHILDREN} WHERE now_life != 'Deleted'",  # noqa: S608 (a constant)
                parents=list(part),
            )
        )

    def families(self, run_ids: Sequence[str], each: int) -> dict[str, Family]:
        """Return the children of each of some runs, at most so many each; runs without children are left out."""
        counts: dict[str, dict[str, int]] = {}
        for parent, status, count in self._select(
            f"SELECT parent_run_id, now_status, count() FROM {_CHILDREN}"  # noqa: S608 (a constant)
            " WHERE now_life = 'Active' GROUP BY parent_run_id, now_status ORDER BY now_status",
            parents=list(run_ids),
        ):
            counts.setdefault(parent, {})[status] = count
        first: dict[str, list[RunView]] = {parent: [] for parent in counts}
        if not counts:
            return {}
        for child in self._views(
            self._select(
                f"SELECT created, run_id, workspace FROM {_CHILDREN} WHERE now_life = 'Active'"  # noqa: S608 (a constant)
                " ORDER BY created, run_id LIMIT {each:UInt32} BY parent_run_id",
                parents=sorted(counts),
                each=each,
            )
        ):
            if child.parent_run_id in first:
                first[child.parent_run_id].append(child)
        return {parent: Family(first[parent], counts[parent]) for parent in counts}

    def status_counts(self, experiment: str = "") -> dict[str, int]:
        """Return how many active-life runs have each status."""
        condition = "experiment_name = {experiment:String}" if experiment else "1"
        rows = self._select(
            f"SELECT status, count() FROM {_CURRENT} WHERE life = 'Active' AND {condition} GROUP BY status",  # noqa: S608 (constants only)
            experiment=experiment,
        )
        return dict(rows)

    def experiments(self, limit: int = 200) -> list[str]:
        """Return the names of the experiments that had runs last."""
        rows = self._select(
            f"SELECT experiment_name FROM {_CURRENT} WHERE life = 'Active' AND experiment_name != ''"  # noqa: S608 (a constant)
            " GROUP BY experiment_name ORDER BY max(created_time) DESC, experiment_name LIMIT {rows:UInt32}",
            rows=limit,
        )
        return [name for (name,) in rows]

    def _batches(self, conditions: _Conditions, before: _Key | None, wanted: int) -> Iterator[Sequence[_Key]]:
        """Give the keys of the rows that fulfil the conditions in any version, newest run first, some at a time and at most so many."""
        for earliest in self._windows(before):
            # A run that changes now has some versions that are not merged yet.
            rows = 2 * wanted
            while len(keys := self._found(conditions, earliest, before, rows)) == rows:
                yield from _parts(list(dict.fromkeys(keys)), wanted)
                before = keys[-1]
                rows = min(2 * rows, _MAX_ROWS)
            yield from _parts(list(dict.fromkeys(keys)), wanted)
            before = _Key(earliest, "", "")

    def _windows(self, before: _Key | None) -> Iterator[datetime]:
        """Give the times from which on rows are looked for, ever earlier."""
        now = self._clock() if before is None else before.created_time
        for window in _WINDOWS:
            if now - EPOCH > window:
                yield now - window
        yield _EARLIEST

    def _found(self, conditions: _Conditions, earliest: datetime, before: _Key | None, limit: int) -> list[_Key]:
        """Return the keys of the next rows in a window; a key comes once for each version."""
        place = "created_time >= {earliest:DateTime64(6, 'UTC')}"
        if before:  # the time alone is what months and granules are chosen by
            place += " AND created_time <= {before:DateTime64(6, 'UTC')}"
            place += " AND (created_time, run_id) < ({before:DateTime64(6, 'UTC')}, {before_run:String})"
        # LIMIT BY would read every row before the first is given.
        rows = self._select(
            f"SELECT created_time, run_id, workspace FROM run_index WHERE {conditions.found} AND {place}"  # noqa: S608 (constants only)
            " ORDER BY created_time DESC, run_id DESC, workspace DESC LIMIT {rows:UInt32}",
            **conditions.parameters,
            earliest=earliest,
            **({"before": before.created_time, "before_run": before.run_id} if before else {}),
            rows=limit,
        )
        return [_Key(*row) for row in rows]

    def _shown(self, keys: Sequence[_Key], conditions: _Conditions) -> list[RunView]:
        """Return those runs, in the order given, that fulfil the conditions now."""
        replaced = self._replaced([key for key in keys if key.created_time == EPOCH])
        return self._views([key for key in keys if key not in replaced], conditions)

    def _replaced(self, keys: Sequence[_Key]) -> set[_Key]:
        """Return which of the keys at 1970-01-01 are of runs that have a known time by now."""
        return {
            _Key(EPOCH, run_id, workspace)
            for part in _parts(keys, IDS_AT_ONCE)
            for workspace, run_id in self._select(
                "SELECT workspace, run_id FROM run_state WHERE (workspace, run_id) IN {keys:Array(Tuple(String, String))}"  # noqa: S608
                f" AND created_time != {_UNKNOWN}",
                keys=[(key.workspace, key.run_id) for key in part],
            )
        }

    def _views(self, keys: Sequence[Sequence[Any]], conditions: _Conditions | None = None) -> list[RunView]:
        """Return the newest version of the rows of (created_time, run_id, workspace), in the order given."""
        now = self._clock()
        views = {
            (row[1], row[0]): view_of_row(row, now)
            for part in _parts(keys, _KEYS_AT_ONCE)
            for row in self._select(
                f"SELECT {LIST_COLUMNS} FROM (SELECT * FROM run_index WHERE (created_time, run_id, workspace)"  # noqa: S608 (constants only)
                " IN {keys:Array(Tuple(DateTime64(6, 'UTC'), String, String))}"
                " ORDER BY version DESC LIMIT 1 BY created_time, run_id, workspace)"
                f" WHERE {conditions.shown if conditions else '1'}",
                **(conditions.parameters if conditions else {}),
                keys=[(f"{created:%Y-%m-%d %H:%M:%S.%f}", run_id, workspace) for created, run_id, workspace in part],
            )
        }
        return [views[workspace, run_id] for _, run_id, workspace in keys if (workspace, run_id) in views]

    def _select(self, query: str, **parameters: Any) -> Rows:
        return select(self._db, query, parameters)


# A parent that is known stays, so that the newest version of a child is among the rows that name it.
_CHILDREN = (
    "(SELECT parent_run_id, run_id, workspace, argMax(status, version) AS now_status, argMax(life, version) AS now_life,"
    " argMax(created_time, version) AS created"
    " FROM run_index WHERE parent_run_id IN {parents:Array(String)} GROUP BY parent_run_id, run_id, workspace)"
)


def _conditions(wanted: RunFilter) -> _Conditions:
    for status in wanted.statuses:
        if status not in tuple(Status):
            raise InvalidInput(f"status: {status[:40]!r} is no status; there are {', '.join(Status)}")
    key, equals, value = wanted.tag.partition("=")
    both = {
        "experiment_name = {experiment:String}": bool(wanted.experiment),
        "status IN {statuses:Array(String)}": bool(wanted.statuses),
        "parent_run_id = {parent:String}": bool(wanted.parent),
        "parent_run_id = ''": wanted.root_only,
        "life = {life:String}": bool(wanted.life),
    }
    found = {
        "has(tag_words, sipHash64({tag:String}, {tag_value:String}))": bool(equals),
        "has(tag_words, sipHash64({tag:String}))": bool(key) and not equals,
    }
    shown = {
        "tags[{tag:String}] = {tag_value:String} AND mapContains(tags, {tag:String})": bool(equals),
        "(mapContains(tags, {tag:String}) OR has(flags, {tag:String}))": bool(key) and not equals,
    }
    parameters = {
        "experiment": wanted.experiment,
        "statuses": list(wanted.statuses),
        "parent": wanted.parent,
        "tag": key,
        "tag_value": value,
        "life": wanted.life,
    }
    return _Conditions(_all_of(both | found), _all_of(both | shown), parameters)


def _all_of(conditions: dict[str, bool]) -> str:
    return " AND ".join(["1", *(condition for condition, holds in conditions.items() if holds)])


def place_of(run: RunView) -> Place:
    """Return where a run stands."""
    return Place(run.created_time or EPOCH, run.run_id)


def place_text(place: Place) -> str:
    """Return a place as cursors have it."""
    return f"{to_micros(place.created_time)}.{place.run_id}"


def parse_place(text: str) -> Place:
    """Return the place that a cursor has.

    Raises:
        InvalidInput: it has none.
    """
    micros, dot, run_id = text.partition(".")
    if not dot or not micros.isdecimal() or len(micros) > 16:
        raise InvalidInput("cursor: is not the `next` of a page; leave it out to begin at the first")
    return Place(from_micros(int(micros)), run_id)


def _parse_cursor(cursor: str) -> _Key:
    return _Key(*parse_place(cursor), "")


def _parts(ids: Sequence[T], size: int) -> list[Sequence[T]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
