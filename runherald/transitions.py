"""Accepted transitions as events: what history publishes to the status topic."""

from __future__ import annotations

from uuid import uuid5

from runherald.events import NAMESPACE, AmlRunStatusChangedEvent, Event, new_event
from runherald.state import Transition

PRODUCER = "runherald.history"


def accepted_event(transition: Transition) -> Event:
    """Return the event that says a transition was accepted.

    It is fat: it carries all that a rule or a mail needs. Its id is made of the reporting event's, so a replay gives the same event; its
    sequence is the transition's revision, which orders the transitions of a run.
    """
    state, cause = transition.state, transition.event
    assert state.status is not None
    data = AmlRunStatusChangedEvent(
        status=state.status,
        header=state.header,
        previous_status=transition.previous_status,
        attempt=state.attempt,
        revision=state.revision,
        cause=state.cause,
        message=state.message,
        error=state.error,
        actor=state.actor,
        evidence=state.evidence,
        claim=state.claimed_from is not None,
        correction=transition.correction,
        path=state.path,
        start_time=state.start_time,
        end_time=state.end_time,
        reported_id=cause.id,
    )
    return new_event(
        data,
        workspace=state.workspace,
        run_id=state.run_id,
        producer=PRODUCER,
        sequence=state.revision,
        time=cause.time,
        recorded_time=cause.recorded_time,
        id=str(uuid5(NAMESPACE, f"{cause.id}/accepted")),
    )
