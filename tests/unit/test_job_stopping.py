"""When a program is told to end, and when it is ended."""

from __future__ import annotations

import signal

from runherald.producers.jobs.stopping import Stopping
from runherald.status import Cause


def test_a_cancelled_program_has_its_grace_and_is_killed_once() -> None:
    stopping = Stopping(100.0, max_seconds=0, grace_seconds=30)
    assert stopping.due(1e9) is None
    assert stopping.cancel("Why.", 200.0) == signal.SIGTERM
    assert stopping.cancel("Again.", 201.0) is None
    assert stopping.due(229.9) is None
    assert stopping.due(230.0) == signal.SIGKILL
    assert stopping.due(231.0) is None
    assert stopping.asked is not None
    assert stopping.asked.cause is Cause.USER
    assert stopping.asked.message == "Why. It did not end within 30 s of that, and was killed."


def test_the_time_limit_cancels_and_has_its_own_cause() -> None:
    stopping = Stopping(100.0, max_seconds=60, grace_seconds=5)
    assert stopping.due(159.9) is None
    assert stopping.due(160.0) == signal.SIGTERM
    assert stopping.cancel("Too late to be the reason.", 161.0) is None
    assert stopping.due(165.0) == signal.SIGKILL
    assert stopping.asked is not None
    assert stopping.asked.cause is Cause.TIME_LIMIT
    assert stopping.asked.message.startswith("Ran longer than its limit of 60 s.")


def test_a_first_ctrl_c_is_passed_on_and_a_second_one_kills() -> None:
    stopping = Stopping(0.0, max_seconds=0, grace_seconds=30)
    assert stopping.interrupt(1.0) == signal.SIGINT
    assert stopping.interrupt(2.0) == signal.SIGKILL
    assert stopping.interrupt(3.0) is None
    assert stopping.asked is not None
    assert stopping.asked.message == "Interrupted by the user (Ctrl-C). It was killed by a second Ctrl-C."


def test_what_is_left_of_the_grace_is_known() -> None:
    stopping = Stopping(0.0, max_seconds=0, grace_seconds=30)
    assert stopping.grace_left(1.0) == 0
    stopping.cancel("Why.", 10.0)
    assert stopping.grace_left(15.0) == 25
    assert stopping.grace_left(45.0) == 0
    stopping.due(40.0)
    assert stopping.grace_left(15.0) == 0


def test_nobody_asked_at_first() -> None:
    assert Stopping(0.0, max_seconds=0, grace_seconds=30).asked is None
