"""How a run is known to be dead, with real processes, a real kernel and a real server: each way to die has its status and cause.

All of them die at once, each with a home of its own, so that nobody else finds what it left; then each test looks at its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from runherald.api import RunView, TransitionView
from runherald.producers.errors import NotFound
from runherald.producers.server.client import ApiClient
from runherald.producers.shipping.http_transport import HttpTransport
from runherald.producers.shipping.sync import sync
from tests.server_process import ServerProcess, wait_until

LEASE, GRACE, BOUND = 1.5, 1.0, 45.0
BEGIN = """
import os, signal, sys, threading, time
from runherald import Experiment, Run, Workspace
def begin(run_id):
    return Experiment(Workspace(), "digits").start_logging(run_id=run_id)
"""
SCRIPTS = {
    "exit": "run = begin('exit')\nrun.log('loss', 1)\nrun.flush()\nos._exit(3)",
    "group": """
run = begin('group')
if os.fork() == 0:
    while True:
        run.log('child', 1)
        time.sleep(0.1)
run.flush()
while True:
    run.log('loss', 1)
    time.sleep(0.1)
""",
    "suspended": "with begin('suspended') as run:\n    for line in sys.stdin: run.log('loss', 1)",
    "thread": """
def work(): raise ValueError('in a thread')
with begin('thread') as run:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    run.log('loss', 1)
""",
    "in-thread": """
def work():
    with begin('in-thread') as run:
        raise ValueError('in a thread')
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
    "left": "run = begin('left')\nrun.log('loss', 1)",
}


class Kernel:
    """A kernel as notebooks have them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._client: BlockingKernelClient = self.manager.blocking_client()
        self._client.start_channels()

    def wait(self) -> None:
        """Wait until it takes cells."""
        self._client.wait_for_ready(timeout=60)

    def run(self, cell: str) -> dict[str, Any]:
        """Run a cell, and return what the kernel answered."""
        answer: dict[str, Any] = self._client.execute_interactive(cell, timeout=60, output_hook=lambda _: None)
        return dict(answer["content"])

    def close(self) -> None:
        """End it."""
        self._client.stop_channels()
        self.manager.shutdown_kernel(now=True)


class Scenes:
    """What goes on, each in a process and a home of its own."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self.client = ApiClient(server.url)
        self._server = server
        self._folder = folder
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.kernels: dict[str, Kernel] = {}

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a process."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RUNHERALD_", "JUPYTER", "IPYTHON"))}
        ours = {"RUNHERALD_HOME": str(self.home(name)), "RUNHERALD_URL": self._server.url, "RUNHERALD_LEASE_SECONDS": str(LEASE)}
        return {**kept, **ours, "IPYTHONDIR": str(self._folder / "ipython"), "PYTHONWARNINGS": "ignore"}

    def home(self, name: str) -> Path:
        """Return where a scene's journals lie."""
        return self._folder / name

    def start(self, name: str, script: str) -> subprocess.Popen[str]:
        """Start a script, the leader of a group of its own."""
        self.processes[name] = process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + script],
            env=self.environment(name),
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        return process

    def status(self, run_id: str) -> str:
        """Return a run's status; empty before it is known."""
        try:
            return self.client.get_run(run_id).status
        except NotFound:
            return ""

    def reaches(self, run_id: str, status: str) -> RunView:
        """Return a run once it has a status."""
        wait_until(f"{run_id} to be {status}", lambda: self.status(run_id) == status, BOUND)
        return self.client.get_run(run_id)

    def path(self, run_id: str) -> list[tuple[str, str]]:
        """Return a run's accepted statuses, each with its cause."""
        return [(change.status, change.cause) for change in self.changes(run_id)]

    def changes(self, run_id: str) -> list[TransitionView]:
        """Return a run's accepted changes."""
        return [change for change in self.client.transitions(run_id) if change.accepted]

    def close(self) -> None:
        """End all that is left."""
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        for kernel in self.kernels.values():
            kernel.close()
        self.client.close()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    folder = tmp_path_factory.mktemp("liveness")
    (folder / "server").mkdir()
    with ServerProcess(folder / "server", port, "--grace-seconds", str(GRACE)) as server, closing(Scenes(server, folder)) as scenes:
        for name, script in SCRIPTS.items():
            scenes.start(name, script)
        for name in ("killed-kernel", "restarted-kernel"):
            scenes.kernels[name] = Kernel(scenes.environment(name))
        for name, kernel in scenes.kernels.items():
            kernel.wait()
            kernel.run(f"{BEGIN}run = begin({name!r})\nrun.log('loss', 1)\nrun.flush()")
        for name in ("group", "suspended"):
            scenes.reaches(name, "Running")
        os.killpg(scenes.processes["group"].pid, signal.SIGKILL)
        os.kill(scenes.processes["suspended"].pid, signal.SIGSTOP)
        yield scenes


LOST = [("NotStarted", ""), ("Running", ""), ("NotResponding", "lost_contact"), ("Failed", "lost_contact")]


def test_a_suspended_process_does_not_respond_and_is_taken_back_when_it_goes_on(scenes: Scenes) -> None:
    wait_until("the claim", lambda: scenes.status("suspended") in ("NotResponding", "Failed"), BOUND)
    process = scenes.processes["suspended"]
    os.kill(process.pid, signal.SIGCONT)
    back = scenes.reaches("suspended", "Running")
    assert (back.cause, back.claimed) == ("", False)
    assert [change.status for change in scenes.changes("suspended") if change.correction] == ["Running"]
    assert process.stdin is not None
    process.stdin.close()
    scenes.reaches("suspended", "Completed")
    assert process.wait(BOUND) == 0
    claims = [change.status for change in scenes.changes("suspended") if change.claim]
    assert claims[0] == "NotResponding"
    assert scenes.path("suspended")[-1] == ("Completed", "")


def test_a_killed_kernel_falls_silent(scenes: Scenes) -> None:
    kernel = scenes.kernels["killed-kernel"]
    wait_until("the kernel's run", lambda: scenes.status("killed-kernel") == "Running", BOUND)
    kernel.manager.signal_kernel(signal.SIGKILL)
    scenes.reaches("killed-kernel", "Failed")
    assert scenes.path("killed-kernel") == LOST


def test_a_restarted_kernel_leaves_its_run_without_an_end_and_begins_others(scenes: Scenes) -> None:
    kernel = scenes.kernels["restarted-kernel"]
    kernel.manager.restart_kernel(now=False)
    kernel.wait()
    kernel.run(f"{BEGIN}run = begin('after-restart')\nrun.complete()")
    scenes.reaches("after-restart", "Completed")
    scenes.reaches("restarted-kernel", "Failed")
    assert scenes.path("restarted-kernel") == LOST


def test_sys_exit_in_a_cell_fails_the_block_that_it_leaves_and_no_other_run(scenes: Scenes) -> None:
    kernel = scenes.kernels["restarted-kernel"]
    kernel.run(f"{BEGIN}\nopen_run = begin('cell-open')")
    assert kernel.run("with begin('cell-block') as run:\n    sys.exit(3)")["status"] == "error"
    failed = scenes.reaches("cell-block", "Failed")
    assert (failed.cause, failed.message) == ("code_error", "User program ended with exit status 3")
    assert kernel.run("open_run.log('loss', 1)\nopen_run.complete()")["status"] == "ok", "the kernel lives"
    scenes.reaches("cell-open", "Completed")


@pytest.mark.parametrize("name", ["exit", "group", "left"])
def test_a_process_that_ends_without_ending_its_run_falls_silent(scenes: Scenes, name: str) -> None:
    scenes.reaches(name, "Failed")
    assert scenes.path(name) == LOST
    expected = {"exit": 3, "group": -signal.SIGKILL, "left": 0}[name]
    assert scenes.processes[name].wait(BOUND) == expected


def test_an_exception_in_a_thread_is_the_runs_only_where_the_block_is(scenes: Scenes) -> None:
    assert scenes.reaches("thread", "Completed").cause == ""
    failed = scenes.reaches("in-thread", "Failed")
    assert (failed.cause, failed.message) == ("code_error", "User program failed with ValueError: in a thread")


def test_whoever_finds_the_journal_of_a_dead_process_says_so_before_its_lease_is_over(scenes: Scenes) -> None:
    process = scenes.start("found", "run = Experiment(Workspace(), 'digits').start_logging(run_id='found', lease_seconds=600)\n"
                           "run.log('loss', 1)\nrun.flush()\nos._exit(3)")  # fmt: skip
    assert process.wait(BOUND) == 3
    begin = time.monotonic()
    next_run = "with begin('next-run') as run:\n    while run.experiment.workspace.get_run('found').status == 'Running': time.sleep(0.1)"
    scenes.processes["next-run"] = subprocess.Popen(
        [sys.executable, "-c", BEGIN + next_run], env=scenes.environment("found"), text=True, start_new_session=True
    )
    failed = scenes.reaches("found", "Failed")
    assert time.monotonic() - begin < 60
    assert (failed.cause, failed.claimed) == ("lost_contact", True)
    assert failed.message.startswith(f"Process {process.pid} on {socket.gethostname()} ended without saying how the run ended.")
    assert [status for status, _ in scenes.path("found")] == ["NotStarted", "Running", "Failed"]
    assert scenes.processes["next-run"].wait(BOUND) == 0
    transport = HttpTransport(scenes.client.url)
    with closing(transport):
        assert sync(scenes.home("found"), transport).journals == [], "nothing is left, and nothing is said twice"
