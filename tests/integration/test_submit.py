"""Scripts that are submitted, against the whole server: a queue, a parent on one slot, ends, cancelling, the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runherald import Experiment, Run, ScriptRun, ScriptRunConfig, Workspace
from runherald.errors import InvalidInput, RunFailed
from runherald.producers.jobs.job import job_folder
from runherald.producers.jobs.processes import pids, session_of_live
from tests.server_process import wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="runners are tried on POSIX alone")

TRAIN = """
import os, sys
from runherald import Run

run = Run.get_context(allow_offline=False)
print("arguments", *sys.argv[1:])
run.log("loss", 0.5)
os.makedirs("outputs")
open("outputs/model.txt", "w").write("weights")
if "boom" in sys.argv:
    raise ValueError("boom")
"""
PARENT = """
import os
from runherald import Run, ScriptRunConfig

run = Run.get_context()
children = [run.submit_child(ScriptRunConfig(os.getcwd(), "train.py", [number])) for number in range(2)]
for child in children:
    print(child.wait_for_completion(wait_post_processing=True)["status"])
"""
SAVES = """
import time
from pathlib import Path
from runherald import Run

run = Run.get_context()
print("up")
while not run.cancel_requested:
    time.sleep(0.05)
Path("outputs").mkdir()
Path("outputs/saved.txt").write_text("saved")
"""


@pytest.fixture
def experiment(workspace: Workspace) -> Experiment:
    return Experiment(workspace, "submitted")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    for name, text in (("train.py", TRAIN), ("parent.py", PARENT), ("saves.py", SAVES)):
        folder.joinpath(name).write_text(text)
    return folder


def test_a_script_runs_on_a_copy_of_its_code_and_what_it_leaves_is_kept(
    experiment: Experiment, code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = experiment.submit(ScriptRunConfig(code, "train.py", ["--lr", 0.1]), tags={"series": "a"})
    code.joinpath("train.py").write_text("raise SystemExit(9)")  # what runs is the copy
    waited = run.wait_for_completion(show_output=True, wait_post_processing=True)
    assert waited["status"] == "Completed"
    assert waited["logFiles"].keys() == {"user_logs/std_log.txt", "azureml-logs/70_driver_log.txt"}
    assert "arguments --lr 0.1" in capsys.readouterr().out
    assert run.get_metrics() == {"loss": 0.5}
    assert set(run.get_file_names()) >= {"outputs/model.txt", "user_logs/std_log.txt", f"snapshot/{run.get_snapshot_id()}.zip"}
    found = Run.get(experiment.workspace, run.id)
    assert isinstance(found, ScriptRun)
    details = found.get_details()
    assert (details["target"], found.get_tags(), found.type) == ("local", {"series": "a"}, "azureml.scriptrun")
    steps = [step.status for step in experiment.workspace.session.client.transitions(run.id)]
    assert steps[-5:] == ["Queued", "Preparing", "Running", "Finalizing", "Completed"]


def test_a_script_that_raises_fails_with_its_exception(experiment: Experiment, code: Path) -> None:
    run = experiment.submit(ScriptRunConfig(code, "train.py", ["boom"]))
    with pytest.raises(RunFailed, match="User program failed with ValueError: boom"):
        run.wait_for_completion(wait_post_processing=True)
    assert "outputs/model.txt" in run.get_file_names()


def test_a_parent_that_waits_for_its_children_leaves_them_the_only_slot(experiment: Experiment, code: Path) -> None:
    parent = experiment.submit(ScriptRunConfig(code, "parent.py"))
    assert parent.wait_for_completion(wait_post_processing=True)["status"] == "Completed"
    children = list(parent.get_children())
    assert [child.status for child in children] == ["Completed"] * 2
    assert {child.parent.id for child in children if child.parent} == {parent.id}


def test_a_cancelled_run_is_canceled_at_once_and_its_script_may_save(experiment: Experiment, code: Path) -> None:
    run = experiment.submit(ScriptRunConfig(code, "saves.py"))
    waiting = experiment.submit(ScriptRunConfig(code, command="echo never"))
    wait_until("the script to run", lambda: "up" in "".join(run.get_details_with_logs()["logFiles"].values()), 30)
    for one in (waiting, run):  # in the other order the one that waits would have the slot
        one.cancel()
        assert one.get_status() == "Canceled"
    wait_until("what the script saved", lambda: "outputs/saved.txt" in run.get_file_names(), 30)
    assert [one.get_status() for one in (run, waiting)] == ["Canceled"] * 2
    folders = [_folder_of(one) for one in (run, waiting)]
    wait_until("the runners to go", lambda: not any(folder.exists() for folder in folders), 30)


def test_nothing_is_left_of_a_cancelled_run_whose_script_has_to_be_told_by_a_signal(experiment: Experiment, code: Path) -> None:
    run = experiment.submit(ScriptRunConfig(code, command="echo up; exec sleep 600"))
    wait_until("the script to run", lambda: "up" in "".join(run.get_details_with_logs()["logFiles"].values()), 30)
    run.cancel()
    wait_until("the runner to go", lambda: not _folder_of(run).exists(), 30)
    assert run.get_status() == "Canceled"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are known by /proc alone")
def test_cancelling_ends_the_script_of_a_runner_that_was_killed(experiment: Experiment, code: Path, tmp_path: Path) -> None:
    # Stubborn and in a session of its own: known by its environment alone.
    command = f"trap '' TERM; echo $$ > {tmp_path}/shell; setsid sh -c 'echo $$ > {tmp_path}/stray; exec sleep 600' & echo up; sleep 600"
    run = experiment.submit(ScriptRunConfig(code, command=command))
    wait_until("the script to run", lambda: "up" in "".join(run.get_details_with_logs()["logFiles"].values()), 30)
    processes = [int(tmp_path.joinpath(name).read_text()) for name in ("shell", "stray")]
    [runner] = [pid for pid in pids() if _words_of(pid)[-2:] == ["runherald.producers.jobs.runner", str(_folder_of(run))]]
    os.kill(runner, signal.SIGKILL)
    wait_until("the runner's end", lambda: session_of_live(runner) == 0, 30)
    assert all(session_of_live(pid) for pid in processes)
    run.cancel()
    assert run.get_status() == "Canceled"
    wait_until("the script's end", lambda: not any(session_of_live(pid) for pid in processes), 30)
    assert run.clean()


def _folder_of(run: Run) -> Path:
    return job_folder(run.experiment.workspace.session.destination.home, run.id)


def _words_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def test_what_cannot_be_run_makes_no_run(experiment: Experiment, code: Path) -> None:
    with pytest.raises(InvalidInput, match=r"script: .* has no file 'none\.py'"):
        ScriptRunConfig(code, "none.py")
    with pytest.raises(InvalidInput, match="'gpu' is none of local; make it with `runherald compute create`"):
        experiment.submit(ScriptRunConfig(code, "train.py", compute_target="gpu"))
    with pytest.raises(InvalidInput, match="config is a str; pass a ScriptRunConfig"):
        experiment.submit("train.py")
    assert not (experiment.workspace.session.destination.home / "jobs").exists()


def test_the_command_line_submits_and_follows(experiment: Experiment, code: Path) -> None:
    line = [sys.executable, "-m", "runherald", "run", "submit-script", "-e", "submitted", "--path", str(code), "train.py", "boom"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "arguments boom" in done.stdout
    assert "failed: User program failed with ValueError: boom" in done.stderr
