"""The embedded runner in its process: lanes that do not wait for each other, failures that are said, restarts, stops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from runherald.clock import system_clock
from runherald.dead_letters import dead_letter
from runherald.records import Outgoing, Record, TopicPartition
from runherald.streams.cycle import FlushPolicy
from runherald.streams.dead_letter_limit import DeadLetterLimit, Recalled
from runherald.streams.embedded_log import EmbeddedLog
from runherald.streams.embedded_runner import EmbeddedRunner
from runherald.streams.limited_processor import LimitedProcessor
from runherald.topics import DEAD_LETTERS, Topic

TOPIC = "runherald.test"
AT = TopicPartition(TOPIC, 0)
POLICY = FlushPolicy(records=100, age=0.05)


class Recording:
    """A processor that keeps what it was given, and fails as often as it is told to."""

    def __init__(
        self, name: str, stored: list[int], *, failures: list[Exception] | None = None, hold: threading.Event | None = None
    ) -> None:
        self.name = name
        self.topics: tuple[str, ...] = (TOPIC,)
        self._stored = stored
        self._failures = failures if failures is not None else []
        self._hold = hold
        self._buffer: list[int] = []
        self.ticks = 0
        self.thread = threading.current_thread().name

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        self.ends = dict(end_offsets)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self._buffer.clear()

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        self.ticks += not records
        if self._hold is not None and records:
            await asyncio.to_thread(self._hold.wait, 20)
        self._buffer += [record.offset for record in records]
        return ()

    async def flush(self) -> Sequence[Outgoing]:
        if self._failures and self._buffer:
            raise self._failures.pop()
        self._stored += self._buffer
        self._buffer = []
        return ()


class Burying(Recording):
    """A processor that can take nothing."""

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        return [dead_letter(record, processor=self.name, reason="no") for record in records]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    topics = [Topic(name=name, partitions=1, retention=timedelta(days=1)) for name in (TOPIC, DEAD_LETTERS)]
    log = EmbeddedLog(tmp_path, topics=topics)
    yield log
    log.close()


def send(log: EmbeddedLog, count: int) -> None:
    log.append([Outgoing(TOPIC, b"run", b"v") for _ in range(count)])


def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.005)


def test_a_slow_processor_does_not_delay_another(log: EmbeddedLog) -> None:
    hold = threading.Event()
    slow: list[int] = []
    quick: list[int] = []
    runner = EmbeddedRunner(
        log, {"slow": lambda: Recording("slow", slow, hold=hold), "quick": lambda: Recording("quick", quick)}, policy=POLICY
    )
    runner.start()
    send(log, 10)
    until(lambda: len(quick) == 10)
    assert slow == []
    assert {(lag.processor, lag.lag) for lag in runner.lag() if lag.processor == "slow"} == {("slow", 10)}
    hold.set()
    until(lambda: len(slow) == 10)
    assert runner.stop(10)
    assert {lag.lag for lag in runner.lag()} == {0}


def test_a_failure_is_said_and_a_fresh_processor_begins_where_it_was_committed(log: EmbeddedLog, caplog: pytest.LogCaptureFixture) -> None:
    stored: list[int] = []
    made: list[Recording] = []
    failures: list[Exception] = []

    def factory() -> Recording:
        made.append(Recording("p", stored, failures=failures))
        return made[-1]

    runner = EmbeddedRunner(log, {"p": factory}, policy=POLICY, back_off=(0.01,))
    runner.start()
    send(log, 5)
    until(lambda: len(stored) == 5)
    failures.append(ValueError("the table is gone"))
    send(log, 5)
    until(lambda: len(stored) == 10)
    assert stored == list(range(10))
    assert len(made) == 2
    assert made[0] is not made[1]
    assert made[1].ends == {AT: 10}
    (health,) = runner.health()
    assert (health.state, health.restarts) == ("running", 1)
    assert runner.healthy
    assert "processor=p state=restarting error=ValueError: the table is gone" in caplog.text
    assert runner.stop(10)


def test_while_a_processor_waits_for_its_restart_the_runner_is_not_healthy(log: EmbeddedLog) -> None:
    def factory() -> Recording:
        raise OSError("no route to the database")

    runner = EmbeddedRunner(log, {"p": factory, "q": lambda: Recording("q", [])}, policy=POLICY, back_off=(60.0,))
    runner.start()
    until(lambda: [health.state for health in runner.health()] == ["restarting", "running"])
    assert not runner.healthy
    assert runner.health()[0].error == "OSError: no route to the database"
    assert runner.stop(5), "a stop does not wait for the back-off"


def test_too_many_dead_letters_stop_the_processor_for_good(log: EmbeddedLog) -> None:
    async def recall(_partitions: Collection[TopicPartition]) -> Recalled:
        return Recalled()

    def factory() -> LimitedProcessor:
        return LimitedProcessor(Burying("p", []), recall, system_clock, limit=DeadLetterLimit(consecutive=50))

    runner = EmbeddedRunner(log, {"p": factory}, policy=POLICY)
    send(log, 200)
    runner.start()
    until(lambda: runner.health()[0].state == "failed")
    assert "50 records one after another could not be taken" in runner.health()[0].error
    assert log.end_offsets([DEAD_LETTERS])[TopicPartition(DEAD_LETTERS, 0)] < 50
    assert log.committed("runherald.p", [TOPIC]).get(AT, 0) < 50
    assert not runner.healthy
    assert runner.stop(5)


def test_a_stop_flushes_and_commits_what_was_taken_in(log: EmbeddedLog) -> None:
    stored: list[int] = []
    runner = EmbeddedRunner(log, {"p": lambda: Recording("p", stored)}, policy=FlushPolicy(records=10_000, age=3_600))
    runner.start()
    send(log, 5)
    until(lambda: runner.health()[0].state == "running")
    time_to_take = threading.Event()
    time_to_take.wait(0.3)
    assert runner.stop(5)
    assert stored == [0, 1, 2, 3, 4]
    assert log.committed("runherald.p", [TOPIC]) == {AT: 5}
    assert [health.state for health in runner.health()] == ["stopped"]


def test_a_stop_is_bounded_and_a_late_processor_commits_nothing(log: EmbeddedLog) -> None:
    hold = threading.Event()
    runner = EmbeddedRunner(log, {"p": lambda: Recording("p", [], hold=hold)}, policy=POLICY)
    runner.start()
    send(log, 1)
    until(lambda: runner.health()[0].state == "running")
    threading.Event().wait(0.2)
    began = time.monotonic()
    assert not runner.stop(0.3)
    assert time.monotonic() - began < 2
    hold.set()
    assert log.committed("runherald.p", [TOPIC]) == {}
    until(lambda: not any(thread.name == "runherald-p" for thread in threading.enumerate()))


def test_a_processor_is_called_about_each_second_without_records(log: EmbeddedLog) -> None:
    made: list[Recording] = []

    def factory() -> Recording:
        made.append(Recording("p", []))
        return made[-1]

    runner = EmbeddedRunner(log, {"p": factory}, policy=POLICY)
    runner.start()
    began = time.monotonic()
    until(lambda: bool(made) and made[0].ticks == 2)
    assert 1.5 < time.monotonic() - began < 4
    assert runner.stop(5)
