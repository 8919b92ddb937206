"""`runherald exec` against the whole server: what is read back of a program, and how it is cancelled from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runherald import Experiment, Run, Workspace
from tests.server_process import wait_until

CONSOLE, OLDER = "user_logs/std_log.txt", "azureml-logs/70_driver_log.txt"


def command(*words: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "runherald", *words]


def test_console_and_files_are_read_back_under_both_names(workspace: Workspace, tmp_path: Path) -> None:
    script = "import os\nos.mkdir('outputs')\nopen('outputs/model.bin', 'w').write('model')\nprint('epoch 1')\nraise ValueError('boom')"
    ended = subprocess.run(
        command("exec", "-e", "digits", "--run-id", "read-back", "--", sys.executable, "-c", script),
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == 1
    run = Run(Experiment(workspace, "digits"), "read-back")
    wait_until("the files in history", lambda: len(run.get_file_names()) == 3 or None, 30)
    assert run.get_file_names() == [OLDER, "outputs/model.bin", CONSOLE]
    for name in (OLDER, CONSOLE):
        run.download_file(name, tmp_path / "copy.txt")
        assert (tmp_path / "copy.txt").read_bytes() == ended.stdout
    wait_until("the lines in history", lambda: run.get_details()["logFiles"] or None, 30)
    details = run.get_details_with_logs()
    assert details["status"] == "Failed"
    assert details["error"]["error"]["message"] == "User program failed with ValueError: boom"
    assert details["logFiles"] == {OLDER: ended.stdout.decode(), CONSOLE: ended.stdout.decode()}
    assert [one.id for one in Experiment(workspace, "digits").get_runs()] == ["read-back"]
    done = subprocess.run(command("exec", "-e", "digits", "--run-id", "read-back", "--", "touch", "ran"), cwd=tmp_path, capture_output=True)
    assert done.returncode == 2
    assert b"--run-id: read-back: has ended (Failed)" in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a program cannot be asked to end")
def test_a_program_is_cancelled_from_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    script = "trap 'echo saving; exit 0' TERM; while :; do echo on; sleep 0.1; done"
    process = subprocess.Popen(
        command("exec", "-e", "digits", "--run-id", "cancelled", "--", "sh", "-c", script), cwd=tmp_path, stdout=subprocess.PIPE
    )
    try:
        wait_until("the program to run", lambda: [one.run_id for one in workspace.session.reader().runs(status="Running")] or None, 30)
        run = workspace.get_run("cancelled")
        run.cancel()
        out, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)
    assert (process.returncode, out.splitlines()[-1]) == (0, b"saving")
    wait_until("its end in history", lambda: run.get_status() == "Canceled" or None, 30)
    assert run.get_details()["cause"] == "user"
