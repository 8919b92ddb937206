"""The queue before a compute target, with locks of the operating system and a clock that is set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald.producers.jobs.job import JOB_VARIABLE
from runherald.producers.jobs.slots import UNCLAIMED_SECONDS, SlotQueue, load_of, stand_in_queue
from runherald.producers.jobs.waits import RUNNER_LOCK, Waits, without_slot
from runherald.producers.journal.owner_lock import OwnerLock
from tests.server_process import wait_until


class Target:
    """A target with its queue, and runs on their way to it."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.folder = folder / "target"
        self.jobs = folder / "jobs"
        self.slots = slots
        self.now_ns = 1_000_000_000_000

    def submit(self, run_id: str) -> SlotQueue:
        self.now_ns += 1
        (self.jobs / run_id).mkdir(parents=True)
        place = stand_in_queue(self.folder, run_id, now_ns=self.now_ns)
        return SlotQueue(self.folder, self.slots, run_id, place, Waits(self.jobs / run_id), clock_ns=lambda: self.now_ns)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path, 1)


def test_as_many_run_as_there_are_slots_and_the_rest_in_their_order(tmp_path: Path) -> None:
    target = Target(tmp_path, 2)
    first, second, third, fourth = (target.submit(name) for name in "abcd")
    assert not second.try_take()  # whoever is before it has not claimed its place yet, and is being started
    assert first.try_take()
    assert second.try_take()
    assert not third.try_take()
    assert not fourth.try_take()
    assert load_of(target.folder) == (2, 2)
    second.leave()
    assert not fourth.try_take()
    assert third.try_take()


def test_a_place_that_is_left_while_others_look_at_it_does_not_come_back(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = target.submit("a"), target.submit("b")
    real = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        monkeypatch.undo()
        found = list(real(folder))
        assert first.try_take()  # between the look at the folder and that at its files
        first.leave()
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert second.try_take()
    assert list((target.folder / "queue").iterdir()) == []


def test_a_place_whose_runner_never_came_is_taken_away(target: Target) -> None:
    lost, next_one = target.submit("a"), target.submit("b")
    del lost
    assert not next_one.try_take()
    target.now_ns += int(UNCLAIMED_SECONDS * 1e9) + 1
    assert next_one.try_take()
    assert list((target.folder / "queue").iterdir()) == []


def test_who_gives_up_in_the_queue_is_not_waited_for(target: Target) -> None:
    running, leaving, waiting = (target.submit(name) for name in "abc")
    assert running.try_take()
    assert not leaving.try_take()
    leaving.leave()
    running.leave()
    assert waiting.try_take()


def test_a_parent_that_waits_leaves_its_slot_to_its_child_and_goes_on_before_others(target: Target) -> None:
    parent = target.submit("parent")
    assert parent.try_take()
    child, stranger = target.submit("child"), target.submit("stranger")
    went_on = threading.Event()
    job = target.jobs / "parent"
    runner = OwnerLock(job / RUNNER_LOCK)
    child_ended = threading.Event()

    def script() -> None:
        with without_slot({JOB_VARIABLE: str(job)}):
            assert child_ended.wait(20)
        went_on.set()

    waiting = threading.Thread(target=script)
    waiting.start()

    def is_given_up() -> bool:
        parent.tend()
        return load_of(target.folder)[0] == 0

    wait_until("the parent's slot", is_given_up, 20)
    assert child.try_take()
    assert not stranger.try_take()
    child_ended.set()
    wait_until("the end of the wait", lambda: not any((job / "waits").iterdir()), 20)
    parent.tend()
    assert not went_on.wait(0.3)  # the child has the slot still
    child.leave()
    assert not stranger.try_take()  # the parent is before it
    parent.tend()
    assert went_on.wait(20)
    assert not stranger.try_take()
    waiting.join()
    runner.release()


def test_a_wait_that_is_over_at_once_keeps_the_slot(target: Target) -> None:
    parent = target.submit("parent")
    assert parent.try_take()
    with without_slot({JOB_VARIABLE: str(target.jobs / "parent")}):
        pass
    parent.tend()
    assert load_of(target.folder)[0] == 1


def test_a_script_goes_on_when_its_runner_is_dead(target: Target) -> None:
    job = target.jobs / "parent"
    job.mkdir(parents=True)

    def wait_for_ever(seconds: float) -> None:
        raise AssertionError(f"waits another {seconds} s for a slot that nobody gives")

    with without_slot({JOB_VARIABLE: str(job)}, sleep=wait_for_ever):
        Waits(job).say_given_up()
    assert list((job / "waits").iterdir()) == []


def test_a_wait_of_a_dead_process_is_over(target: Target) -> None:
    job = target.jobs / "parent"
    (job / "waits").mkdir(parents=True)
    (job / "waits" / "1-dead").touch()
    assert not Waits(job).has_waiting()
    assert list((job / "waits").iterdir()) == []


def test_outside_a_job_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with without_slot({}):
        assert list(tmp_path.iterdir()) == []
    with without_slot({JOB_VARIABLE: str(tmp_path / "gone")}):
        assert list(tmp_path.iterdir()) == []
