"""Silence into claims: when a run is claimed to be lost, and when not."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from runherald.clock import to_micros
from runherald.errors import Unreachable
from runherald.events import Actor, AmlRunEvent, AmlRunHeartbeatEvent, AmlRunStatusChangedEvent, Data, Event, RunHeader, new_event
from runherald.limits import SERVER_LIMITS
from runherald.records import Record, TopicPartition
from runherald.state import RunState, fold
from runherald.status import Cause, Status
from runherald.streams.leases import ActiveRun, LeasesProcessor
from runherald.topics import EVENTS
from runherald.wire import from_record, to_outgoing

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEASE = 60.0
GRACE = timedelta(minutes=10)
PARTITION = TopicPartition(EVENTS, 0)
OTHER = TopicPartition(EVENTS, 1)
RUN = Actor(kind="run")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Watch:
    """A processor whose clock, log and history are set by hand. What it claims goes to its log, as it does for real."""

    def __init__(self, active: Iterable[ActiveRun] = ()) -> None:
        self.now = START
        self.active = list(active)
        self.loads: list[set[TopicPartition]] = []
        self.history_away = False
        self.log: list[Record] = []
        self._sequence = itertools.count()
        self.processor = LeasesProcessor(self._load_active, clock=lambda: self.now, grace=GRACE)

    def _load_active(self, partitions: Collection[TopicPartition]) -> list[ActiveRun]:
        self.loads.append(set(partitions))
        if self.history_away:
            raise Unreachable("history: cannot answer now; try again")
        return [run for run in self.active if run.partition in partitions]

    async def assign(self, *partitions: TopicPartition) -> None:
        await self.processor.assigned(dict.fromkeys(partitions or (PARTITION,), len(self.log)))

    def record(self, data: Data, *, run: str = "run", time: datetime | None = None, arrived: datetime | None = None) -> Record:
        event = new_event(data, workspace="w", run_id=run, producer="p", sequence=next(self._sequence), time=time or self.now)
        return self.put(event, arrived or self.now)

    def put(self, event: Event, arrived: datetime) -> Record:
        outgoing = to_outgoing(event)
        timestamp = to_micros(arrived) // 1000
        record = Record(EVENTS, 0, len(self.log), timestamp, outgoing.key, outgoing.value, outgoing.headers)
        self.log.append(record)
        return record

    async def hear(self, data: Data, *, run: str = "run", time: datetime | None = None) -> list[Event]:
        return await self.take([self.record(data, run=run, time=time)])

    async def heartbeat(self, *, run: str = "run", time: datetime | None = None) -> list[Event]:
        return await self.hear(AmlRunHeartbeatEvent(lease_seconds=LEASE), run=run, time=time)

    async def take(self, records: Sequence[Record]) -> list[Event]:
        claims = [from_record(outgoing) for outgoing in await self.processor.process(records)]
        if claims:
            # The log hands the processor its own claims as well.
            claims += await self.take([self.put(claim, self.now) for claim in claims])
        return claims

    async def to(self, seconds: float) -> list[Event]:
        """Let the clock go on, in steps of a second, without records."""
        claims: list[Event] = []
        while self.now < at(seconds):
            self.now = min(at(seconds), self.now + timedelta(seconds=1))
            claims += await self.take(())
        return claims


def change(event: Event) -> AmlRunStatusChangedEvent:
    assert isinstance(event.data, AmlRunStatusChangedEvent)
    return event.data


def status(status: Status, actor: Actor = RUN, *, resume: bool = False) -> AmlRunStatusChangedEvent:
    return AmlRunStatusChangedEvent(status=status, actor=actor, resume=resume)


def active(status: Status = Status.RUNNING, **more: object) -> ActiveRun:
    return ActiveRun(workspace="w", run_id="run", partition=PARTITION, status=status, lease_seconds=LEASE, last_seen=at(-300), **more)  # type: ignore[arg-type]


async def test_a_run_that_is_silent_for_its_lease_is_claimed_once() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    assert await watch.to(59) == []
    (claim,) = await watch.to(200)
    said = change(claim)
    assert (said.status, said.claim, said.cause, said.actor) == (
        Status.NOT_RESPONDING,
        True,
        Cause.LOST_CONTACT,
        Actor(kind="watcher", name="runherald.leases"),
    )
    assert said.evidence is not None
    assert (said.evidence.last_seen, said.evidence.lease_seconds) == (START, LEASE)
    assert said.message == "Nothing was heard of the run for 60 s, the time of its lease. It was last seen at 2026-11-21 12:00:00 UTC."
    assert (claim.time, claim.producer, claim.sequence) == (at(60), "runherald.leases", to_micros(at(60)))


async def test_an_end_that_says_as_much_as_servers_take_is_an_end() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.hear(AmlRunStatusChangedEvent(status=Status.FAILED, actor=RUN, message="x" * SERVER_LIMITS.message))
    assert await watch.to(1_000) == []


async def test_each_sign_of_life_renews_the_lease() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.to(50)
    await watch.heartbeat()
    assert await watch.to(109) == []
    await watch.hear(status(Status.FINALIZING))
    assert await watch.to(168) == []
    assert len(await watch.to(170)) == 1


async def test_what_others_say_of_a_run_is_no_sign_of_life() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.to(50)
    await watch.hear(status(Status.QUEUED, Actor(kind="system")))
    await watch.hear(AmlRunEvent(operation="Updated", tags={"a": "b"}))
    assert len(await watch.to(61)) == 1


@pytest.mark.parametrize(("asked", "outcome"), [(False, Status.FAILED), (True, Status.CANCELED)])
async def test_after_the_grace_the_run_is_taken_as_failed_or_as_cancelled_if_that_was_asked(asked: bool, outcome: Status) -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    if asked:
        await watch.hear(status(Status.CANCEL_REQUESTED, Actor(kind="user")))
    await watch.to(61)
    assert await watch.to(60 + 599) == []
    (claim,) = await watch.to(60 + 1_000)
    assert (change(claim).status, change(claim).claim, change(claim).cause) == (outcome, True, Cause.LOST_CONTACT)
    assert (claim.time, claim.sequence) == (at(660), to_micros(at(660)))


async def test_a_run_that_is_heard_of_after_the_claim_has_a_new_lease() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.to(100)
    await watch.heartbeat()
    assert await watch.to(159) == []
    (again,) = await watch.to(161)
    assert (change(again).status, again.sequence) == (Status.NOT_RESPONDING, to_micros(at(160)))


async def test_a_run_that_comes_back_after_it_was_taken_as_failed_is_watched_again() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.to(700)
    await watch.heartbeat()
    assert [change(claim).status for claim in await watch.to(761)] == [Status.NOT_RESPONDING]


@pytest.mark.parametrize("ending", [Status.COMPLETED, Status.FAILED, Status.CANCELED])
async def test_a_run_that_ended_is_left_alone_even_if_a_late_heartbeat_comes(ending: Status) -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.hear(status(ending))
    await watch.heartbeat()
    assert await watch.to(2_000) == []


async def test_a_run_that_goes_on_after_its_end_is_watched_again() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.hear(status(Status.FAILED))
    await watch.hear(status(Status.RUNNING, resume=True))
    await watch.heartbeat()
    assert len(await watch.to(61)) == 1


async def test_a_run_that_never_sent_a_heartbeat_is_left_alone() -> None:
    watch = Watch()
    await watch.assign()
    await watch.hear(AmlRunEvent(operation="Created", header=RunHeader(experiment_name="e")))
    await watch.hear(status(Status.RUNNING))
    assert await watch.to(5_000) == []


@pytest.mark.parametrize("skew", [-86_400.0, 86_400.0])
async def test_silence_is_measured_by_arrival_and_the_evidence_is_the_runs_own_time(skew: float) -> None:
    watch = Watch()
    await watch.assign()
    await watch.to(30)
    await watch.heartbeat(time=at(skew))
    assert await watch.to(89) == []
    (claim,) = await watch.to(91)
    evidence = change(claim).evidence
    assert evidence is not None
    assert evidence.last_seen == at(skew)


async def test_active_runs_are_loaded_and_get_a_new_lease_from_the_start() -> None:
    watch = Watch([active()])
    await watch.assign()
    assert await watch.to(59) == []
    (claim,) = await watch.to(61)
    evidence = change(claim).evidence
    assert evidence is not None
    assert evidence.last_seen == at(-300)


async def test_a_claimed_run_that_is_loaded_gets_a_leases_time_before_its_grace_ends() -> None:
    watch = Watch([active(Status.NOT_RESPONDING, claimed=at(-5_000))])
    await watch.assign()
    assert await watch.to(59) == []
    assert [change(claim).status for claim in await watch.to(61)] == [Status.FAILED]


async def test_a_loaded_run_with_a_cancellation_asked_for_ends_as_cancelled() -> None:
    watch = Watch([active(Status.CANCEL_REQUESTED)])
    await watch.assign()
    assert [change(claim).status for claim in await watch.to(700)] == [Status.NOT_RESPONDING, Status.CANCELED]


async def test_heartbeats_that_wait_in_the_log_are_read_before_anyone_is_judged() -> None:
    """The watcher was away for an hour; the run was not, and its heartbeats wait in the log."""
    watch = Watch()
    backlog = [watch.record(AmlRunHeartbeatEvent(lease_seconds=LEASE), time=at(s), arrived=at(s)) for s in range(0, 3_600, 20)]
    watch.now = at(3_600)
    await watch.assign()
    for index, record in enumerate(backlog):
        # Slow: reading takes longer than a lease, while the run goes on.
        watch.now = at(3_600 + index)
        assert await watch.take([record]) == []
    assert await watch.to(watch.now.timestamp() - START.timestamp() + 4) == []


async def test_a_busy_log_does_not_hide_the_silence_of_one_run() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat(run="silent")
    claims: list[Event] = []
    for second in range(1, 70):
        watch.now = at(second)
        claims += await watch.heartbeat(run="busy")
    assert [claim.run_id for claim in claims] == ["silent"]


async def test_a_quiet_partition_is_judged_while_another_is_busy() -> None:
    watch = Watch([ActiveRun(workspace="w", run_id="silent", partition=OTHER, status=Status.RUNNING, lease_seconds=LEASE)])
    await watch.assign(PARTITION, OTHER)
    claims: list[Event] = []
    for second in range(1, 70):
        watch.now = at(second)
        claims += await watch.heartbeat(run="busy")
    assert [claim.run_id for claim in claims] == ["silent"]


async def test_a_revoked_partitions_runs_are_forgotten() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.processor.revoked([PARTITION])
    assert await watch.to(100) == []


async def test_runs_that_only_history_knows_are_taken_up_later() -> None:
    watch = Watch()
    await watch.assign()
    watch.active.append(active())
    claims = await watch.to(121)
    assert [change(claim).status for claim in claims] == [Status.NOT_RESPONDING]
    assert watch.loads == [{PARTITION}] * 3


async def test_while_history_is_away_the_watch_goes_on_and_asks_again_soon() -> None:
    watch = Watch([active()])
    watch.history_away = True
    await watch.assign()
    await watch.heartbeat(run="heard")
    assert [claim.run_id for claim in await watch.to(61)] == ["heard"]
    watch.history_away = False
    assert [claim.run_id for claim in await watch.to(63 + LEASE)] == [active().run_id]


async def test_the_same_verdict_made_again_is_the_same_event() -> None:
    made: list[list[str]] = []
    for _ in range(2):
        watch = Watch()
        await watch.assign()
        await watch.heartbeat()
        made.append([claim.id for claim in await watch.to(700)])
    assert made[0] == made[1]
    assert len(set(made[0])) == 2


async def test_a_malformed_record_is_left_to_history() -> None:
    watch = Watch()
    await watch.assign()
    await watch.hear(AmlRunHeartbeatEvent(lease_seconds=float(10**300)))
    assert await watch.take([Record(EVENTS, 0, len(watch.log), 0, b"k", b"{", ())]) == []
    await watch.heartbeat()
    assert len(await watch.to(61)) == 1


async def test_history_accepts_the_claims_and_the_runs_return() -> None:
    watch = Watch()
    await watch.assign()
    await watch.hear(status(Status.RUNNING))
    await watch.heartbeat()
    await watch.to(100)
    await watch.heartbeat()
    await watch.to(800)
    state: RunState | None = None
    statuses = []
    for record in watch.log:
        folded = fold(state, from_record(record))
        assert folded.rejection is None
        state = folded.state
        if folded.transition:
            statuses.append(folded.state.status)
    assert statuses == [Status.RUNNING, Status.NOT_RESPONDING, Status.RUNNING, Status.NOT_RESPONDING, Status.FAILED]


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_set_condemns_nobody_and_hides_nobody(hours: int) -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.to(30)
    watch.now += timedelta(hours=hours)
    assert await watch.take(()) == []
    (claim,) = await watch.to(hours * 3600 + 30 + LEASE)
    assert change(claim).status is Status.NOT_RESPONDING


async def test_a_run_is_not_heard_of_in_the_future_when_the_clock_of_the_log_is_ahead() -> None:
    watch = Watch()
    await watch.assign()
    await watch.take([watch.record(AmlRunHeartbeatEvent(lease_seconds=LEASE), arrived=at(3600))])
    assert len(await watch.to(LEASE)) == 1


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_set_leaves_a_lost_run_its_grace(hours: int) -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    assert len(await watch.to(LEASE + 60)) == 1
    watch.now += timedelta(hours=hours)
    assert await watch.take(()) == []
    claims = await watch.to(hours * 3600 + LEASE + 60 + GRACE.total_seconds())
    assert [change(claim).status for claim in claims] == [Status.FAILED]


async def test_a_watcher_that_was_frozen_gives_everybody_a_lease_to_be_heard_of() -> None:
    watch = Watch()
    await watch.assign()
    await watch.heartbeat()
    await watch.to(30)
    watch.now = at(300)
    assert await watch.take(()) == []
    assert await watch.heartbeat() == []
    assert await watch.to(300 + LEASE - 1) == []
    assert len(await watch.to(300 + LEASE)) == 1
