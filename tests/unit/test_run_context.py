"""The run that a script is: as it was submitted, or offline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald import Run, Workspace
from runherald.errors import InvalidInput, Unreachable
from runherald.events import AmlRunEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, Data
from runherald.producers.errors import NoSubmittedRun
from runherald.producers.journal.folder import journal_folders
from runherald.producers.journal.reader import JournalReader
from runherald.producers.shipping.batching import to_events


@pytest.fixture
def home(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    names = ("LOG", "WORKSPACE", "TOKEN", "CONFIG", "LEASE_SECONDS", "RUN_ID", "EXPERIMENT", "OFFLINE_RUN_ID")
    for name in names:
        monkeypatch.delenv(f"RUNHERALD_{name}", raising=False)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "home"
    Workspace().session.close()
    os.environ.pop("RUNHERALD_OFFLINE_RUN_ID", None)


def said(home: Path) -> dict[str, list[Data]]:
    """Return what stands in the journals, heartbeats included, by run."""
    found: dict[str, list[Data]] = {}
    for folder in journal_folders(home):
        head = folder.head()
        found.setdefault(head.run_id, []).extend(event.data for event in to_events(JournalReader(folder).read(100_000), head).events)
    return found


def statuses(data: list[Data]) -> list[str]:
    return [str(each.status) for each in data if isinstance(each, AmlRunStatusChangedEvent)]


def test_outside_a_submitted_script_a_run_prints_and_journals(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.get_context()
    assert run.id.startswith("OfflineRun_")
    run.log("loss", 0.5)
    run.log("acc", 0.25, step=3)
    run.log_row("row", a=1, b="two\nlines")
    run.log_list("list", list(range(1_000)))
    run.log_residuals("residuals", '{"schema_type": "residuals"}')
    child = run.child_run("fold 1")
    child.log("loss", 1.5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [f"{run.id}: loss: 0.5", f"{run.id}: acc: 0.25 (step 3)", f"{run.id}: row: {{'a': 1, 'b': 'two\\nlines'}}"]
    assert len(lines) == 6
    assert max(map(len, lines)) < 300
    assert (child.id, child.parent) == (f"{run.id}.fold_1", run)
    assert run.child_run().id == f"{run.id}.0"
    created = said(home)[run.id][0]
    assert isinstance(created, AmlRunEvent)
    assert created.header is not None
    assert created.header.experiment_name == "offline"


def test_asked_again_it_is_the_same_run_until_it_has_ended(home: Path) -> None:
    run = Run.get_context()
    assert Run.get_context() is run
    assert Run.get_submitted_run() is run
    run.complete()
    assert Run.get_context() is not run


def test_where_offline_is_not_allowed_the_variable_is_named(home: Path) -> None:
    with pytest.raises(NoSubmittedRun, match="RUNHERALD_RUN_ID is not set"):
        Run.get_context(allow_offline=False)
    assert list(journal_folders(home)) == []


def test_a_submitted_script_has_its_run_and_does_not_end_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_RUN_ID", "submitted")
    monkeypatch.setenv("RUNHERALD_EXPERIMENT", "digits")
    with Run.get_context(allow_offline=False) as run:
        assert (run.id, run.experiment.name) == ("submitted", "digits")
        run.log("loss", 1.0)
    run.complete()
    Run.get_context().log("loss", 0.5)
    assert statuses(said(home)["submitted"]) == []
    with pytest.raises(ZeroDivisionError), Run.get_context() as run:
        raise ZeroDivisionError
    assert statuses(said(home)["submitted"]) == ["Failed"]


def test_a_submitted_script_without_its_experiment_asks_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_RUN_ID", "submitted")
    with pytest.raises(Unreachable, match="RUNHERALD_URL"):
        Run.get_context()


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", "Completed"),
        ("raise ValueError('boom')", "Failed"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(10)", "Canceled"),
        ("run.fail('no luck')", "Failed"),
        ("raise SystemExit(0)", "Completed"),
    ],
)
def test_an_offline_run_ends_with_its_process(home: Path, tmp_path: Path, end: str, status: str) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"import os, signal, time\nfrom runherald import Run\nrun = Run.get_context()\nrun.log('loss', 1.0)\n{end}\n")
    done = subprocess.run([sys.executable, str(script)], env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1, -signal.SIGINT)
    [data] = said(home).values()
    assert statuses(data) == ["Running", status]


@pytest.mark.parametrize(
    ("end", "last"),
    [
        ("raise ValueError('boom')", ["Running", "Failed"]),
        ("raise KeyboardInterrupt", ["Running", "Canceled"]),
        ("run.complete()\nraise ValueError('boom')", ["Running", "Completed"]),
        ("pid = os.fork()\nif pid == 0:\n    raise ValueError('boom')\nos.waitpid(pid, 0)", ["Running"]),
        ("try:\n    raise ValueError('boom')\nexcept ValueError:\n    pass", ["Running"]),
    ],
)
def test_a_run_left_open_fails_of_the_exception_that_ends_its_script(home: Path, tmp_path: Path, end: str, last: list[str]) -> None:
    script = tmp_path / "train.py"
    begun = "run = Experiment(Workspace(), 'digits').start_logging(run_id='left')\nchild = run.child_run(run_id='kid')"
    script.write_text(f"import os\nfrom runherald import Experiment, Workspace\n{begun}\n{end}\n")
    subprocess.run([sys.executable, str(script)], env=dict(os.environ), capture_output=True, timeout=60, check=False)
    assert statuses(said(home)["left"]) == last
    if last[1:] == ["Failed"]:
        [failed] = [data for data in said(home)["kid"] if isinstance(data, AmlRunStatusChangedEvent) and data.status == "Failed"]
        assert (failed.message, failed.cause) == ("User program failed with ValueError: boom", "code_error")
        assert failed.error is not None
        assert failed.error.error.debug_info is not None
        assert "train.py" in failed.error.error.debug_info.stack_trace


@pytest.mark.parametrize(
    ("end", "code", "status", "told"),
    [
        ("sys.exit(3)", 3, "Failed", 3),
        ("sys.exit(0)", 0, "Completed", None),
        ("argparse.ArgumentParser().parse_args(['--wrong'])", 2, "Failed", 2),
        ("def main():\n    with open(__file__):\n        sys.exit(4)\nmain()", 4, "Failed", 4),
        ("threading.Thread(target=sys.exit, args=(3,)).start()\ntry:\n    sys.exit(3)\nexcept SystemExit:\n    pass", 0, "Completed", None),
        ("try:\n    sys.exit(3)\nexcept SystemExit as error:\n    kept = error", 0, "Completed", None),
        ("try:\n    sys.exit(3)\nfinally:\n    raise ValueError('boom')", 1, "Failed", None),
    ],
)
def test_an_offline_run_ends_as_its_script_exits(home: Path, tmp_path: Path, end: str, code: int, status: str, told: int | None) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"import argparse, sys, threading\nfrom runherald import Run\nrun = Run.get_context()\n{end}\n")
    done = subprocess.run([sys.executable, str(script)], env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    [data] = said(home).values()
    [ended] = [each for each in data if isinstance(each, AmlRunStatusChangedEvent) and each.status != "Running"]
    assert ended.status == status
    assert (ended.evidence.exit_code if ended.evidence else None) == told


def test_workers_that_load_the_script_again_belong_to_its_run(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import multiprocessing\n"
        "from runherald import Run\n"
        "run = Run.get_context()\n"
        "def work(number):\n"
        "    run.log('loss', number)\n"
        "    run.flush(1)\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "        pool.map(work, range(4))\n"
        "        pool.close()\n"
        "        pool.join()\n"
    )
    subprocess.run([sys.executable, str(script)], env=dict(os.environ), check=True, capture_output=True, timeout=90)
    [data] = said(home).values()
    assert statuses(data) == ["Running", "Completed"]
    assert sorted(value for each in data if isinstance(each, AmlRunMetricEvent) for value in each.values) == [0, 1, 2, 3]


def test_a_submitted_script_that_failed_its_run_logs_no_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_RUN_ID", "failed-itself")
    monkeypatch.setenv("RUNHERALD_EXPERIMENT", "digits")
    Run.get_context().fail("no luck")
    with pytest.raises(InvalidInput, match="has ended as Failed"):
        Run.get_context().log("loss", 1.0)
