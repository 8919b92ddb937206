"""The queue between Faust's consumer and its agent: full by events, or by bytes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from mode.utils.queues import FlowControlEvent

from runherald.streams.faust_queue import FaustQueue


def event(size: int) -> SimpleNamespace:
    return SimpleNamespace(message=SimpleNamespace(value=b"x" * size))


def queue(*, events: int = 100, size: int = 1_000) -> FaustQueue:
    flow = FlowControlEvent(initially_suspended=False)
    return FaustQueue(events, flow_control=flow, clear_on_resume=True, max_bytes=size)


class Fetching:
    """What Faust does at high pressure, and when there is room again."""

    def __init__(self) -> None:
        self.active = True

    def stop(self) -> None:
        self.active = False

    def go_on(self) -> None:
        self.active = True


async def test_it_is_full_at_its_bytes_and_whoever_puts_waits_until_something_is_taken() -> None:
    full = queue()
    await full.put(event(600))
    assert not full.full()
    await full.put(event(600))
    assert full.full()
    waiting = asyncio.ensure_future(full.put(event(10)))
    await asyncio.sleep(0)
    assert not waiting.done()
    await full.get()
    await waiting
    assert full.size == 610


async def test_it_is_full_at_its_events_as_well() -> None:
    full = queue(events=2)
    await full.put(event(0))
    await full.put(event(0))
    assert full.full()


async def test_a_partition_is_not_fetched_from_near_the_bound_until_there_is_room() -> None:
    pressed, fetching = queue(), Fetching()
    for _ in range(9):
        pressed.put_nowait_enhanced(event(100), on_pressure_high=fetching.stop, on_pressure_drop=fetching.go_on)
    assert not fetching.active
    while pressed.size > 400:
        assert not fetching.active
        await pressed.get()
    await pressed.get()
    assert fetching.active


async def test_what_a_rebalance_clears_leaves_room() -> None:
    cleared = queue()
    await cleared.put(event(2_000))
    cleared.clear()
    assert not cleared.full()
    assert cleared.size == 0
