"""Runs under a lease, and the verdict on their silence: pure, the time is an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from runherald.clock import to_micros
from runherald.events import Actor, AmlRunHeartbeatEvent, AmlRunStatusChangedEvent, Event, Evidence, new_event
from runherald.records import TopicPartition
from runherald.status import TERMINAL, Cause, Status

PRODUCER = "runherald.leases"


class Watched(Struct, frozen=True, kw_only=True):
    """A run that promised to be heard of.

    Attributes:
        heard: when the log last took something of it, by our clock; never before the watch began.
        last_seen: when it was last alive by its own clock, as evidence.
        lease_seconds: how long it may be silent; without a lease it is left alone.
        claimed: since when it is claimed to be not responding.
    """

    workspace: str
    run_id: str
    partition: TopicPartition
    heard: datetime
    last_seen: datetime | None = None
    lease_seconds: float = 0.0
    cancel_requested: bool = False
    claimed: datetime | None = None


def follow(run: Watched, event: Event, heard: datetime) -> Watched | None:
    """Return the run after an event of it that the log took at `heard`; None if it ended."""
    match event.data:
        case AmlRunHeartbeatEvent(lease_seconds=lease):
            return replace(_alive(run, event, heard), lease_seconds=lease)
        case AmlRunStatusChangedEvent(claim=True) as claim:
            return _claimed(run, event, claim)
        case AmlRunStatusChangedEvent() as change:
            if change.actor is not None and change.actor.kind == "run":
                run = _alive(run, event, heard)
            if change.status in TERMINAL:
                return None
            return replace(run, cancel_requested=change.status is Status.CANCEL_REQUESTED or (run.cancel_requested and not change.resume))
        case _:
            return run


def anew(run: Watched, now: datetime, grace: timedelta) -> Watched:
    """Return the run as watched from now on: what it sent while nobody watched gets a lease's time to arrive."""
    claimed = run.claimed
    if claimed is not None:
        claimed = min(now, max(claimed, now + timedelta(seconds=run.lease_seconds) - grace))
    return replace(run, heard=now, claimed=claimed)


def verdict(run: Watched, now: datetime, grace: timedelta) -> Event | None:
    """Return the claim that the run's silence calls for at this moment, if it calls for one.

    First that it does not respond, at the end of its lease; then, at the end of the grace, that it failed, or was cancelled if that was
    asked for. The sequence is the microsecond of that end, so that the same verdict made again is the same event.
    """
    if run.lease_seconds <= 0:
        return None
    due = run.heard + timedelta(seconds=run.lease_seconds) if run.claimed is None else run.claimed + grace
    if now < due:
        return None
    return _claim(run, _status(run), due, now, grace)


def _status(run: Watched) -> Status:
    if run.claimed is None:
        return Status.NOT_RESPONDING
    return Status.CANCELED if run.cancel_requested else Status.FAILED


def _claim(run: Watched, status: Status, due: datetime, now: datetime, grace: timedelta) -> Event:
    return new_event(
        AmlRunStatusChangedEvent(
            status=status,
            cause=Cause.LOST_CONTACT,
            message=_message(run, status, grace),
            actor=Actor(kind="watcher", name=PRODUCER),
            evidence=Evidence(last_seen=run.last_seen, lease_seconds=run.lease_seconds),
            claim=True,
        ),
        workspace=run.workspace,
        run_id=run.run_id,
        producer=PRODUCER,
        sequence=to_micros(due),
        time=due,
        recorded_time=now,
    )


def _message(run: Watched, status: Status, grace: timedelta) -> str:
    seen = f" It was last seen at {run.last_seen.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC." if run.last_seen else ""
    if status is Status.NOT_RESPONDING:
        return f"Nothing was heard of the run for {run.lease_seconds:g} s, the time of its lease.{seen}"
    outcome = "cancelled, as was asked for" if status is Status.CANCELED else "failed"
    return f"Nothing was heard of the run for another {grace.total_seconds():g} s after its lease: it is taken as {outcome}.{seen}"


def _alive(run: Watched, event: Event, heard: datetime) -> Watched:
    last_seen = event.time if run.last_seen is None else max(run.last_seen, event.time)
    return replace(run, heard=max(run.heard, heard), last_seen=last_seen, claimed=None)


def _claimed(run: Watched, event: Event, claim: AmlRunStatusChangedEvent) -> Watched | None:
    evidence = claim.evidence.last_seen if claim.evidence else None
    if run.last_seen is not None and evidence is not None and run.last_seen > evidence:
        # It was heard of before the claim was logged; history rejects the claim by the same rule.
        return run
    if claim.status in TERMINAL:
        return None
    return replace(run, claimed=event.time) if claim.status is Status.NOT_RESPONDING else run
