"""The state of a run: one pure function folds events into it.

    fold(state, event) -> Folded(state, transition, rejection)

No I/O, no clock. What a run's status is, is decided here and nowhere else, by the table of `runherald.status` and these rules:

- An event whose sequence is not above the last of its producer is a duplicate and changes nothing.
- The first status heard of a run is taken as it is; from then on the table holds. What it does not allow is rejected, with a reason.
- A repeat of the present status is no transition.
- `resume` starts the next attempt, from any status.
- A claim (the watcher's) may be made of any run that has not ended, unless the run was heard of after the claim's evidence. A sign of life
  of the run itself withdraws it: the run goes back to where it was before the claim, or on to what it reports, as a correction. What
  somebody else reports of the run and the table allows, such as a cancellation, takes the claim's place.
- Properties are written once: another value for a key is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunStatusChangedEvent,
    ErrorEnvelope,
    Event,
    Evidence,
    PathStep,
    RunHeader,
)
from runherald.status import CLAIMS, FOLLOWERS, TERMINAL, Cause, Status, may_follow

PATH_STEPS = 64
"""How many steps of a run's way the state keeps; the history table has them all."""


class RunState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a run.

    Attributes:
        revision: how many transitions there were.
        claimed_from: the status before the watcher's claim, while one stands.
        last_seen: when the run itself was last heard of, by its own clock.
        start_time: when this attempt began to run.
        producers: the last sequence of each producer.
        life: Active, Archived or Deleted.
    """

    workspace: str
    run_id: str
    header: RunHeader
    status: Status | None = None
    attempt: int = 1
    revision: int = 0
    cause: Cause | None = None
    message: str = ""
    error: ErrorEnvelope | None = None
    actor: Actor | None = None
    evidence: Evidence | None = None
    claimed_from: Status | None = None
    last_seen: datetime | None = None
    lease_seconds: float = 0.0
    status_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    params: dict[str, str] = {}
    path: tuple[PathStep, ...] = ()
    producers: dict[str, int] = {}
    life: str = "Active"


class Transition(Struct, frozen=True):
    """An accepted change of status; the event that caused it and the state after it."""

    event: Event
    state: RunState
    previous_status: Status | None
    correction: bool


class Rejection(Struct, frozen=True):
    """An event that the rules do not allow, and why."""

    event: Event
    reason: str


class Folded(NamedTuple):
    """What came of an event. All three may be set: a withdrawn claim, and what the run said with it refused."""

    state: RunState
    transition: Transition | None = None
    rejection: Rejection | None = None


def fold(state: RunState | None, event: Event) -> Folded:
    """Return the state of a run after an event of it, and the transition or rejection that the event is."""
    if state is None:
        state = RunState(workspace=event.workspace, run_id=event.run_id, header=RunHeader(experiment_name=""))
    if event.sequence <= state.producers.get(event.producer, -1):
        return Folded(state)
    state = replace(state, producers={**state.producers, event.producer: event.sequence})
    match event.data:
        case AmlRunEvent() as data:
            return _fold_run(state, event, data)
        case AmlRunStatusChangedEvent() as data:
            return _fold_status(state, event, data)
        case AmlRunHeartbeatEvent() as data:
            return _fold_heartbeat(state, event, data)
        case _:
            return Folded(state)


def _fold_run(state: RunState, event: Event, data: AmlRunEvent) -> Folded:
    conflict = _property_conflict(state.header.properties, data)
    if conflict:
        return Folded(state, rejection=Rejection(event, conflict))
    state = replace(state, header=_merge_header(state.header, event, data), params={**state.params, **data.params})
    match data.operation:
        case "Archived" | "Deleted":
            return Folded(replace(state, life=data.operation))
        case "Reactivated":
            return Folded(replace(state, life="Active"))
        case "Created" if state.status is None:
            return _transition(state, event, Status.NOT_STARTED, AmlRunStatusChangedEvent(status=Status.NOT_STARTED, actor=data.actor))
        case _:
            return Folded(state)


def _fold_heartbeat(state: RunState, event: Event, data: AmlRunHeartbeatEvent) -> Folded:
    state = replace(_seen(state, event), lease_seconds=data.lease_seconds)
    if state.claimed_from is None:
        return Folded(state)
    return _withdraw(state, event)


def _fold_status(state: RunState, event: Event, data: AmlRunStatusChangedEvent) -> Folded:
    if data.header is not None:
        state = replace(state, header=_fill_header(state.header, data.header))
    if data.claim:
        return _fold_claim(state, event, data)
    speaks = data.actor is not None and data.actor.kind == "run"
    if speaks:
        state = _seen(state, event)
    if data.resume:
        resumed = replace(state, attempt=state.attempt + 1, claimed_from=None, start_time=None, end_time=None)
        return _transition(resumed, event, data.status, data)
    if speaks and state.claimed_from is not None:
        return _answer_claim(state, event, data, state.claimed_from)
    if state.status == data.status:
        return Folded(state)
    if state.status is not None and not may_follow(state.status, data.status):
        return Folded(state, rejection=Rejection(event, _illegal(state.status, data.status)))
    return _transition(replace(state, claimed_from=None), event, data.status, data)


def _fold_claim(state: RunState, event: Event, data: AmlRunStatusChangedEvent) -> Folded:
    if data.status not in CLAIMS:
        return Folded(state, rejection=Rejection(event, f"{data.status} cannot be claimed; what can: {', '.join(sorted(CLAIMS))}"))
    if state.status is None or state.status in TERMINAL:
        known = state.status or "unknown"
        return Folded(state, rejection=Rejection(event, f"the run is {known}: there is nothing to claim of it"))
    last_seen = data.evidence.last_seen if data.evidence else None
    if state.last_seen is not None and last_seen is not None and state.last_seen > last_seen:
        return Folded(state, rejection=Rejection(event, "the run was heard of after the claim's evidence"))
    if state.status == data.status:
        return Folded(state)
    claimed_from = state.claimed_from or state.status
    return _transition(replace(state, claimed_from=claimed_from), event, data.status, data)


def _answer_claim(state: RunState, event: Event, data: AmlRunStatusChangedEvent, before: Status) -> Folded:
    if data.status == before or not may_follow(before, data.status):
        folded = _withdraw(state, event)
        if data.status == before:
            return folded
        return folded._replace(rejection=Rejection(event, _illegal(before, data.status)))
    return _transition(replace(state, claimed_from=None, end_time=None), event, data.status, data, correction=True)


def _withdraw(state: RunState, event: Event) -> Folded:
    assert state.claimed_from is not None
    back = AmlRunStatusChangedEvent(
        status=state.claimed_from,
        message="The run was heard of again: the claim is withdrawn.",
        actor=Actor(kind="run", name=event.producer),
    )
    return _transition(replace(state, claimed_from=None, end_time=None), event, back.status, back, correction=True)


def _transition(state: RunState, event: Event, status: Status, data: AmlRunStatusChangedEvent, *, correction: bool = False) -> Folded:
    after = replace(
        state,
        status=status,
        revision=state.revision + 1,
        cause=data.cause or _cause_of_cancellation(state, status),
        message=data.message,
        error=data.error,
        actor=data.actor,
        evidence=data.evidence,
        status_time=event.time,
        start_time=state.start_time or (event.time if status is Status.RUNNING else None),
        end_time=event.time if status in TERMINAL else None,
        path=(*state.path, PathStep(status=status, time=event.time, attempt=state.attempt))[-PATH_STEPS:],
    )
    return Folded(after, Transition(event, after, state.status, correction))


def _cause_of_cancellation(state: RunState, status: Status) -> Cause | None:
    """Return who cancelled: that is known from the request, not from the run that obeys. One that ends otherwise has not obeyed."""
    if status is Status.CANCEL_REQUESTED:
        return Cause.USER  # asked for before the claim that is withdrawn, and nobody but users asks
    return state.cause if state.status is Status.CANCEL_REQUESTED and status is Status.CANCELED else None


def _seen(state: RunState, event: Event) -> RunState:
    if state.last_seen is not None and state.last_seen >= event.time:
        return state
    return replace(state, last_seen=event.time)


def _merge_header(header: RunHeader, event: Event, data: AmlRunEvent) -> RunHeader:
    if data.header is not None:
        header = _fill_header(header, data.header)
    tags = {**header.tags, **data.tags}
    for key in data.tags_removed:
        tags.pop(key, None)
    return replace(
        header,
        display_name=header.display_name if data.display_name is None else data.display_name,
        description=header.description if data.description is None else data.description,
        tags=tags,
        properties={**header.properties, **data.properties},
        created_time=header.created_time or (event.time if data.operation == "Created" else None),
    )


def _fill_header(known: RunHeader, said: RunHeader) -> RunHeader:
    """Fill what is not known yet. What is known stays: a header that comes again is older than the changes made since."""
    return RunHeader(
        experiment_name=known.experiment_name or said.experiment_name,
        display_name=known.display_name or said.display_name,
        description=known.description or said.description,
        parent_run_id=known.parent_run_id or said.parent_run_id,
        root_run_id=known.root_run_id or said.root_run_id,
        run_type=known.run_type or said.run_type,
        compute_target=known.compute_target or said.compute_target,
        user=known.user or said.user,
        script_name=known.script_name or said.script_name,
        tags=known.tags if known.experiment_name else {**said.tags, **known.tags},
        properties={**said.properties, **known.properties},
        created_time=known.created_time or said.created_time,
    )


def _property_conflict(known: Mapping[str, str], data: AmlRunEvent) -> str:
    for key, value in data.properties.items():
        if known.get(key, value) != value:
            return f"property {key!r} has another value already; properties are written once"
    return ""


def _illegal(status: Status, following: Status) -> str:
    allowed = ", ".join(sorted(FOLLOWERS[status])) or "nothing: the run has ended, resume it to go on"
    return f"{following} cannot follow {status}; what can: {allowed}"
