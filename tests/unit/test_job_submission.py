"""A run that is submitted and that nobody will run is Failed, and does not stay in the queue."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from runherald import Experiment, ScriptRunConfig, Workspace
from runherald.errors import RunFailed
from runherald.events import AmlRunHeartbeatEvent
from runherald.producers.jobs.compute import target_folder
from runherald.producers.journal.folder import journal_folders
from runherald.status import Cause, Status
from tests.fixtures.journalled import events, statuses


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def experiment(home: Path) -> Iterator[Experiment]:
    workspace = Workspace(url="offline")
    yield Experiment(workspace, "submitted")
    workspace.session.close()


def no_queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = target_folder(home, "local")
    folder.mkdir(parents=True)
    folder.joinpath("queue").write_text("in the way")


def no_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(exist_ok=True)
    home.joinpath("files").write_text("in the way")


def no_python(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(home / "nowhere"))


@pytest.mark.parametrize("hinder", [no_queue, no_files, no_python])
def test_a_run_that_cannot_be_handed_over_is_failed_and_out_of_the_queue(
    home: Path,
    experiment: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hinder: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    hinder(home, monkeypatch)
    with pytest.raises(RunFailed, match=r"run (\S+): The run could not be handed to a runner: ") as refused:
        experiment.submit(ScriptRunConfig(code, command=["true"]))
    said = statuses(home, str(refused.value).split(":")[0].removeprefix("run "))
    assert [one.status for one in said] == [Status.QUEUED, Status.FAILED]
    assert said[-1].message.startswith("The run could not be handed to a runner: ")
    assert list(target_folder(home, "local").glob("queue/*")) == []


def test_a_submission_that_is_interrupted_leaves_no_run_in_the_queue(
    home: Path, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    code.mkdir()

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("runherald.producers.jobs.submission._start_runner", interrupted)
    with pytest.raises(KeyboardInterrupt):
        experiment.submit(ScriptRunConfig(code, command=["true"]))
    [run_id] = {folder.head().run_id for folder in journal_folders(home)}
    assert [(one.status, one.cause) for one in statuses(home, run_id)] == [(Status.QUEUED, None), (Status.CANCELED, Cause.USER)]
    assert list(target_folder(home, "local").glob("queue/*")) == []
    assert list((home / "jobs").iterdir()) == []


def test_a_submitted_run_is_watched_before_its_runner_is_heard(
    home: Path, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    monkeypatch.setattr("runherald.producers.jobs.submission._start_runner", lambda *_: None)  # as if killed before it began
    run = experiment.submit(ScriptRunConfig(code, command=["true"]))
    beats = [event.data for event in events(home, run.id) if isinstance(event.data, AmlRunHeartbeatEvent)]
    assert [beat.lease_seconds for beat in beats] == [experiment.workspace.lease_seconds]
