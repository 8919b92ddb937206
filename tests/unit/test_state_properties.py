"""What holds of a run's state whatever is said of it, by whomever, however often, in whatever order between producers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy

from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunStatusChangedEvent,
    Data,
    Event,
    Evidence,
    RunHeader,
    new_event,
)
from runherald.state import Rejection, RunState, Transition, fold
from runherald.status import CLAIMS, TERMINAL, Cause, Status, may_follow
from runherald.transitions import accepted_event

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

KEYS = st.sampled_from(["a", "b"])
VALUES = st.sampled_from(["1", "2"])
SECONDS = st.integers(0, 100).map(lambda seconds: START + timedelta(seconds=seconds))
HEADERS = st.builds(
    RunHeader,
    experiment_name=st.sampled_from(["", "digits"]),
    tags=st.dictionaries(KEYS, VALUES),
    properties=st.dictionaries(KEYS, VALUES),
)
ACTORS = st.builds(Actor, kind=st.sampled_from(["run", "run", "run", "user", "watcher", "rule", "system"]))
VERDICTS = st.sampled_from([*CLAIMS, *CLAIMS, *Status])

REPORTS = st.builds(
    AmlRunStatusChangedEvent,
    status=st.sampled_from(Status),
    header=st.none() | HEADERS,
    cause=st.none() | st.sampled_from(Cause),
    actor=st.none() | ACTORS,
    resume=st.sampled_from([False, False, False, True]),
)
CLAIMING = st.builds(
    AmlRunStatusChangedEvent,
    status=VERDICTS,
    actor=st.just(Actor(kind="watcher")),
    claim=st.just(True),
    evidence=st.none() | st.builds(Evidence, last_seen=st.none() | SECONDS),
)
CHANGES = st.builds(
    AmlRunEvent,
    operation=st.sampled_from(["Created", "Updated", "Archived", "Reactivated", "Deleted"]),
    header=st.none() | HEADERS,
    tags=st.dictionaries(KEYS, VALUES),
    properties=st.dictionaries(KEYS, VALUES),
)
HEARTBEATS = st.builds(AmlRunHeartbeatEvent, lease_seconds=st.sampled_from([30.0, 60.0]))
RUNNING = AmlRunStatusChangedEvent(status=Status.RUNNING, actor=Actor(kind="run"))
SAYINGS: SearchStrategy[Data] = st.one_of(REPORTS, CLAIMING, CHANGES, HEARTBEATS)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Return events of up to four producers, interleaved: each producer's own order is kept."""
    sequences: dict[str, int] = {}
    events: list[Event] = []
    begun = draw(st.sampled_from([[], [("p", RUNNING, START)]]))
    for producer, data, time in begun + draw(st.lists(st.tuples(st.sampled_from("pqrs"), SAYINGS, SECONDS), max_size=25)):
        sequence = sequences[producer] = sequences.get(producer, -1) + 1
        events.append(new_event(data, workspace="w", run_id="r", producer=producer, sequence=sequence, time=time))
    return events


def duplicated(events: Sequence[Event], data: DataObject) -> list[Event]:
    """Return the events with repeats of earlier ones put anywhere: what a producer, a broker or a restart may do."""
    repeats = data.draw(st.lists(st.tuples(st.integers(0, len(events)), st.integers(0, 1_000_000)), max_size=12), label="repeats")
    log: list[Event] = []
    for place in range(len(events) + 1):
        log += [log[which % len(log)] for at, which in repeats if at == place and log]
        log += events[place : place + 1]
    return log


class Told:
    """What came of a log."""

    def __init__(self, events: Iterable[Event], state: RunState | None = None) -> None:
        self.state = state
        self.steps: list[tuple[RunState | None, Transition]] = []
        self.rejections: list[Rejection] = []
        for event in events:
            before = self.state
            self.state, transition, rejection = fold(before, event)
            if transition is not None:
                self.steps.append((before, transition))
            if rejection is not None:
                self.rejections.append(rejection)

    @property
    def accepted(self) -> list[Event]:
        return [accepted_event(transition) for _, transition in self.steps]


def said(transition: Transition) -> AmlRunStatusChangedEvent | None:
    data = transition.event.data
    return data if isinstance(data, AmlRunStatusChangedEvent) else None


@given(logs())
def test_every_step_is_legal(events: list[Event]) -> None:
    for before, transition in Told(events).steps:
        data = said(transition)
        status = transition.state.status
        previous = before.status if before is not None else None
        assert status is not None
        assert transition.previous_status == previous
        if before is None or previous is None:
            assert transition.state.revision == 1
        elif data is not None and data.resume and not data.claim:
            assert transition.state.attempt == before.attempt + 1
        elif data is not None and data.claim:
            assert status in CLAIMS
            assert previous not in TERMINAL
        elif transition.correction:
            assert before.claimed_from is not None
            assert status is before.claimed_from or may_follow(before.claimed_from, status)
            assert transition.state.claimed_from is None
        else:
            assert may_follow(previous, status)


@given(logs())
def test_an_end_is_left_only_by_resume_or_correction(events: list[Event]) -> None:
    for before, transition in Told(events).steps:
        if before is not None and before.status in TERMINAL:
            data = said(transition)
            assert (data is not None and data.resume) or transition.correction
            if transition.correction:
                assert before.claimed_from is not None, "a run's own word is no claim"


@given(logs(), st.data())
def test_repeats_change_nothing(events: list[Event], data: DataObject) -> None:
    once, often = Told(events), Told(duplicated(events, data))
    assert often.state == once.state
    assert often.accepted == once.accepted
    assert often.rejections == once.rejections


@given(logs())
def test_a_replay_tells_the_same(events: list[Event]) -> None:
    first, second = Told(events), Told(events)
    assert first.state == second.state
    assert first.accepted == second.accepted


@given(logs(), st.integers(0, 25))
def test_a_state_that_was_stored_goes_on_as_if_it_had_not_been(events: list[Event], cut: int) -> None:
    begun = Told(events[:cut])
    stored = msgspec.json.decode(msgspec.json.encode(begun.state), type=RunState | None)
    resumed = Told(events, stored)
    whole = Told(events)
    assert resumed.state == whole.state
    assert begun.accepted + resumed.accepted == whole.accepted, "what was folded before comes again and is known"


@given(logs())
def test_the_revision_counts_the_transitions(events: list[Event]) -> None:
    told = Told(events)
    assert [transition.state.revision for _, transition in told.steps] == list(range(1, len(told.steps) + 1))
    assert told.state is None or told.state.revision == len(told.steps)
    assert len({event.id for event in told.accepted}) == len(told.steps)


@given(logs())
def test_properties_never_change(events: list[Event]) -> None:
    state: RunState | None = None
    known: dict[str, str] = {}
    for event in events:
        state = fold(state, event).state
        assert state.header.properties.items() >= known.items()
        known = state.header.properties


@given(logs())
def test_a_run_has_an_end_time_exactly_when_it_has_ended(events: list[Event]) -> None:
    state: RunState | None = None
    for event in events:
        state = fold(state, event).state
        assert (state.end_time is not None) == (state.status in TERMINAL)
        assert state.claimed_from is None or state.status in CLAIMS
