"""The order of effects and the decisions in it, with a clock set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

import pytest

from runherald.dead_letters import dead_letter
from runherald.records import Outgoing, Record, TopicPartition
from runherald.streams.cycle import Cycle, FlushPolicy, Taken, flush_due
from runherald.streams.dead_letter_limit import DeadLetterLimit, DeadLetterTally
from runherald.streams.errors import TooManyDeadLetters

ZERO = TopicPartition("t", 0)
ONE = TopicPartition("t", 1)


def record(offset: int, partition: int = 0, size: int = 1) -> Record:
    return Record("t", partition, offset, 0, b"k", b"x" * size)


class Scripted:
    """A processor and a channel in one, that write down each call and fail at the one they are told."""

    name = "scripted"
    topics: tuple[str, ...] = ("t",)

    def __init__(self, *, fails: str = "") -> None:
        self.calls: list[str] = []
        self.committed: dict[TopicPartition, int] = {}
        self._fails = fails

    def note(self, call: str) -> None:
        if call.startswith(self._fails) and self._fails:
            raise RuntimeError(call)
        self.calls.append(call)

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        self.note(f"assigned {len(end_offsets)}")

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.note(f"revoked {len(partitions)}")

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        self.note(f"process {len(records)}")
        return [Outgoing("out", each.key, each.value) for each in records]

    async def flush(self) -> Sequence[Outgoing]:
        self.note("flush")
        return [Outgoing("late", None, b"")]

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.note(f"publish {records[0].topic} {len(records)}")

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.note("commit")
        self.committed.update(offsets)


class Waiting(Scripted):
    """A processor whose database takes what is flushed only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.room = asyncio.Semaphore(0)
        self.flushing = 0

    async def flush(self) -> Sequence[Outgoing]:
        self.flushing += 1
        await self.room.acquire()
        return await super().flush()


class Time:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def cycle_of(scripted: Scripted, time: Time, policy: FlushPolicy | None = None) -> Cycle:
    return Cycle(scripted, scripted, clock=time, policy=policy or FlushPolicy(records=3, age=10))


async def test_effects_come_in_their_order() -> None:
    scripted = Scripted()
    cycle = cycle_of(scripted, Time())
    await cycle.assigned({ZERO: 0})
    await cycle.take([record(0), record(1)])
    await cycle.take([record(2)])
    assert scripted.calls == [
        "assigned 1",
        "process 2",
        "publish out 2",
        "process 1",
        "publish out 1",
        "flush",
        "publish late 1",
        "commit",
    ]
    assert scripted.committed == {ZERO: 3}


@pytest.mark.parametrize("step", ["process", "publish out", "flush", "publish late"])
async def test_nothing_is_committed_when_a_step_before_it_fails(step: str) -> None:
    scripted = Scripted(fails=step)
    with pytest.raises(RuntimeError, match=step):
        await cycle_of(scripted, Time()).take([record(0), record(1), record(2)])
    assert scripted.committed == {}


async def test_what_was_revoked_is_not_committed() -> None:
    scripted = Scripted()
    cycle = cycle_of(scripted, Time())
    await cycle.take([record(0), record(7, partition=1)])
    await cycle.revoked([ZERO])
    await cycle.flush()
    assert scripted.committed == {ONE: 8}


async def test_a_processor_is_called_each_second_and_flushed_when_what_it_took_is_old() -> None:
    scripted, time = Scripted(), Time()
    cycle = cycle_of(scripted, time, FlushPolicy(records=100, age=2.5, quiet=2.5))
    await cycle.take([record(0)])
    scripted.calls.clear()
    assert cycle.seconds_to_next() == 1.0
    for _ in range(10):
        time.now += 0.5
        await cycle.tick()
    assert scripted.calls == ["process 0", "process 0", "flush", "publish late 1", "commit", "process 0", "process 0", "process 0"]


@pytest.mark.parametrize(
    ("taken", "due"),
    [
        (Taken(), False),
        (Taken(records=9, size=99, since=91.0, last=99.5), False),
        (Taken(records=10, size=99, since=100.0, last=100.0), True),
        (Taken(records=9, size=100, since=100.0, last=100.0), True),
        (Taken(records=1, size=1, since=90.0, last=100.0), True),
        (Taken(records=1, size=1, since=99.0, last=99.0), True),
        (Taken(records=1, size=1, since=99.0, last=99.0, flushed=89.0), True),
        (Taken(records=1, size=1, since=99.0, last=99.0, flushed=91.0), False),
    ],
)
def test_a_flush_is_due_by_records_bytes_age_or_quiet(taken: Taken, due: bool) -> None:
    assert flush_due(taken, FlushPolicy(records=10, size=100, age=10.0, quiet=1.0), 100.0) is due


async def test_what_comes_alone_is_flushed_at_once_and_a_trickle_once_in_an_age() -> None:
    scripted, time = Scripted(), Time()
    cycle = cycle_of(scripted, time, FlushPolicy(records=1_000, age=1.0, quiet=0.125))
    flushes = []
    for offset in range(40):
        if offset in {0, 8} or offset > 20:
            await cycle.take([record(offset)])
        time.now += cycle.seconds_to_next() if offset == 0 else 0.125
        await cycle.tick()
        flushes += [offset] * scripted.calls.count("flush")
        scripted.calls.clear()
    # The two that came alone after a rest, and then one in a second although something comes with every step.
    assert flushes == [0, 8, 21, 29, 37]


async def test_what_comes_at_once_is_held_only_up_to_the_policys_records() -> None:
    scripted, time = Scripted(), Time()
    cycle = cycle_of(scripted, time, FlushPolicy(records=4, age=10))
    await cycle.take([record(0), record(1), record(2)])
    scripted.calls.clear()
    await cycle.take([record(offset) for offset in range(3, 10)])
    assert [call for call in scripted.calls if call.startswith(("process", "flush"))] == [
        *("process 1", "flush", "process 4", "flush"),
        "process 2",
    ]
    assert (cycle.fill().items, cycle.fill().items_limit) == (2, 4)


async def test_of_large_records_no_more_is_held_than_the_policys_bytes_and_the_one_that_reaches_them() -> None:
    scripted = Scripted()
    cycle = cycle_of(scripted, Time(), FlushPolicy(records=1_000, size=100, age=10))
    await cycle.take([record(offset, size=60) for offset in range(5)])
    assert [call for call in scripted.calls if call.startswith(("process", "flush"))] == [*("process 2", "flush") * 2, "process 1"]
    assert (cycle.fill().size, cycle.fill().size_limit) == (60, 100)


async def test_while_a_flush_waits_for_the_database_nothing_more_is_taken() -> None:
    """A slow database slows the intake: who hands records over waits, and what is held stays as it is."""
    scripted = Waiting()
    cycle = cycle_of(scripted, Time(), FlushPolicy(records=2, age=10))
    taking = asyncio.ensure_future(cycle.take([record(offset) for offset in range(6)]))
    for flushes in range(1, 4):
        while scripted.flushing < flushes:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not taking.done()
        assert scripted.calls.count("process 2") == flushes
        assert cycle.fill().items == 2
        scripted.room.release()
    await taking
    assert scripted.committed == {ZERO: 6}
    assert cycle.fill().items == 0


async def test_a_flush_without_records_commits_nothing() -> None:
    scripted = Scripted()
    await cycle_of(scripted, Time()).flush()
    assert scripted.calls == ["flush", "publish late 1"]


def test_a_good_record_ends_a_row_of_bad_ones_and_the_share_still_counts() -> None:
    tally = DeadLetterTally(DeadLetterLimit(consecutive=3, share=0.5, window=10))
    records = [record(offset) for offset in range(10)]
    letters = [dead_letter(each, processor="p", reason="no") for each in records if each.offset % 3]
    with pytest.raises(TooManyDeadLetters, match="6 of 10 records could not be taken"):
        tally.add(records, letters)


def test_a_share_below_the_limit_never_stops() -> None:
    tally = DeadLetterTally(DeadLetterLimit(consecutive=3, share=0.5, window=10))
    for offset in range(1_000):
        tally.add([record(offset)], [dead_letter(record(offset), processor="p", reason="no")] if offset % 3 == 0 else [])


def test_rows_that_could_not_be_stored_count_towards_the_share() -> None:
    tally = DeadLetterTally(DeadLetterLimit(share=0.5, window=10))
    with pytest.raises(TooManyDeadLetters, match="could not be stored"):
        tally.add_late([dead_letter(record(offset), processor="p", reason="no") for offset in range(5)])
