"""The events: what is said of a run, as data.

An `Event` is an envelope (who says what of which run, when) around one of the payloads below. On the wire it is a CloudEvent
(`runherald.wire`); field names of the payloads are camelCase there, Azure's where Azure has the field.

A schema once published never breaks: fields are added with a default, none is removed, renamed, or given another type. The files under
`tests/unit/golden` hold every version.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid5

from msgspec import Raw, Struct

from runherald.status import Cause, Status

NAMESPACE = UUID("6d1ab7a4-3d51-5a0e-9a55-6a0f3c5d9b11")
"""Namespace of the name-based ids (RFC 9562, version 5)."""


class Payload(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a payload is made of: camelCase on the wire, defaults left out, unknown fields ignored."""


class RunHeader(Payload, frozen=True):
    """What a run is, apart from how it is doing."""

    experiment_name: str
    display_name: str = ""
    description: str = ""
    parent_run_id: str = ""
    root_run_id: str = ""
    run_type: str = ""
    compute_target: str = ""
    user: str = ""
    script_name: str = ""
    tags: dict[str, str | None] = {}
    properties: dict[str, str] = {}
    created_time: datetime | None = None


class Actor(Payload, frozen=True):
    """Who brought a change about. Only `run` speaks as the run itself: it is a sign of life."""

    kind: Literal["run", "user", "watcher", "rule", "system"]
    name: str = ""


class DebugInfo(Payload, frozen=True):
    """The exception behind an error; `stack_trace` keeps the end when it is cut."""

    type: str = ""
    message: str = ""
    stack_trace: str = ""


class RootError(Payload, frozen=True):
    """What went wrong, in the fields of Azure's error object."""

    code: str = "UserError"
    message: str = ""
    severity: str = ""
    target: str = ""
    debug_info: DebugInfo | None = None


class ErrorEnvelope(Payload, frozen=True):
    """Azure's envelope of an error: `get_details()["error"]`."""

    error: RootError
    time: datetime | None = None


class Evidence(Payload, frozen=True):
    """What a verdict rests on."""

    exit_code: int | None = None
    signal: int | None = None
    host: str = ""
    pid: int | None = None
    last_seen: datetime | None = None
    lease_seconds: float | None = None


class PathStep(Payload, frozen=True):
    """One status on the way of a run."""

    status: Status
    time: datetime
    attempt: int = 1


class AmlRunEvent(Payload, frozen=True):
    """A run is created, or what it is changes. `tags` maps a key to its value, or to null for a tag without a value."""

    operation: Literal["Created", "Updated", "Archived", "Reactivated", "Deleted"]
    header: RunHeader | None = None
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str | None] = {}
    tags_removed: tuple[str, ...] = ()
    properties: dict[str, str] = {}
    params: dict[str, str] = {}
    actor: Actor | None = None


class AmlRunStatusChangedEvent(Payload, frozen=True):
    """A change of status: reported by a producer, or accepted by the state machine.

    A reported event says `status` and why. An accepted one also carries what the state machine knows: `header`, `previous_status`,
    `revision` (counts the transitions of a run), `path`, the times, and whether it corrects a claim.
    """

    status: Status
    header: RunHeader | None = None
    previous_status: Status | None = None
    attempt: int = 1
    revision: int = 0
    cause: Cause | None = None
    message: str = ""
    error: ErrorEnvelope | None = None
    actor: Actor | None = None
    evidence: Evidence | None = None
    claim: bool = False
    correction: bool = False
    resume: bool = False
    path: tuple[PathStep, ...] = ()
    start_time: datetime | None = None
    end_time: datetime | None = None
    reported_id: str = ""


class AmlRunHeartbeatEvent(Payload, frozen=True):
    """The run is alive, and will be heard again within `lease_seconds`."""

    lease_seconds: float
    host: str = ""
    pid: int | None = None


class TextPoint(Payload, frozen=True):
    """A text logged as a metric; `time` in microseconds since 1970.

    `sequence`: the number of its record among all of its producer's, by which it is known again in a batch that was cut elsewhere; None for
    that of its event.
    """

    name: str
    step: int
    time: int
    text: str
    sequence: int | None = None


class MetricObject(Payload, frozen=True):
    """A row, table, image or chart logged under a metric's name; `time` in microseconds since 1970, `value` any JSON. `sequence` as of
    `TextPoint`."""

    name: str
    kind: Literal["row", "table", "list", "image", "confusion_matrix", "accuracy_table", "residuals", "predictions"]
    step: int
    time: int
    value: Any
    sequence: int | None = None


class AmlRunMetricEvent(Payload, frozen=True):
    """A batch of metric points in columns.

    `series`, `steps`, `times` and `values` have one item a point: `series` is an index into `names`, `times` are microseconds since 1970.
    JSON has no NaN and no infinity: such a value is 0 in `values` and named in `nonfinite` (index of the point as text, then `NaN`,
    `Infinity` or `-Infinity`). `records` is how many of the producer's numbers the event covers, its own `sequence` being the first:
    the next event of the producer begins right after, so that a gap is a loss.
    """

    records: int = 1
    names: tuple[str, ...] = ()
    series: list[int] = []
    steps: list[int] = []
    times: list[int] = []
    values: list[float] = []
    nonfinite: dict[str, Literal["NaN", "Infinity", "-Infinity"]] = {}
    texts: tuple[TextPoint, ...] = ()
    objects: tuple[MetricObject, ...] = ()
    descriptions: dict[str, str] = {}


class LogLine(Payload, frozen=True):
    """A line of a run's console or file; `time` in microseconds since 1970."""

    number: int
    time: int
    text: str


class AmlRunLogEvent(Payload, frozen=True):
    """Lines that a run printed, numbered from 0 within their file."""

    records: int = 1
    file: str = "user_logs/std_log.txt"
    stream: Literal["stdout", "stderr", "file"] = "stdout"
    lines: tuple[LogLine, ...] = ()


class AmlRunOutputEvent(Payload, frozen=True):
    """A file of the run exists."""

    path: str
    size: int
    sha256: str = ""
    content_type: str = ""
    uri: str = ""


class Unknown(Struct, frozen=True):
    """A payload of a type that this version does not know, kept as it came."""

    raw: Raw


Data = AmlRunEvent | AmlRunStatusChangedEvent | AmlRunHeartbeatEvent | AmlRunMetricEvent | AmlRunLogEvent | AmlRunOutputEvent | Struct

VERSIONS: dict[type[Struct], int] = {
    AmlRunEvent: 1,
    AmlRunStatusChangedEvent: 1,
    AmlRunHeartbeatEvent: 1,
    AmlRunMetricEvent: 1,
    AmlRunLogEvent: 1,
    AmlRunOutputEvent: 1,
}
"""The payloads of a run's own events and the version of their schema."""


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened to a run.

    Attributes:
        id: name-based, see `event_id`; a resend is the same event.
        type: the payload's name, such as `AmlRunStatusChangedEvent`.
        producer: who counts: one Run object in one process.
        sequence: 0, 1, 2 … of that producer; number of the first record where an event covers several.
        time: when it happened, by the producer's clock.
        recorded_time: when it was written down.
    """

    id: str
    type: str
    version: int
    workspace: str
    run_id: str
    producer: str
    sequence: int
    time: datetime
    recorded_time: datetime | None = None
    data: Data


def event_id(run_id: str, producer: str, sequence: int) -> str:
    """Return the id of a producer's n-th event: the same for ever, so that a resend is recognised."""
    return str(uuid5(NAMESPACE, f"{run_id}/{producer}/{sequence}"))


def new_event(
    data: Data,
    *,
    workspace: str,
    run_id: str,
    producer: str,
    sequence: int,
    time: datetime,
    recorded_time: datetime | None = None,
    id: str | None = None,
    version: int = 1,
) -> Event:
    """Return an event around a payload, with the id that its identity gives unless another is said."""
    return Event(
        id=id or event_id(run_id, producer, sequence),
        type=type(data).__name__,
        version=VERSIONS.get(type(data), version),
        workspace=workspace,
        run_id=run_id,
        producer=producer,
        sequence=sequence,
        time=time,
        recorded_time=recorded_time,
        data=data,
    )
