"""The limit on dead letters: it holds over a restart, says why, and lets nothing out of what passed it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import pytest

from runherald.dead_letters import Stopped, dead_letter, read_letter
from runherald.records import Outgoing, Record, TopicPartition
from runherald.streams.cycle import Cycle, FlushPolicy
from runherald.streams.dead_letter_limit import Counted, DeadLetterLimit, DeadLetterTally, Recalled
from runherald.streams.errors import TooManyDeadLetters
from runherald.streams.limited_processor import LimitedProcessor
from runherald.topics import DEAD_LETTERS

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HERE = TopicPartition("t", 0)
LIMIT = DeadLetterLimit(consecutive=5, share=0.5, window=10)


def records(*offsets: int) -> list[Record]:
    return [Record("t", 0, offset, 0, b"k", b"bad" if offset >= 100 else b"good") for offset in offsets]


class Picky:
    """A processor that buries what is bad, some of it only when it is stored."""

    name = "picky"
    topics: tuple[str, ...] = ("t",)

    def __init__(self, *, late: bool = False) -> None:
        self._late = late
        self._kept: list[Record] = []
        self.flushed: list[int] = []
        self.settled = False

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        pass

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        pass

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        self.settled = self.settled or not records
        self._kept += records
        return () if self._late else self._letters(records)

    async def flush(self) -> Sequence[Outgoing]:
        kept, self._kept = self._kept, []
        self.flushed += [record.offset for record in kept]
        return self._letters(kept) if self._late else ()

    def _letters(self, records: Sequence[Record]) -> list[Outgoing]:
        return [dead_letter(record, processor=self.name, reason="no") for record in records if record.value == b"bad"]


class Channel:
    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.committed: dict[TopicPartition, int] = {}

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.published += records

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.committed.update(offsets)

    def stops(self) -> list[Stopped]:
        read = [read_letter(Record(DEAD_LETTERS, 0, 0, 0, each.key, each.value, each.headers)) for each in self.published]
        return [each for each in read if isinstance(each, Stopped)]


async def started(processor: Picky, *counted: Counted, allowed: int = 0) -> tuple[Cycle, Channel]:
    async def recall(partitions: Collection[TopicPartition]) -> Recalled:
        assert set(partitions) == {HERE}
        return Recalled(counted, allowed)

    channel = Channel()
    subject = LimitedProcessor(processor, recall, lambda: NOW, limit=LIMIT)
    cycle = Cycle(subject, channel, clock=lambda: 0.0, policy=FlushPolicy(records=1_000))
    await cycle.assigned({HERE: 1_000})
    return cycle, channel


async def test_what_passes_the_limit_is_neither_published_nor_stored_nor_committed(caplog: pytest.LogCaptureFixture) -> None:
    processor = Picky()
    cycle, channel = await started(processor)
    await cycle.take(records(1, 100, 101))
    await cycle.flush()
    await cycle.take(records(102, 103, 104))
    with pytest.raises(TooManyDeadLetters, match=r"5 records one after another.*go-on picky"):
        await cycle.flush()
    assert channel.committed == {HERE: 102}
    assert processor.flushed == [1, 100, 101]
    [stop] = channel.stops()
    assert (stop.processor, stop.offset, stop.time) == ("picky", 102, NOW)
    assert len(channel.published) == 3, "two letters and the mark: none of the batch that passed the limit"
    assert "processor=picky event=stopped before=t/0 offset 102 reason=5 records" in caplog.text
    assert "runherald dead-letters go-on picky" in caplog.text


async def test_once_stopped_it_takes_nothing_more() -> None:
    cycle, channel = await started(Picky())
    await cycle.take(records(*range(100, 105)))
    with pytest.raises(TooManyDeadLetters):
        await cycle.take(records(1))
    assert len(channel.stops()) == 1


async def test_a_restart_begins_where_the_count_was() -> None:
    cycle, channel = await started(Picky(), Counted(3, 0), Counted(2, 2), Counted(2, 2))
    await cycle.take(records(100))
    assert [stop.offset for stop in channel.stops()] == [100]


async def test_after_a_restart_good_records_go_on_whatever_was_before() -> None:
    cycle, channel = await started(Picky(), Counted(20, 20))
    await cycle.take(records(1, 2, 3))
    await cycle.flush()
    assert channel.committed == {HERE: 4}
    assert channel.published == []


async def test_the_share_is_of_the_last_records_before_and_after_the_start() -> None:
    cycle, channel = await started(Picky(), Counted(8, 4))
    await cycle.take(records(1, 100))
    assert [stop.reason for stop in channel.stops()] == ["5 of 10 records could not be taken, up to t/0 offset 100"]


async def test_what_somebody_let_through_does_not_count() -> None:
    cycle, channel = await started(Picky(), allowed=7)
    await cycle.take(records(*range(100, 107)))
    await cycle.take(records(*range(107, 111)))
    await cycle.flush()
    assert channel.committed == {HERE: 111}
    await cycle.take(records(111))
    assert [stop.offset for stop in channel.stops()] == [111]


async def test_rows_that_could_not_be_stored_stop_it_before_the_next_records() -> None:
    processor = Picky(late=True)
    cycle, channel = await started(processor)
    await cycle.take(records(*range(100, 106)))
    await cycle.flush()
    assert channel.committed == {HERE: 106}, "their letters are out"
    assert len(channel.published) == 6
    await cycle.take(records(1))
    assert [stop.offset for stop in channel.stops()] == [1]
    assert processor.settled, "the count of the flush is in the ledger"
    with pytest.raises(TooManyDeadLetters):
        await cycle.flush()
    assert 1 not in processor.flushed


def test_what_is_long_ago_leaves_the_window() -> None:
    tally = DeadLetterTally(LIMIT)
    tally.recall(Recalled([Counted(10, 4)]))
    tally.add(records(*range(10)), [])
    for offset in range(100, 104):
        tally.add(records(offset), [dead_letter(records(offset)[0], processor="p", reason="no")])
