"""The HTTP API as data: what server, SDK and CLI say to each other.

| method, path | body or parameters | answer |
|---|---|---|
| POST /api/v1/events | list of `CloudEvent` | `Intake` |
| GET /api/v1/runs | experiment, status, parent, root_only, tag, life, cursor, limit | `RunPage` |
| GET /api/v1/runs/{run_id} | | `RunView` |
| GET /api/v1/runs/{run_id}/transitions | | list of `TransitionView` |
| GET /api/v1/runs/{run_id}/children | recursive, cursor, limit | list of `RunView`; with limit or cursor a `RunPage` |
| GET /api/v1/runs/{run_id}/metrics | name, recursive, cursor, limit | list of `MetricSeries`; with limit or cursor a `MetricPage` |
| GET /api/v1/runs/{run_id}/logs | tail | list of `LogLineView` |
| GET /api/v1/runs/{run_id}/notices | | list of `NoticeView` |
| POST /api/v1/runs/{run_id}/cancel | `CancelRequest` | `Intake` |
| GET /api/v1/notices | | list of `NoticeView` |
| POST /api/v1/query | `QueryRequest` | `QueryAnswer` |
| GET /api/v1/dead-letters | processor, error, topic, state, since, until, cursor, limit | `LetterPage` |
| GET /api/v1/dead-letters/{letter_id} | | `LetterDetail` |
| POST /api/v1/dead-letters/replay | `ReplayRequest` | `ReplayAnswer` |
| POST /api/v1/dead-letters/go-on | `GoOnRequest` | `Intake` |
| GET /api/v1/status | | `ServerStatus` |
| GET /api/v1/live | run | server-sent events: `change`, data the id of a run that changed |
| GET /api/v1/openapi.json | | all of this as OpenAPI 3.1 |
| GET /healthz | | 200 `ok`, or 503 with a reason |
| GET /metrics | | Prometheus text |

A read that carries `Runherald-Position` waits until history has passed it, so that a client reads what it wrote; 503 with `Retry-After`
when that takes too long. An error is `{"error": {"code", "message", "field"}}` with 400 (the caller's fault), 401, 404, 413, or 503.
Dead letters: `runherald.letters_api`. With a token set on the server, every call but /healthz needs `Authorization: Bearer TOKEN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from runherald.errors import InvalidInput
from runherald.events import ErrorEnvelope, Evidence, PathStep
from runherald.letters_api import LetterCount, ProcessorStop
from runherald.records import Position

API = "/api/v1"
POSITION_HEADER = "Runherald-Position"
_LONGEST_NUMBER = 19  # digits of 64 bits
DEFAULT_URL = "http://127.0.0.1:7460"


class Rejected(Struct, frozen=True, kw_only=True):
    """A member of a batch that was not taken. `index` is its place in the batch."""

    index: int
    field: str
    reason: str
    id: str = ""


class Intake(Struct, frozen=True, kw_only=True):
    """What became of a batch. `positions`: the last record of each partition written to; `cancel_requested`: those of the batch's runs
    that somebody asked to cancel."""

    accepted: int
    rejected: list[Rejected] = []
    positions: list[Position] = []
    cancel_requested: list[str] = []


class RunView(Struct, frozen=True, kw_only=True):
    """A run as readers see it. `duration_seconds` counts from the start to the end, or to now while it runs."""

    run_id: str
    workspace: str
    experiment_name: str
    status: str
    display_name: str = ""
    description: str = ""
    attempt: int = 1
    revision: int = 0
    cause: str = ""
    message: str = ""
    error: ErrorEnvelope | None = None
    evidence: Evidence | None = None
    claimed: bool = False
    parent_run_id: str = ""
    root_run_id: str = ""
    run_type: str = ""
    compute_target: str = ""
    user: str = ""
    script_name: str = ""
    created_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    last_seen: datetime | None = None
    duration_seconds: float | None = None
    tags: dict[str, str | None] = {}
    properties: dict[str, str] = {}
    params: dict[str, str] = {}
    path: list[PathStep] = []
    life: str = "Active"


class RunPage(Struct, frozen=True, kw_only=True):
    """Some runs: of a list newest first, of children oldest first. `next` continues the list; empty at its end."""

    runs: list[RunView]
    next: str = ""


class TransitionView(Struct, frozen=True, kw_only=True):
    """An event of a run's life as history keeps it: accepted, or rejected with a reason."""

    run_id: str
    status: str
    previous_status: str
    time: datetime
    attempt: int
    revision: int
    cause: str = ""
    message: str = ""
    actor: str = ""
    correction: bool = False
    claim: bool = False
    accepted: bool = True
    reason: str = ""


class MetricSeries(Struct, frozen=True, kw_only=True):
    """All that a run logged under one name, in order of step and time.

    `kind` is scalar (values are numbers), text, or the kind of a logged object (row, table, …; values are JSON). NaN and infinities travel
    as the texts `NaN`, `Infinity`, `-Infinity`. `times` are microseconds since 1970.
    """

    run_id: str
    name: str
    kind: str
    steps: list[int]
    times: list[int]
    values: list[Any]


class MetricPage(Struct, frozen=True, kw_only=True):
    """What some runs logged: a run on its first page, and so many of its descendants a page. `next` continues; empty at the end."""

    series: list[MetricSeries]
    next: str = ""


class LogLineView(Struct, frozen=True, kw_only=True):
    """A line that a run printed; `time` in microseconds since 1970."""

    file: str
    number: int
    time: int
    text: str
    stream: str = "stdout"


class NoticeView(Struct, frozen=True, kw_only=True):
    """A notice and what became of it: pending, accepted, refused, suppressed or digested, and why."""

    notice_id: str
    run_id: str
    rule: str
    recipient: str
    subject: str
    state: str
    reason: str = ""
    attempts: int = 0
    event_time: datetime | None = None
    decided_time: datetime | None = None
    done_time: datetime | None = None


class CancelRequest(Struct, frozen=True, kw_only=True):
    """Who asks for a cancellation, and why."""

    user: str = ""
    reason: str = ""


class QueryRequest(Struct, frozen=True, kw_only=True):
    """A user's query."""

    query: str
    language: Literal["sql", "kql"] = "sql"


class Column(Struct, frozen=True):
    """A column of an answer and its ClickHouse type."""

    name: str
    type: str


class QueryAnswer(Struct, frozen=True, kw_only=True):
    """Rows as JSON values. `truncated` says that the limit on rows or bytes cut the answer."""

    columns: list[Column]
    rows: list[list[Any]]
    truncated: bool = False


class PartitionStatus(Struct, frozen=True, kw_only=True):
    """How far a processor is in a partition. `lag` counts records; `oldest_time` is when the first of them was appended."""

    processor: str
    topic: str
    partition: int
    committed: int
    end: int
    lag: int
    oldest_time: datetime | None = None


class ProcessorStatus(Struct, frozen=True, kw_only=True):
    """How far a processor is in a topic: sums over its partitions, and the age of the oldest record that it has not processed."""

    processor: str
    topic: str
    partitions: int
    committed: int
    end: int
    lag: int
    oldest_time: datetime | None = None
    age_seconds: float = 0.0


class NoticeBalance(Struct, frozen=True, kw_only=True):
    """Whether each notice that was decided is one that the mailer knows.

    Attributes:
        decided: all that were decided, those included that were suppressed.
        under_way: known to one side alone, for less than a minute.
        missing: decided, and for longer than a minute not known to the mailer.
        undecided: known to the mailer, and for longer than a minute not decided.
        difference: missing and undecided; zero when nothing is lost.
        oldest_pending_time: when the oldest that still waits for its end was decided.
    """

    decided: int = 0
    under_way: int = 0
    missing: int = 0
    undecided: int = 0
    difference: int = 0
    oldest_pending_time: datetime | None = None


DAMAGE_REMEDY = "`runherald rebuild --diff` says whether rows are missing, `runherald rebuild` makes them again from the log"
"""What an operator does when parts of the embedded history could not be read."""


class ServerStatus(Struct, frozen=True, kw_only=True):
    """What the server runs and how far its processors are.

    Attributes:
        notices: by state.
        dead_letters: those that are open.
        set_aside: tables of the embedded history, and how many parts of each a full disk has damaged: rows may be missing.
    """

    version: str
    log: str
    history: str
    partitions: list[PartitionStatus]
    notices: dict[str, int] = {}
    dead_letters: int = 0
    letters: list[LetterCount] = []
    stops: list[ProcessorStop] = []
    processors: list[ProcessorStatus] = []
    balance: NoticeBalance = NoticeBalance()
    set_aside: dict[str, int] = {}


class ApiError(Struct, frozen=True, kw_only=True):
    """What went wrong with a request."""

    code: str
    message: str
    field: str = ""


class ApiErrorAnswer(Struct, frozen=True):
    """The body of every answer that is not 2xx."""

    error: ApiError


def format_positions(positions: Iterable[Position]) -> str:
    """Return positions as the value of `Runherald-Position`: `topic/partition/offset`, separated by commas."""
    return ",".join(f"{position.topic}/{position.partition}/{position.offset}" for position in positions)


def parse_positions(value: str) -> list[Position]:
    """Return the positions of a header's value.

    Raises:
        InvalidInput: the value is not of that form.
    """
    return [_parse_position(part.strip()) for part in value.split(",") if part.strip()]


def latest(positions: Sequence[Position]) -> list[Position]:
    """Return the furthest position of each partition."""
    furthest: dict[tuple[str, int], Position] = {}
    for position in positions:
        known = furthest.get((position.topic, position.partition))
        if known is None or known.offset < position.offset:
            furthest[position.topic, position.partition] = position
    return list(furthest.values())


def _parse_position(part: str) -> Position:
    topic, _, rest = part.partition("/")
    partition, _, offset = rest.partition("/")
    if not topic or not _is_number(partition) or not _is_number(offset):
        raise InvalidInput(f"{POSITION_HEADER}: {part[:80]!r} is not of the form topic/partition/offset")
    return Position(topic, int(partition), int(offset))


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _LONGEST_NUMBER
