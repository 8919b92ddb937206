"""What git says of a folder, asked of real repositories."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runherald import Experiment, Run, ScriptRunConfig, Workspace
from runherald.producers.provenance.capture import Recording
from runherald.producers.provenance.git import DIFF_KEY, GitState, git_properties, public_address, read_git
from tests.fixtures.journalled import properties
from tests.server_process import wait_until

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Return a function that runs git in a folder, without the user's own settings."""
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def run(folder: Path, *arguments: str) -> str:
        settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"]
        command = ["git", "-C", str(folder), *settings, *arguments]
        return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()

    return run


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    """A repository of one commit, with a remote."""
    folder = tmp_path / "repository"
    (folder / "code").mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / "code" / "train.py").write_text("print(1)\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    git(folder, "remote", "add", "origin", "https://me:hunter2@example.org/team/code.git?token=x")
    return folder


def asked(folder: Path) -> GitState:
    state = read_git(folder, timeout_seconds=30)
    assert state is not None
    return state


def test_a_clean_work_tree_and_a_dirty_one(repository: Path, git: Git) -> None:
    clean = asked(repository / "code")
    commit = git(repository, "rev-parse", "HEAD")
    assert clean == GitState(commit=commit, branch="main", remote="https://example.org/team/code.git", dirty=False)
    assert git_properties(clean) == {
        "azureml.git.repository_uri": "https://example.org/team/code.git",
        "mlflow.source.git.repoURL": "https://example.org/team/code.git",
        "azureml.git.branch": "main",
        "mlflow.source.git.branch": "main",
        "azureml.git.commit": commit,
        "mlflow.source.git.commit": commit,
        "azureml.git.dirty": "False",
    }
    (repository / "new.txt").write_text("git does not know it")
    assert asked(repository).dirty is False
    (repository / "code" / "train.py").write_text("print(2)\n")
    first = asked(repository)
    assert first.dirty
    assert git_properties(first)[DIFF_KEY] == first.diff_sha256
    (repository / "code" / "train.py").write_text("print(3)\n")
    git(repository, "add", ".")
    second = asked(repository / "code")
    assert (second.dirty, len(second.diff_sha256), second.diff_sha256 == first.diff_sha256) == (True, 64, False)


def test_a_detached_head_has_no_branch(repository: Path, git: Git) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    state = asked(repository)
    assert (state.branch, len(state.commit), state.dirty) == ("", 40, False)


def test_a_repository_without_a_commit_or_a_remote(tmp_path: Path, git: Git) -> None:
    git(tmp_path, "init", "--quiet")
    assert asked(tmp_path) == GitState(branch="main")


def test_a_submodule_is_a_work_tree_of_its_own(tmp_path: Path, repository: Path, git: Git) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "submodule", "--quiet", "add", str(repository), "part")
    git(outer, "commit", "--quiet", "--message", "with a part")
    inside, around = asked(outer / "part" / "code"), asked(outer)
    assert inside.commit == git(repository, "rev-parse", "HEAD") != around.commit
    assert inside.remote == str(repository)
    (outer / "part" / "code" / "train.py").write_text("print(2)\n")
    assert (asked(outer / "part").dirty, asked(outer).dirty) == (True, True)


def test_where_there_is_no_work_tree_there_is_nothing_to_say(
    tmp_path: Path, repository: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    assert read_git(bare, timeout_seconds=30) is None
    assert read_git(tmp_path / "not there", timeout_seconds=30) is None
    assert read_git(Path("/"), timeout_seconds=30) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_git(repository, timeout_seconds=30) is None


@pytest.fixture
def slow_diff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git whose `diff` takes as long as in a work tree of millions of changed lines."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    real = shutil.which("git")
    slow.write_text(f'#!/bin/sh\ncase "$*" in *diff*) exec sleep 60;; esac\nexec {real} "$@"\n')
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_git_that_hangs_is_not_waited_for(repository: Path, git: Git, slow_diff: None) -> None:
    branch = git(repository, "symbolic-ref", "--short", "HEAD")
    began = time.monotonic()
    state = read_git(repository, timeout_seconds=3)
    assert time.monotonic() - began < 20
    assert state is not None
    assert (len(state.commit), state.dirty, state.branch) == (40, None, branch)


def test_a_repository_runs_nothing_that_it_names(tmp_path: Path, repository: Path, git: Git) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.bad.textconv"):
        git(repository, "config", name, str(trap))
    (repository / ".gitattributes").write_text("*.py diff=bad\n")
    (repository / "code" / "train.py").write_text("print(2)\n")
    assert asked(repository).dirty
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://user:pass@example.org/x.git", "https://example.org/x.git"),
        ("https://token@example.org:8443/x.git#f", "https://example.org:8443/x.git"),
        ("ssh://git:pass@example.org/x.git", "ssh://git@example.org/x.git"),
        ("git@example.org:team/x.git", "git@example.org:team/x.git"),
        ("https://a:b@c@example.org/x", "https://example.org/x"),
        ("https://[bad/x", ""),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("", ""),
    ],
)
def test_no_credentials_are_shown(remote: str, shown: str) -> None:
    assert public_address(remote) == shown


@pytest.fixture
def experiment(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    workspace = Workspace(url=f"http://127.0.0.1:{free_port}")
    yield Experiment(workspace, "provenance")
    workspace.session.close()


def test_a_run_that_begins_records_where_it_comes_from(
    tmp_path: Path, experiment: Experiment, repository: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [str(repository / "code" / "train.py")])
    monkeypatch.setattr("sys.orig_argv", ["python", "train.py", "--token", "hunter2"])
    run = experiment.start_logging(provenance=True)
    wait_until("what was changed", lambda: "azureml.git.dirty" in properties(tmp_path / "home", run.id), 30)
    run.complete()
    found = properties(tmp_path / "home", run.id)
    assert found["azureml.git.commit"] == git(repository, "rev-parse", "HEAD")
    assert found["runherald.command"] == "python train.py --token '***'"
    assert found["azureml.git.dirty"] == "False"
    silent = experiment.start_logging(provenance=False)
    child = silent.child_run()
    child.complete()
    silent.complete()
    assert properties(tmp_path / "home", silent.id) == properties(tmp_path / "home", child.id) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="the working folder can be removed there")
def test_a_run_begins_in_a_folder_that_is_gone(tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setattr("sys.argv", ["-c"])
    gone.rmdir()
    run = experiment.start_logging(provenance=True)
    run.complete()
    assert properties(tmp_path / "home", run.id)["runherald.command"]


def test_a_run_begins_at_once_and_ends_soon_whatever_git_takes(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = tmp_path / "bin" / "git"
    hangs.parent.mkdir()
    hangs.write_text("#!/bin/sh\nexec sleep 60\n")
    hangs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{hangs.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("runherald.producers.provenance.capture.END_SECONDS", 0.2)
    monkeypatch.setattr("runherald.producers.provenance.capture.GIT_SECONDS", 5.0)
    run = experiment.start_logging(provenance=True)
    began = time.monotonic()
    run.complete()
    assert time.monotonic() - began < 4
    assert "azureml.git.commit" not in properties(tmp_path / "home", run.id)


def test_where_a_run_comes_from_is_recorded_even_if_what_changed_takes_too_long(
    tmp_path: Path, experiment: Experiment, repository: Path, git: Git, slow_diff: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [str(repository / "code" / "train.py")])
    monkeypatch.setattr("runherald.producers.provenance.capture.GIT_SECONDS", 5.0)
    commit = git(repository, "rev-parse", "HEAD")
    run = experiment.start_logging(provenance=True)
    wait_until("the commit", lambda: "azureml.git.commit" in properties(tmp_path / "home", run.id), 30)
    run.complete()
    found = properties(tmp_path / "home", run.id)
    assert (found["azureml.git.commit"], "azureml.git.dirty" in found) == (commit, False)


def test_a_source_that_fails_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> dict[str, str]:
        raise OSError("no")

    added: list[object] = []
    recording = Recording((fails, lambda: {"a": "b"}), added.append)
    recording.start()
    recording.finish()
    assert added == [{"a": "b"}]
    assert [record.getMessage() for record in caplog.records] == ["provenance_not_recorded"]


def test_a_submission_records_the_folder_that_it_copies_and_the_programs_command(
    tmp_path: Path, experiment: Experiment, repository: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNHERALD_PROVENANCE", "true")
    monkeypatch.setattr("runherald.producers.jobs.submission._start_runner", lambda *_: None)
    monkeypatch.setattr("runherald.producers.jobs.submission.SEND_SECONDS", 0.0)
    workspace = Workspace(url=experiment.workspace.session.client.url)
    config = ScriptRunConfig(str(repository / "code"), "train.py", ["--api-key", "hunter2"])
    run = Experiment(workspace, "submitted").submit(config)
    found = properties(tmp_path / "home", run.id)
    assert found["azureml.git.commit"] == git(repository, "rev-parse", "HEAD")
    assert found["runherald.command"].endswith("train.py --api-key '***'")
    assert "runherald.python" not in found


def test_an_offline_run_records_it_too(tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_URL", experiment.workspace.session.client.url)
    monkeypatch.setenv("RUNHERALD_PROVENANCE", "true")
    for name in ("RUNHERALD_RUN_ID", "RUNHERALD_OFFLINE_RUN_ID", "RUNHERALD_EXPERIMENT"):
        monkeypatch.delenv(name, raising=False)
    run = Run.get_context()
    run.complete()
    assert "runherald.command" in properties(tmp_path / "home", run.id)
