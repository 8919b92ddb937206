"""What the widget reads of a run, each time anew, and in bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from runherald.api import LogLineView, RunPage, RunView
from runherald.charts import Charts
from runherald.errors import RunheraldError
from runherald.producers.server.client import UNREADABLE, ApiClient, error_of
from runherald.producers.server.connection import Connection
from runherald.status import TERMINAL

LINES = 200
CHILDREN = 100
OBJECTS = 50
_OBJECT_LENGTH = 200
_SELDOM_SECONDS = 10.0
"""Queries cost a server more than other reads."""

T = TypeVar("T")


class LoggedObject(Struct, frozen=True):
    """What was logged under a name and is no number: how often, and the last of it, shortened."""

    name: str
    kind: str
    times: int
    last: str


class Reading(Struct, frozen=True, kw_only=True):
    """A run as the server had it. `child_counts` are of all children by status; empty where all of them are in `children`."""

    view: RunView
    drawing: Charts = Charts()
    children: RunPage = RunPage(runs=[])
    child_counts: Mapping[str, int] = {}
    objects: list[LoggedObject] = []
    lines: list[LogLineView] = []


class RunReader:
    """Reads a run: the run itself has to be had; of the rest, what cannot be had now stays as it was.

    `pages` is a connection to the same server as the client's.
    """

    def __init__(self, client: ApiClient, pages: Connection, run_id: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._pages = pages
        self._run_id = run_id
        self._monotonic = monotonic
        self._last: Reading | None = None
        self._seldom_at = -_SELDOM_SECONDS

    def read(self) -> Reading:
        """Read the run.

        Raises:
            Unreachable: the server cannot be reached or cannot answer now.
            NotFound: it knows no such run.
            Unauthorized: it refuses the token.
        """
        view = self._client.get_run(self._run_id)
        old = self._last or Reading(view=view)
        children = _or_else(lambda: self._client.list_runs(parent=self._run_id, life="all", limit=CHILDREN), old.children)
        counts, objects = old.child_counts, old.objects
        if view.status in TERMINAL or self._monotonic() - self._seldom_at >= _SELDOM_SECONDS:
            counts = _or_else(self._child_counts, counts) if children.next else {}
            objects = _or_else(self._objects, objects)
            self._seldom_at = self._monotonic()
        self._last = Reading(
            view=view,
            drawing=_or_else(self._drawing, old.drawing),
            children=children,
            child_counts=counts,
            objects=objects,
            lines=_or_else(lambda: self._client.logs(self._run_id, tail=LINES), old.lines),
        )
        return self._last

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._pages.close()

    def _drawing(self) -> Charts:
        answer = self._pages.request("GET", f"/runs/{quote(self._run_id, safe='')}/charts")
        if answer.status >= 300:
            raise error_of(answer, self._pages.url)
        try:
            return msgspec.json.decode(answer.body, type=Charts)
        except UNREADABLE as error:
            raise RunheraldError(f"{self._pages.url} answered something else than charts ({error})") from None

    def _child_counts(self) -> dict[str, int]:
        # A run's id has nothing that a quoted text could end with.
        answer = self._client.query(f"SELECT status, count() FROM runs WHERE parent_run_id = '{self._run_id}' GROUP BY status")  # noqa: S608
        return {str(status): int(count) for status, count in answer.rows}

    def _objects(self) -> list[LoggedObject]:
        answer = self._client.query(
            f"SELECT name, kind, count(), substring(argMax(value, time), 1, {_OBJECT_LENGTH}) FROM objects"  # noqa: S608
            f" WHERE run_id = '{self._run_id}' GROUP BY name, kind ORDER BY name, kind LIMIT {OBJECTS}"
        )
        return [LoggedObject(name, kind, int(times), last) for name, kind, times, last in answer.rows]


def _or_else(read: Callable[[], T], old: T) -> T:
    try:
        return read()
    except RunheraldError:
        return old
