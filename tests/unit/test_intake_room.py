"""Room for the bodies of requests that write: bounded, without anybody waiting for ever."""

from __future__ import annotations

import asyncio

import pytest

from runherald.studio.errors import Busy
from runherald.studio.intake_room import IntakeRoom


class Rig:
    """A room of 100 bytes for 3 requests, and how often it turned somebody away."""

    def __init__(self, *, wait_seconds: float = 30.0) -> None:
        self.turned_away = 0
        self.room = IntakeRoom(self._count, max_bytes=100, max_requests=3, wait_seconds=wait_seconds)

    def _count(self) -> None:
        self.turned_away += 1

    def size(self) -> int:
        return self.room.fill().size


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_body_waits_until_another_is_appended() -> None:
    rig = Rig()
    appended = asyncio.Event()

    async def write() -> None:
        async with rig.room.share() as share:
            await rig.room.add(share, 80)
            await rig.room.read(share)
            await appended.wait()

    writing = asyncio.ensure_future(write())
    await turns()
    async with rig.room.share() as share:
        waiting = asyncio.ensure_future(rig.room.add(share, 30))
        await turns()
        assert not waiting.done()
        assert rig.size() == 80
        appended.set()
        await waiting
        assert rig.size() == 30
    await writing


async def test_where_nobody_has_a_whole_body_the_first_goes_on_and_the_bound_is_passed_by_one_body_at_most() -> None:
    rig = Rig()
    async with rig.room.share() as first, rig.room.share() as second:
        await rig.room.add(first, 50)
        await rig.room.add(second, 50)
        waiting = asyncio.ensure_future(rig.room.add(second, 10))
        await rig.room.add(first, 10)
        await turns()
        assert not waiting.done()
        assert rig.size() == 110
        await rig.room.read(first)
        await turns()
        assert not waiting.done(), "the first gives room back when it is appended"
        waiting.cancel()


async def test_whoever_finds_no_room_in_time_is_told_to_come_again_and_counted() -> None:
    rig = Rig(wait_seconds=0.01)
    async with rig.room.share() as first:
        await rig.room.add(first, 100)
        await rig.room.read(first)
        async with rig.room.share() as second:
            with pytest.raises(Busy, match="100 bytes wait to be appended to the log already; send it again"):
                await rig.room.add(second, 1)
    assert rig.turned_away == 1
    assert rig.room.fill().items == rig.size() == 0


async def test_more_requests_than_are_let_in_are_told_so_at_once() -> None:
    rig = Rig()
    async with rig.room.share(), rig.room.share(), rig.room.share():
        with pytest.raises(Busy, match="3 requests that write are under way already"):
            async with rig.room.share():
                pass
    assert rig.turned_away == 1
    async with rig.room.share():
        assert rig.room.fill().items == 1


async def test_a_caller_that_leaves_in_the_middle_gives_its_room_back() -> None:
    rig = Rig()

    async def gone() -> None:
        async with rig.room.share() as share:
            await rig.room.add(share, 100)
            await asyncio.sleep(3_600)

    caller = asyncio.ensure_future(gone())
    await turns()
    assert rig.size() == 100
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert rig.size() == 0
