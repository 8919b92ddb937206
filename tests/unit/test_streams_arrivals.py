"""What stands between a Faust agent and a processor: order, bounds, acknowledgements, partitions that change hands."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from runherald.records import TopicPartition
from runherald.streams import arrivals
from runherald.streams.arrivals import Arrivals
from runherald.streams.errors import OutOfOrder

ZERO = TopicPartition("t", 0)
ONE = TopicPartition("t", 1)


class Event:
    """An event as Faust hands it out."""

    def __init__(self, offset: int, partition: int, acked: list[tuple[int, int]]) -> None:
        self.message: Any = SimpleNamespace(
            topic="t", partition=partition, offset=offset, timestamp=1.5, key=b"k", value=b"v", headers=[("h", b"1")]
        )
        self._acked = acked

    def ack(self) -> None:
        self._acked.append((self.message.partition, self.message.offset))


class Rig:
    """Arrivals, and what was acknowledged."""

    def __init__(self, *partitions: TopicPartition) -> None:
        self.acked: list[tuple[int, int]] = []
        self.arrivals = Arrivals()
        self.arrivals.assigned(dict.fromkeys(partitions, 0))

    async def put(self, *offsets: int, partition: int = 0) -> None:
        for offset in offsets:
            await self.arrivals.put(Event(offset, partition, self.acked))

    def take(self) -> list[tuple[int, int]]:
        return [(record.partition, record.offset) for record in self.arrivals.take()]


async def test_records_come_out_in_order_and_are_acknowledged_only_up_to_the_offset() -> None:
    rig = Rig(ZERO, ONE)
    await rig.put(0, 1, 2)
    await rig.put(0, partition=1)
    assert rig.take() == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert rig.acked == []
    rig.arrivals.acknowledge({ZERO: 2, ONE: 1})
    assert rig.acked == [(0, 0), (0, 1), (1, 0)]
    rig.arrivals.acknowledge({ZERO: 3})
    assert rig.acked[3:] == [(0, 2)]


async def test_a_record_carries_all_of_the_message() -> None:
    rig = Rig(ZERO)
    await rig.put(0)
    (record,) = rig.arrivals.take()
    assert (record.timestamp, record.key, record.value, record.headers) == (1500, b"k", b"v", (("h", b"1"),))


async def test_what_was_taken_already_is_not_taken_again() -> None:
    rig = Rig(ZERO)
    await rig.put(0, 1)
    rig.take()
    await rig.put(0, 1, 2)
    assert rig.take() == [(0, 2)]


async def test_a_hole_ends_the_worker() -> None:
    rig = Rig(ZERO)
    await rig.put(0, 1, 5, 6)
    with pytest.raises(OutOfOrder, match="t/0: offset 6 came where 2 was due"):
        rig.take()


async def test_one_stray_of_an_earlier_assignment_is_passed_over() -> None:
    rig = Rig(ZERO)
    await rig.put(120, 0, 1)
    assert rig.take() == [(0, 0), (0, 1)]


async def test_a_revoked_partition_is_neither_delivered_nor_acknowledged() -> None:
    rig = Rig(ZERO, ONE)
    await rig.put(0)
    await rig.put(0, partition=1)
    rig.take()
    await rig.put(1)
    await rig.put(1, partition=1)
    rig.arrivals.revoked([ZERO])
    assert rig.take() == [(1, 1)]
    rig.arrivals.acknowledge({ZERO: 2, ONE: 2})
    assert rig.acked == [(1, 0), (1, 1)]


async def test_records_that_come_before_their_partition_is_told_of_wait_for_it() -> None:
    rig = Rig()
    await rig.put(7, 8)
    assert rig.take() == []
    rig.arrivals.assigned({ZERO: 7})
    assert rig.take() == [(0, 7), (0, 8)]


async def test_a_full_buffer_holds_the_agent_until_something_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MAX_RECORDS", 2)
    rig = Rig(ZERO)
    await rig.put(0, 1)
    held = asyncio.ensure_future(rig.put(2))
    await asyncio.sleep(0)
    assert not held.done()
    assert rig.take() == [(0, 0), (0, 1)]
    await held
    assert rig.take() == [(0, 2)]


async def test_what_an_agent_held_while_partitions_changed_hands_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MAX_RECORDS", 2)
    rig = Rig(ZERO)
    await rig.put(0, 1)
    held = asyncio.ensure_future(rig.put(2))
    await asyncio.sleep(0)
    rig.arrivals.revoked([ZERO])
    rig.arrivals.assigned({ZERO: 0})
    await held
    await rig.put(0)
    assert rig.take() == [(0, 0)]
