"""Trying again: for ever when it can help, not once when it cannot."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from runherald.errors import Unreachable
from runherald.sinks.retry import CAP_SECONDS, Retry


class Slept:
    """A sleep that takes no time, and what it was asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = iter(range(times))

    def call() -> str:
        if next(left, None) is not None:
            raise error
        return "done"

    return call


@pytest.mark.parametrize("error", [OperationalError("refused"), Unreachable("away"), ConnectionResetError()])
async def test_what_passes_is_tried_until_it_is_done(error: Exception) -> None:
    slept = Slept()

    assert await Retry(sleep=slept, chance=lambda: 0.0).until_done("t", failing(40, error)) == "done"

    assert slept.seconds[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert max(slept.seconds) == CAP_SECONDS
    assert len(slept.seconds) == 40


async def test_what_does_not_pass_is_raised_at_once() -> None:
    slept = Slept()

    with pytest.raises(KeyError):
        await Retry(sleep=slept).until_done("t", failing(1, KeyError("a fault of ours")))

    assert slept.seconds == []


@pytest.mark.parametrize("attempt", [0, 3, 8, 10_000])
def test_chance_takes_off_at_most_half(attempt: int) -> None:
    full = Retry(chance=lambda: 0.0).delay(attempt)
    chance = random.Random(attempt).random

    assert all(full / 2 <= Retry(chance=chance).delay(attempt) <= full for _ in range(100))


async def test_cancelling_ends_it() -> None:
    waiting = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Retry(sleep=sleep).until_done("t", failing(1, Unreachable("away"))))
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
