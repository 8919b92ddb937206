"""The events of the alerts topic: what was decided, and what became of each notice.

A notice is one mail about one transition by one rule to one recipient. It is pending from `AlertDecided` until `NoticeAccepted` or
`NoticeRefused`. Ids are made of names, so that whoever decides again, decides the same.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import uuid5

from runherald.events import NAMESPACE, AmlRunStatusChangedEvent, Event, Payload, new_event
from runherald.records import Outgoing
from runherald.topics import ALERTS
from runherald.wire import decoders_of, to_outgoing

Fault = Literal["reply", "connection"]
"""Why an attempt failed: the server would not take this mail, or takes none now (away, or refuses our login or sender)."""


class DecidedNotice(Payload, frozen=True):
    """A recipient of a decision. `reason` says why they are told, or with `suppressed` why they are not."""

    notice_id: str
    recipient: str
    reason: str
    suppressed: bool = False


class AlertDecided(Payload, frozen=True):
    """A rule and a transition met.

    Attributes:
        subject: the key of de-duplication.
        decision: notify when at least one recipient is told.
        reason: named reason, then words.
        template: of the mail.
        event_id: of the accepted transition.
        event_time: when the transition happened.
        transition: the accepted transition, so that the mail needs nothing else.
        transition_partition, transition_offset: where it stands in the status topic; -1 where nobody says.
    """

    rule: str
    severity: int
    subject: str
    decision: Literal["notify", "suppress"]
    reason: str
    event_id: str
    event_time: datetime
    decided_time: datetime
    transition: AmlRunStatusChangedEvent
    template: str = "run"
    notices: tuple[DecidedNotice, ...] = ()
    transition_partition: int = -1
    transition_offset: int = -1


class NoticeAttempted(Payload, frozen=True):
    """An attempt failed in a way that may pass; the next one is due at `next_attempt_time`. `attempt` counts from 1."""

    notice_id: str
    attempt: int
    reason: str
    fault: Fault
    next_attempt_time: datetime
    smtp_reply: str = ""


class NoticeAccepted(Payload, frozen=True):
    """The SMTP server took the mail."""

    notice_id: str
    attempt: int
    accepted_time: datetime
    message_id: str
    smtp_reply: str = ""


class NoticeRefused(Payload, frozen=True):
    """The mail will not be tried again, for the reason given."""

    notice_id: str
    attempt: int
    refused_time: datetime
    reason: str
    smtp_reply: str = ""


Outcome = NoticeAttempted | NoticeAccepted | NoticeRefused

DECODERS = decoders_of((AlertDecided, NoticeAttempted, NoticeAccepted, NoticeRefused))
"""What reads the payloads of the alerts topic."""


def decision_id(rule: str, event_id: str) -> str:
    """Return the id of what a rule decides about a transition."""
    return str(uuid5(NAMESPACE, f"decision/{rule}/{event_id}"))


def notice_id(rule: str, event_id: str, recipient: str) -> str:
    """Return the id of a notice."""
    return str(uuid5(NAMESPACE, f"notice/{rule}/{event_id}/{recipient}"))


def outcome_outgoing(outcome: Outcome, *, workspace: str, run_id: str, time: datetime) -> Outgoing:
    """Return the record that says what became of an attempt. It stands in the partition of the decision, behind it."""
    event = new_event(
        outcome,
        workspace=workspace,
        run_id=run_id,
        producer="runherald.mailer",
        sequence=outcome.attempt,
        time=time,
        id=str(uuid5(NAMESPACE, f"outcome/{outcome.notice_id}/{outcome.attempt}")),
    )
    return to_outgoing(event, ALERTS)


def decision_event(decided: AlertDecided, transition: Event) -> Event:
    """Return the event of a decision about a transition."""
    return new_event(
        decided,
        workspace=transition.workspace,
        run_id=transition.run_id,
        producer="runherald.alerting",
        sequence=decided.transition.revision,
        time=decided.decided_time,
        id=decision_id(decided.rule, transition.id),
    )
