"""The read side of the HTTP API (`runherald.api`), for the SDK and the command line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from runherald.api import (
    API,
    DEFAULT_URL,
    POSITION_HEADER,
    ApiErrorAnswer,
    CancelRequest,
    Intake,
    LogLineView,
    MetricPage,
    MetricSeries,
    NoticeView,
    QueryAnswer,
    QueryRequest,
    RunPage,
    RunView,
    ServerStatus,
    TransitionView,
    format_positions,
    latest,
)
from runherald.errors import InvalidInput, RunheraldError, Unreachable
from runherald.producers.errors import NotFound, Unauthorized
from runherald.producers.server.connection import Answer, Connection
from runherald.records import Position

T = TypeVar("T")

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for an answer that is no JSON of its kind, no UTF-8, or nested too deep."""

_AGAIN_SECONDS = 0.5
_PAGE = 200
_Children: Any = list[RunView] | RunPage
_Metrics: Any = list[MetricSeries] | MetricPage


class ApiClient:
    """Reads runs from a server. Every read waits, at the server, until it includes what `saw` was told of. Safe between threads.

    A server that took events of ours and does not answer now may be restarting: reads try again for `patience_seconds`.

    Each call raises:
        Unreachable: no server there, or it cannot answer now (429, 5xx).
        NotFound: it knows no such run.
        InvalidInput: it refuses the request; with its message.
        Unauthorized: it refuses the token.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str = "",
        *,
        timeout_seconds: float = 30.0,
        patience_seconds: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._connection = Connection(url, token, timeout_seconds=timeout_seconds)
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._positions: list[Position] = []
        self._lock = threading.RLock()

    @property
    def url(self) -> str:
        """The server's address."""
        return self._connection.url

    def saw(self, positions: Iterable[Position]) -> None:
        """Remember where own writes stand, so that later reads include them."""
        with self._lock:
            self._positions = latest([*self._positions, *positions])

    def get_run(self, run_id: str) -> RunView:
        """Return a run."""
        return self._get(_run_path(run_id), RunView)

    def list_runs(
        self,
        *,
        experiment: str = "",
        status: str = "",
        parent: str = "",
        root_only: bool = False,
        tag: str = "",
        life: str = "",
        cursor: str = "",
        limit: int = 100,
    ) -> RunPage:
        """Return a page of runs, newest first.

        `tag` is `key` or `key=value`; `life` is Active, which counts when it is not said, Archived, Deleted or all; `cursor` is the
        `next` of the page before.
        """
        parameters = {
            "experiment": experiment,
            "status": status,
            "parent": parent,
            "root_only": "true" if root_only else "",
            "tag": tag,
            "life": life,
            "cursor": cursor,
            "limit": str(limit),
        }
        return self._get("/runs", RunPage, parameters)

    def runs(
        self, *, experiment: str = "", status: str = "", parent: str = "", root_only: bool = False, tag: str = "", life: str = ""
    ) -> Iterator[RunView]:
        """Go through all runs, newest first, page by page."""
        cursor = ""
        while True:
            page = self.list_runs(
                experiment=experiment,
                status=status,
                parent=parent,
                root_only=root_only,
                tag=tag,
                life=life,
                cursor=cursor,
                limit=_PAGE,
            )
            yield from page.runs
            cursor = page.next
            if not cursor:
                return

    def children(self, run_id: str, *, recursive: bool = False) -> list[RunView]:
        """Return the children of a run, or all its descendants, each before its own children."""
        return list(self.each_child(run_id, recursive=recursive))

    def each_child(self, run_id: str, *, recursive: bool = False) -> Iterator[RunView]:
        """Go through what `children` returns, page by page."""
        said = {"recursive": "true" if recursive else "", "limit": str(_PAGE)}
        cursor = ""
        while True:
            page = self._get(_run_path(run_id, "/children"), _Children, {**said, "cursor": cursor})
            if isinstance(page, list):  # a server that has no pages of them
                yield from page
                return
            yield from page.runs
            cursor = page.next
            if not cursor:
                return

    def metrics(self, run_id: str, *, name: str = "", recursive: bool = False) -> list[MetricSeries]:
        """Return what a run logged, of one name or all; `recursive` adds its descendants'."""
        if not recursive:
            return self._get(_run_path(run_id, "/metrics"), list[MetricSeries], {"name": name})
        series: list[MetricSeries] = []
        cursor = ""
        while True:
            said = {"name": name, "recursive": "true", "limit": str(_PAGE), "cursor": cursor}
            page = self._get(_run_path(run_id, "/metrics"), _Metrics, said)
            if isinstance(page, list):  # a server that has no pages of them
                return page
            series += page.series
            cursor = page.next
            if not cursor:
                return series

    def transitions(self, run_id: str) -> list[TransitionView]:
        """Return the changes of a run's status, the rejected ones too."""
        return self._get(_run_path(run_id, "/transitions"), list[TransitionView])

    def logs(self, run_id: str, *, tail: int | None = None) -> list[LogLineView]:
        """Return the lines that a run printed, or its last `tail` ones."""
        return self._get(_run_path(run_id, "/logs"), list[LogLineView], {"tail": "" if tail is None else str(tail)})

    def notices(self, run_id: str = "") -> list[NoticeView]:
        """Return the notices about a run, or all."""
        return self._get(_run_path(run_id, "/notices") if run_id else "/notices", list[NoticeView])

    def cancel(self, run_id: str, *, user: str = "", reason: str = "") -> Intake:
        """Ask a run to stop. It is Canceled when it has obeyed."""
        body = msgspec.json.encode(CancelRequest(user=user, reason=reason))
        intake = self._post(_run_path(run_id, "/cancel"), body, Intake)
        self.saw(intake.positions)
        return intake

    def query(self, query: str, *, language: str = "sql") -> QueryAnswer:
        """Run a user's query in `sql` or `kql`."""
        request = msgspec.convert({"query": query, "language": language}, QueryRequest)
        return self._post("/query", msgspec.json.encode(request), QueryAnswer)

    def status(self) -> ServerStatus:
        """Return what the server runs and how far it is."""
        return self._get("/status", ServerStatus)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _get(self, path: str, kind: type[T], parameters: Mapping[str, str] | None = None) -> T:
        query = urlencode({name: value for name, value in (parameters or {}).items() if value})
        target = f"{API}{path}{'?' + query if query else ''}"
        deadline = self._monotonic() + (self._patience_seconds if self._positions else 0.0)
        while True:
            try:
                return self._decode(self._connection.request("GET", target, headers=self._headers()), kind)
            except Unreachable:
                if self._monotonic() >= deadline:
                    raise
            self._sleep(_AGAIN_SECONDS)

    def _post(self, path: str, body: bytes, kind: type[T]) -> T:
        headers = {"Content-Type": "application/json", **self._headers()}
        return self._decode(self._connection.request("POST", API + path, body=body, headers=headers), kind)

    def _headers(self) -> dict[str, str]:
        with self._lock:
            positions: Sequence[Position] = self._positions
        return {POSITION_HEADER: format_positions(positions)} if positions else {}

    def _decode(self, answer: Answer, kind: type[T]) -> T:
        if answer.status >= 300:
            raise error_of(answer, self.url)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except UNREADABLE as error:
            raise RunheraldError(f"{self.url} answered something else than its API says ({error}); is it a runherald server?") from None


def error_of(answer: Answer, url: str) -> RunheraldError:
    """Return what an answer that is not 2xx means."""
    message = _message(answer)
    if answer.status in (401, 403):
        return Unauthorized(f"{url} refuses the token ({answer.status}: {message}); set RUNHERALD_TOKEN")
    if answer.status == 404:
        return NotFound(message)
    if answer.status == 429 or answer.status >= 500:
        return Unreachable(f"{url} cannot answer now ({answer.status}: {message})")
    if answer.status >= 400:
        return InvalidInput(message)
    return RunheraldError(f"{url} answered {answer.status}; is RUNHERALD_URL the address of a runherald server?")


def _message(answer: Answer) -> str:
    try:
        said: Any = msgspec.json.decode(answer.body, type=ApiErrorAnswer)
    except UNREADABLE:
        return f"HTTP {answer.status} without a reason"
    field = said.error.field
    return f"{field}: {said.error.message}" if field and not said.error.message.startswith(field) else str(said.error.message)


def _run_path(run_id: str, rest: str = "") -> str:
    return f"/runs/{quote(run_id, safe='')}{rest}"
