"""The outbox: what is known of each notice, folded from the alerts topic. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from runherald.alerts.backoff import is_over
from runherald.alerts.events import AlertDecided, Fault, NoticeAccepted, NoticeAttempted, NoticeRefused, Outcome
from runherald.alerts.subject import subject_of
from runherald.events import AmlRunStatusChangedEvent, Event

State = Literal["pending", "accepted", "refused", "suppressed"]


class Notice(Struct, frozen=True, kw_only=True):
    """One mail about one transition, by one rule, to one recipient.

    Attributes:
        partition: of the alerts topic, where all that is said of it stands.
        version: offset of the last event folded in, plus 1.
        attempts: how many failed or, at the end, how many there were.
        fault: why the last attempt failed.
        next_attempt_time: while pending, not before this.
        done_time: when it was accepted, refused or suppressed.
    """

    notice_id: str
    decision_id: str
    workspace: str
    run_id: str
    rule: str
    severity: int
    template: str
    recipient: str
    subject: str
    event_id: str
    event_time: datetime
    decided_time: datetime
    transition: AmlRunStatusChangedEvent
    partition: int
    version: int
    state: State = "pending"
    reason: str = ""
    attempts: int = 0
    fault: Fault | None = None
    last_attempt_time: datetime | None = None
    next_attempt_time: datetime
    done_time: datetime | None = None
    message_id: str = ""
    smtp_reply: str = ""


def decided_notices(event: Event, *, partition: int, offset: int) -> Iterator[Notice]:
    """Yield the notices of a decision: pending, or suppressed with the reason."""
    data = event.data
    assert isinstance(data, AlertDecided)
    for notice in data.notices:
        yield Notice(
            notice_id=notice.notice_id,
            decision_id=event.id,
            workspace=event.workspace,
            run_id=event.run_id,
            rule=data.rule,
            severity=data.severity,
            template=data.template,
            recipient=notice.recipient,
            subject=subject_of(data.transition, event.run_id),
            event_id=data.event_id,
            event_time=data.event_time,
            decided_time=data.decided_time,
            transition=data.transition,
            partition=partition,
            version=offset + 1,
            state="suppressed" if notice.suppressed else "pending",
            reason=notice.reason,
            next_attempt_time=data.decided_time,
            done_time=data.decided_time if notice.suppressed else None,
        )


def is_due(notice: Notice, now: datetime) -> bool:
    """Say whether a pending notice is to be attempted: at once when it never was, whatever the clock said of who decided it."""
    return notice.last_attempt_time is None or is_over(notice.last_attempt_time, notice.next_attempt_time, now)


def fold_outcome(notice: Notice, outcome: Outcome, *, time: datetime, offset: int) -> Notice:
    """Return a notice after what became of an attempt. What comes again, or after the end, changes nothing."""
    if notice.state != "pending" or outcome.attempt <= notice.attempts:
        return notice
    attempted = replace(notice, attempts=outcome.attempt, last_attempt_time=time, smtp_reply=outcome.smtp_reply, version=offset + 1)
    match outcome:
        case NoticeAttempted():
            return replace(attempted, reason=outcome.reason, fault=outcome.fault, next_attempt_time=outcome.next_attempt_time)
        case NoticeAccepted():
            return replace(attempted, state="accepted", fault=None, done_time=outcome.accepted_time, message_id=outcome.message_id)
        case NoticeRefused():
            return replace(attempted, state="refused", reason=outcome.reason, done_time=outcome.refused_time)
