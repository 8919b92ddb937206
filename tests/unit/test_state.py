"""What follows from each kind of event, one rule of the state machine a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunMetricEvent,
    AmlRunStatusChangedEvent,
    DebugInfo,
    ErrorEnvelope,
    Event,
    Evidence,
    RootError,
    RunHeader,
    new_event,
)
from runherald.state import PATH_STEPS, Folded, RunState, fold
from runherald.status import CLAIMS, FOLLOWERS, TERMINAL, Cause, Status, may_follow
from runherald.transitions import accepted_event

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN = Actor(kind="run")
USER = Actor(kind="user", name="ada")
WATCHER = Actor(kind="watcher")

S = Status


class Story:
    """Folds events in the order they are told, each a second after the one before."""

    def __init__(self) -> None:
        self.state: RunState | None = None
        self.seconds = 0
        self._sequences: dict[str, int] = {}

    @property
    def now(self) -> RunState:
        assert self.state is not None
        return self.state

    def event(self, data: Any, producer: str = "run") -> Event:
        sequence = self._sequences.get(producer, -1) + 1
        self._sequences[producer] = sequence
        self.seconds += 1
        time = START + timedelta(seconds=self.seconds)
        return new_event(data, workspace="w", run_id="r", producer=producer, sequence=sequence, time=time)

    def fold(self, event: Event) -> Folded:
        folded = fold(self.state, event)
        self.state = folded.state
        return folded

    def says(self, data: Any, producer: str = "run") -> Folded:
        return self.fold(self.event(data, producer))

    def reports(self, status: Status, *, by: Actor = RUN, producer: str = "run", **more: Any) -> Folded:
        return self.says(AmlRunStatusChangedEvent(status=status, actor=by, **more), producer)

    def claims(self, status: Status, last_seen: datetime | None = None) -> Folded:
        data = AmlRunStatusChangedEvent(
            status=status,
            claim=True,
            actor=WATCHER,
            cause=Cause.LOST_CONTACT,
            evidence=Evidence(last_seen=last_seen or self.now.last_seen, lease_seconds=60.0),
        )
        return self.says(data, "watcher")


def in_status(status: Status) -> Story:
    """Return a run whose first status heard is this one: it is taken as it is."""
    story = Story()
    assert story.reports(status).transition is not None
    return story


@pytest.mark.parametrize(("status", "following"), list(product(Status, Status)))
def test_the_table_decides_what_a_run_may_report_next(status: Status, following: Status) -> None:
    story = in_status(status)
    folded = story.reports(following)
    if following is status:
        assert folded.transition is None
        assert folded.rejection is None
        assert story.now.revision == 1
    elif following in FOLLOWERS[status]:
        assert folded.rejection is None
        assert folded.transition is not None
        assert folded.transition.previous_status is status
        assert not folded.transition.correction
        assert (story.now.status, story.now.revision) == (following, 2)
    else:
        assert folded.transition is None
        assert folded.rejection is not None
        assert f"{following} cannot follow {status}" in folded.rejection.reason
        assert (story.now.status, story.now.revision) == (status, 1)


def test_the_table_is_what_is_documented() -> None:
    assert set(FOLLOWERS) == set(Status)
    assert all(not FOLLOWERS[status] for status in TERMINAL)
    assert all(status not in FOLLOWERS[status] for status in Status)
    assert not may_follow(S.FINALIZING, S.CANCEL_REQUESTED), "Azure refuses to cancel what is finalizing"
    assert may_follow(S.RUNNING, S.QUEUED), "pre-empted"
    before_running = [S.NOT_STARTED, S.STARTING, S.PROVISIONING, S.PREPARING, S.QUEUED, S.PAUSED]
    for status in before_running:
        assert may_follow(status, S.RUNNING)
    active = frozenset(Status) - TERMINAL
    for status in active - {S.FINALIZING, S.CANCEL_REQUESTED}:
        assert may_follow(status, S.CANCEL_REQUESTED)
    for status in active:
        assert may_follow(status, S.FAILED)
        assert not may_follow(status, S.NOT_STARTED), "nothing goes back to the beginning"


def test_creation_is_the_first_transition() -> None:
    story = Story()
    folded = story.says(AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits"), actor=USER))
    assert folded.transition is not None
    assert folded.transition.previous_status is None
    assert (story.now.status, story.now.header.experiment_name) == (S.NOT_STARTED, "digits")
    assert story.now.header.created_time == START + timedelta(seconds=1)


def test_creation_that_comes_late_fills_the_header_and_keeps_the_status() -> None:
    story = in_status(S.RUNNING)
    folded = story.says(AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits", user="ada")), "other")
    assert folded.transition is None
    assert folded.rejection is None
    assert (story.now.status, story.now.header.experiment_name, story.now.header.user) == (S.RUNNING, "digits", "ada")


def test_a_resent_event_changes_nothing() -> None:
    story = Story()
    first, second = (
        story.event(AmlRunStatusChangedEvent(status=S.RUNNING, actor=RUN)),
        story.event(AmlRunStatusChangedEvent(status=S.COMPLETED, actor=RUN)),
    )
    for event in (first, second):
        story.fold(event)
    before = story.now
    for event in (first, second, first):
        assert story.fold(event) == Folded(before)


def test_times_of_an_attempt() -> None:
    story = in_status(S.QUEUED)
    story.reports(S.RUNNING)
    started = story.now.status_time
    story.reports(S.PAUSED)
    story.reports(S.RUNNING)
    assert story.now.start_time == started
    assert story.now.end_time is None
    story.reports(S.FAILED)
    assert story.now.end_time == story.now.status_time == START + timedelta(seconds=5)


def test_why_a_status_is_belongs_to_that_status() -> None:
    story = in_status(S.RUNNING)
    error = ErrorEnvelope(error=RootError(message="boom", debug_info=DebugInfo(type="ValueError")))
    story.reports(S.FAILED, cause=Cause.CODE_ERROR, message="it broke", error=error, evidence=Evidence(exit_code=1))
    assert (story.now.cause, story.now.message, story.now.error) == (Cause.CODE_ERROR, "it broke", error)
    story.reports(S.RUNNING, resume=True)
    assert (story.now.cause, story.now.message, story.now.error, story.now.evidence) == (None, "", None, None)


def test_who_asked_for_a_cancellation_is_kept_when_the_run_obeys() -> None:
    story = in_status(S.RUNNING)
    story.reports(S.CANCEL_REQUESTED, by=USER, producer="cli", cause=Cause.USER)
    story.reports(S.CANCELED)
    assert (story.now.status, story.now.cause) == (S.CANCELED, Cause.USER)


@pytest.mark.parametrize("status", list(Status))
def test_a_resume_begins_the_next_attempt(status: Status) -> None:
    story = in_status(status)
    folded = story.reports(S.QUEUED, resume=True)
    assert folded.transition is not None
    assert (story.now.status, story.now.attempt, story.now.revision) == (S.QUEUED, 2, 2)
    assert (story.now.start_time, story.now.end_time) == (None, None)
    assert [step.attempt for step in story.now.path] == [1, 2]


@pytest.mark.parametrize(("status", "claimed"), list(product(Status, sorted(CLAIMS))))
def test_a_claim_may_be_made_of_what_has_not_ended(status: Status, claimed: Status) -> None:
    story = in_status(status)
    folded = story.claims(claimed)
    if status in TERMINAL:
        assert folded.transition is None
        assert folded.rejection is not None
        assert "nothing to claim" in folded.rejection.reason
    elif status is claimed:
        assert folded == Folded(story.now)
    else:
        assert folded.transition is not None
        assert (story.now.status, story.now.claimed_from, story.now.cause) == (claimed, status, Cause.LOST_CONTACT)


@pytest.mark.parametrize("status", sorted(set(Status) - CLAIMS))
def test_only_a_verdict_can_be_claimed(status: Status) -> None:
    story = in_status(S.QUEUED)
    folded = story.claims(status)
    assert folded.transition is None
    assert folded.rejection is not None
    assert "cannot be claimed" in folded.rejection.reason


def test_nothing_can_be_claimed_of_a_run_never_heard_of() -> None:
    story = Story()
    folded = story.says(AmlRunStatusChangedEvent(status=S.FAILED, claim=True, actor=WATCHER), "watcher")
    assert folded.transition is None
    assert folded.rejection is not None


def test_a_claim_is_refused_when_the_run_was_heard_of_since() -> None:
    story = in_status(S.RUNNING)
    last_seen = story.now.last_seen
    story.says(AmlRunHeartbeatEvent(lease_seconds=60.0))
    folded = story.claims(S.NOT_RESPONDING, last_seen)
    assert folded.transition is None
    assert folded.rejection is not None
    assert "heard of after" in folded.rejection.reason


@pytest.mark.parametrize("verdicts", [[S.NOT_RESPONDING], [S.NOT_RESPONDING, S.FAILED], [S.FAILED], [S.NOT_RESPONDING, S.CANCELED]])
def test_a_heartbeat_withdraws_a_claim(verdicts: list[Status]) -> None:
    story = in_status(S.RUNNING)
    for verdict in verdicts:
        story.claims(verdict)
    folded = story.says(AmlRunHeartbeatEvent(lease_seconds=60.0))
    assert folded.transition is not None
    assert folded.transition.correction
    assert folded.transition.previous_status is verdicts[-1]
    assert (story.now.status, story.now.claimed_from, story.now.end_time, story.now.cause) == (S.RUNNING, None, None, None)


def test_a_report_corrects_a_claim_in_one_step() -> None:
    story = in_status(S.RUNNING)
    story.claims(S.NOT_RESPONDING)
    story.claims(S.FAILED)
    folded = story.reports(S.COMPLETED)
    assert folded.transition is not None
    assert folded.transition.correction
    assert folded.rejection is None
    assert (story.now.status, story.now.claimed_from) == (S.COMPLETED, None)
    assert [step.status for step in story.now.path] == [S.RUNNING, S.NOT_RESPONDING, S.FAILED, S.COMPLETED]


def test_a_report_that_the_table_refuses_still_withdraws_the_claim() -> None:
    story = in_status(S.FINALIZING)
    story.claims(S.NOT_RESPONDING)
    folded = story.reports(S.QUEUED)
    assert folded.transition is not None
    assert folded.transition.correction
    assert folded.rejection is not None
    assert "Queued cannot follow Finalizing" in folded.rejection.reason
    assert story.now.status is S.FINALIZING


def test_somebody_else_withdraws_no_claim() -> None:
    story = in_status(S.RUNNING)
    story.claims(S.FAILED)
    folded = story.reports(S.RUNNING, by=USER, producer="cli")
    assert folded.transition is None
    assert folded.rejection is not None
    assert story.now.status is S.FAILED


def test_a_cancellation_outlasts_the_claim_it_replaced() -> None:
    story = in_status(S.RUNNING)
    story.claims(S.NOT_RESPONDING)
    story.reports(S.CANCEL_REQUESTED, by=USER, producer="cli", cause=Cause.USER)
    assert story.now.claimed_from is None
    assert story.says(AmlRunHeartbeatEvent(lease_seconds=60.0)).transition is None
    assert story.now.status is S.CANCEL_REQUESTED


def test_a_run_that_was_asked_to_stop_is_asked_still_after_a_claim_was_withdrawn() -> None:
    story = in_status(S.RUNNING)
    story.reports(S.CANCEL_REQUESTED, by=USER, producer="cli", cause=Cause.USER)
    story.claims(S.NOT_RESPONDING)
    story.says(AmlRunHeartbeatEvent(lease_seconds=60.0))
    assert (story.now.status, story.now.cause) == (S.CANCEL_REQUESTED, Cause.USER)


@pytest.mark.parametrize(("ends", "cause"), [((S.CANCELED,), Cause.USER), ((S.FINALIZING, S.COMPLETED), None), ((S.COMPLETED,), None)])
def test_only_a_run_that_obeys_was_ended_by_who_cancelled_it(ends: tuple[S, ...], cause: Cause | None) -> None:
    story = in_status(S.RUNNING)
    story.reports(S.CANCEL_REQUESTED, by=USER, producer="cli", cause=Cause.USER)
    for status in ends:
        story.reports(status)
    assert (story.now.status, story.now.cause) == (ends[-1], cause)


def test_a_heartbeat_alone_is_no_transition() -> None:
    story = in_status(S.RUNNING)
    folded = story.says(AmlRunHeartbeatEvent(lease_seconds=30.0))
    assert folded == Folded(story.now)
    assert (story.now.lease_seconds, story.now.last_seen) == (30.0, START + timedelta(seconds=2))


def test_properties_are_written_once() -> None:
    story = in_status(S.RUNNING)
    story.says(AmlRunEvent(operation="Updated", properties={"git": "abc"}))
    same = story.says(AmlRunEvent(operation="Updated", properties={"git": "abc", "more": "1"}))
    assert same.rejection is None
    other = story.says(AmlRunEvent(operation="Updated", properties={"git": "def", "new": "2"}, tags={"x": "y"}))
    assert other.rejection is not None
    assert "'git'" in other.rejection.reason
    assert (story.now.header.properties, story.now.header.tags) == ({"git": "abc", "more": "1"}, {})


def test_tags_come_and_go() -> None:
    story = in_status(S.RUNNING)
    story.says(AmlRunEvent(operation="Updated", tags={"a": "1", "flag": None}))
    story.says(AmlRunEvent(operation="Updated", tags={"a": "2"}, tags_removed=("flag", "never")))
    assert story.now.header.tags == {"a": "2"}


def test_a_header_that_comes_again_does_not_undo_changes() -> None:
    header = RunHeader(experiment_name="e", display_name="first", tags={"a": "1"}, properties={"p": "1"})
    story = Story()
    story.says(AmlRunEvent(operation="Created", header=header))
    story.says(AmlRunEvent(operation="Updated", display_name="second", tags={"a": "2"}, tags_removed=("a",)))
    story.reports(S.RUNNING, header=header)
    assert (story.now.header.display_name, story.now.header.tags) == ("second", {})


def test_archiving_leaves_the_status_alone() -> None:
    story = in_status(S.COMPLETED)
    story.says(AmlRunEvent(operation="Archived"))
    assert (story.now.life, story.now.status) == ("Archived", S.COMPLETED)
    story.says(AmlRunEvent(operation="Reactivated"))
    assert story.now.life == "Active"


def test_the_path_keeps_the_last_steps() -> None:
    story = in_status(S.RUNNING)
    for _ in range(PATH_STEPS):
        story.reports(S.PAUSED)
        story.reports(S.RUNNING)
    assert len(story.now.path) == PATH_STEPS
    assert story.now.revision == 2 * PATH_STEPS + 1
    assert story.now.path[-1].status is S.RUNNING


def test_other_events_leave_the_status_alone() -> None:
    story = in_status(S.RUNNING)
    folded = story.says(AmlRunMetricEvent(names=("loss",), series=[0], steps=[0], times=[0], values=[1.0]))
    assert folded == Folded(story.now)


def test_an_accepted_event_carries_what_a_mail_needs() -> None:
    story = Story()
    story.says(AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits", tags={"team": "a"})))
    story.reports(S.RUNNING)
    reporting = story.event(AmlRunStatusChangedEvent(status=S.FAILED, actor=RUN, cause=Cause.OUT_OF_MEMORY, message="killed"))
    folded = story.fold(reporting)
    assert folded.transition is not None
    accepted = accepted_event(folded.transition)
    data = accepted.data
    assert isinstance(data, AmlRunStatusChangedEvent)
    assert (data.status, data.previous_status, data.revision, data.cause) == (S.FAILED, S.RUNNING, 3, Cause.OUT_OF_MEMORY)
    assert data.header == RunHeader(experiment_name="digits", tags={"team": "a"}, created_time=START + timedelta(seconds=1))
    assert [step.status for step in data.path] == [S.NOT_STARTED, S.RUNNING, S.FAILED]
    assert (data.start_time, data.end_time) == (START + timedelta(seconds=2), START + timedelta(seconds=3))
    assert (data.reported_id, accepted.sequence, accepted.time) == (reporting.id, 3, reporting.time)
    assert accepted.id != reporting.id
    assert accepted_event(folded.transition) == accepted, "a replay gives the same event"


def test_an_accepted_claim_says_so() -> None:
    story = in_status(S.RUNNING)
    claim = story.claims(S.NOT_RESPONDING).transition
    correction = story.reports(S.COMPLETED).transition
    assert claim is not None
    assert correction is not None
    said, corrected = accepted_event(claim).data, accepted_event(correction).data
    assert isinstance(said, AmlRunStatusChangedEvent)
    assert isinstance(corrected, AmlRunStatusChangedEvent)
    assert (said.claim, said.correction) == (True, False)
    assert (corrected.claim, corrected.correction) == (False, True)
