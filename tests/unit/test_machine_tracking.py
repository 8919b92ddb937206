"""A run's machine is sampled until the run ends, and whatever goes wrong with that stays out of the script."""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from runherald import Experiment, Workspace
from runherald.errors import InvalidInput
from runherald.producers.journal.folder import journal_folders
from runherald.producers.machine import reader
from runherald.producers.machine.reader import MachineReader
from runherald.producers.machine.readings import Reading, points
from runherald.producers.machine.sampler import MachineSampler
from tests.fixtures.journalled import points as points_of


@pytest.fixture
def experiment(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    workspace = Workspace(url=f"http://127.0.0.1:{free_port}")
    yield Experiment(workspace, "machine")
    workspace.session.close()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_machine_that_this_is_can_be_read() -> None:
    reader = MachineReader()
    before = reader.read()
    begin = time.process_time()
    while time.process_time() < begin + 0.1:  # the system counts in hundredths of a second
        sum(range(10_000))
    now = points(before, reader.read())
    assert {"system/cpu_percent", "system/process_cpu_percent", "system/memory_percent", "system/process_memory_mb"} <= set(now)
    assert 0 < now["system/memory_percent"] <= 100
    assert 0 <= now["system/cpu_percent"] <= 100
    assert now["system/process_cpu_percent"] > 0
    assert now["system/process_memory_mb"] >= 10


def test_processes_below_this_one_count(tmp_path: Path) -> None:
    reader = MachineReader()
    with psutil.Popen(["sleep", "60"]) as child:
        assert {pid for pid, _ in reader.read().process_cpu} >= {os.getpid(), child.pid}
        child.kill()


def test_while_nothing_works_the_time_that_was_worked_stays_the_same() -> None:
    before = psutil.cpu_times()._replace(user=77_345.61, system=12_023.07, nice=3.2, idle=98_765.43)
    assert len({reader._busy(before._replace(idle=before.idle + ticks / 100)) for ticks in range(1_000)}) == 1


def test_a_run_is_sampled_from_its_beginning_to_its_end(tmp_path: Path, experiment: Experiment) -> None:
    run = experiment.start_logging(system_metrics=3_600)
    home = tmp_path / "home"
    until(lambda: points_of(home, run.id))
    run.complete()
    found = points_of(home, run.id)
    assert [step for step, _ in found["system/memory_percent"]] == [0, 1]
    assert len(found["system/cpu_percent"]) == 1
    assert [thread.name for thread in threading.enumerate() if thread.name == "runherald-machine"] == []


def test_asked_again_a_run_is_sampled_at_the_new_interval_alone(experiment: Experiment) -> None:
    run = experiment.start_logging()
    run.track_system()
    run.track_system(every_seconds=60)
    assert len([thread for thread in threading.enumerate() if thread.name == "runherald-machine"]) == 1
    run.complete()
    with pytest.raises(InvalidInput, match="has ended"):
        run.track_system()


@pytest.mark.parametrize("seconds", [0, -1, 0.01, 4_000, float("nan"), "10", None, True])
def test_an_interval_that_cannot_be_is_named(experiment: Experiment, seconds: object) -> None:
    run = experiment.start_logging()
    with pytest.raises(InvalidInput, match="every_seconds"):
        run.track_system(seconds)  # type: ignore[arg-type]  # what the test is about
    run.complete()


@pytest.mark.parametrize("seconds", [0, "10", None])
def test_a_run_whose_machine_cannot_be_sampled_so_is_not_begun(tmp_path: Path, experiment: Experiment, seconds: object) -> None:
    with pytest.raises(InvalidInput, match=f"every_seconds: is {0 if seconds == 0 else 'a '}"):
        experiment.start_logging(system_metrics=seconds)  # type: ignore[arg-type]  # what the test is about
    assert list(journal_folders(tmp_path / "home")) == []


def test_without_psutil_it_is_said_what_to_install(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("runherald.producers.machine.tracking.find_spec", lambda name: None if name == "psutil" else found(name))
    with pytest.raises(InvalidInput, match=r"install runherald\[system\]"):
        experiment.start_logging(system_metrics=True)
    run = experiment.start_logging()
    with pytest.raises(InvalidInput, match=r"install runherald\[system\]"):
        run.track_system()
    run.complete()


def test_a_machine_that_cannot_be_read_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def read() -> Reading:
        raise OSError("no /proc")

    sampler = MachineSampler(lambda: read, lambda _: None, every_seconds=0.1)
    with caplog.at_level(logging.INFO, "runherald.machine"):
        sampler.start()
        until(lambda: caplog.records)
        sampler.stop()
    assert [record.getMessage() for record in caplog.records] == ["machine_not_sampled"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_ends_without_its_parents_thread(tmp_path: Path) -> None:
    sampler = MachineSampler(lambda: lambda: Reading(at=time.monotonic()), lambda _: None, every_seconds=3_600)
    sampler.start()
    child = os.fork()
    if child == 0:
        sampler.stop()
        os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    sampler.stop()
