"""How a run is known to be dead, with real processes, a real kernel and a real server: each way to die has its status and cause.

All of them die at once, each with a home of its own, so that nobody else finds what it left; then each test looks at its own.
"""

from __future__ import annotations

import json
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
from runherald.producers.journal.bundle import import_journals
from runherald.producers.server.client import ApiClient
from runherald.producers.shipping.http_transport import HttpTransport
from runherald.producers.shipping.sync import sync
from tests.server_process import ServerProcess, free_port, wait_until

LEASE, GRACE, BOUND = 3.0, 1.0, 60.0
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

    def end(self, name: str, script: str, **environment: str) -> int:
        """Run a script to its end in a home of that name, and return its status."""
        command = [sys.executable, "-c", BEGIN + script]
        long = {"RUNHERALD_LEASE_SECONDS": "600"}
        return subprocess.run(command, env={**self.environment(name), **long, **environment}, check=False, timeout=BOUND).returncode

    def runherald(self, name: str, *arguments: str) -> list[dict[str, Any]]:
        """Run a command in a home of that name, and return what it printed."""
        command = [sys.executable, "-m", "runherald", *arguments, "-o", "json"]
        done = subprocess.run(command, env=self.environment(name), capture_output=True, text=True, timeout=BOUND, check=False)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def logged(self, run_id: str) -> dict[str, list[tuple[int, Any]]]:
        """Return what a run logged, as steps and values by name."""
        return {one.name: list(zip(one.steps, one.values, strict=True)) for one in self.client.metrics(run_id)}

    def losses(self, run_id: str, count: int) -> list[tuple[int, Any]]:
        """Return a run's losses once there are so many: a processor of their own stores them, after or before the run's status."""
        wait_until(f"{count} losses of {run_id}", lambda: len(self.logged(run_id).get("loss", [])) >= count, BOUND)
        return self.logged(run_id)["loss"]

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
    port = free_port()
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


def is_lost(path: list[tuple[str, str]]) -> bool:
    """Say whether that is the way of a run that fell silent; on a busy machine it may have been silent for a while before."""
    return path[:2] == LOST[:2] and path[-2:] == LOST[-2:] and set(path) == set(LOST)


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
    assert is_lost(scenes.path("killed-kernel")), scenes.path("killed-kernel")


def test_a_restarted_kernel_leaves_its_run_without_an_end_and_begins_others(scenes: Scenes) -> None:
    kernel = scenes.kernels["restarted-kernel"]
    kernel.manager.restart_kernel(now=False)
    kernel.wait()
    kernel.run(f"{BEGIN}run = begin('after-restart')\nrun.complete()")
    scenes.reaches("after-restart", "Completed")
    scenes.reaches("restarted-kernel", "Failed")
    assert is_lost(scenes.path("restarted-kernel")), scenes.path("restarted-kernel")


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
    assert is_lost(scenes.path(name)), scenes.path(name)
    expected = {"exit": 3, "group": -signal.SIGKILL, "left": 0}[name]
    assert scenes.processes[name].wait(BOUND) == expected


def test_an_exception_in_a_thread_is_the_runs_only_where_the_block_is(scenes: Scenes) -> None:
    assert scenes.reaches("thread", "Completed").cause == ""
    failed = scenes.reaches("in-thread", "Failed")
    assert (failed.cause, failed.message) == ("code_error", "User program failed with ValueError: in a thread")


RESUME = "run = Experiment(Workspace(), 'digits').start_logging(run_id='resumed', resume={resume!r})\n"


def test_a_run_goes_on_in_another_process_on_another_machine(scenes: Scenes) -> None:
    log = "for _ in range(2):\n    run.log('loss', 1)\n    run.log_row('rows', a=1)\nrun.log('given', 1, step=10)\n"
    killed = "run.add_properties({'seed': 1})\nrun.flush()\nos._exit(3)"
    assert scenes.end("machine-1", RESUME.format(resume=True) + log + killed) == 3, "there is none yet: it begins"
    # What another machine goes on from is what history knows by then.
    wait_until("what the first one logged", lambda: _count(scenes, "resumed") == 5, BOUND)
    assert scenes.end("machine-2", RESUME.format(resume="must") + log + "run.complete()") == 0
    first = scenes.reaches("resumed", "Completed")
    wait_until("what the second one logged", lambda: _count(scenes, "resumed") == 10, BOUND)
    assert (first.attempt, first.properties["seed"]) == (1, "1")
    assert "Running" not in [change.status for change in scenes.changes("resumed") if change.attempt > 1]
    again = log + "try: run.add_properties({'seed': 2})\nexcept Exception as error: print(error)\nelse: os._exit(4)\nrun.fail('twice')"
    assert scenes.end("machine-3", RESUME.format(resume=True) + again) == 0
    second = scenes.reaches("resumed", "Failed")
    assert (second.attempt, second.message) == (2, "twice")
    assert [(change.status, change.attempt) for change in scenes.changes("resumed")][-2:] == [("Running", 2), ("Failed", 2)]
    wait_until("all points", lambda: _count(scenes, "resumed") >= 15, BOUND)
    logged = scenes.logged("resumed")
    assert logged["loss"] == [(step, 1.0) for step in range(6)]
    assert [step for step, _ in logged["rows"]] == list(range(6))
    assert [step for step, _ in logged["given"]] == [10, 10, 10]
    refused = """
cases = (("digits", "nowhere", "must", "no such run"), ("other", "resumed", True, "of experiment"))
for experiment, run_id, resume, reason in cases:
    try: Experiment(Workspace(), experiment).start_logging(run_id=run_id, resume=resume)
    except Exception as error: assert reason in str(error), error
    else: sys.exit(4)
"""
    assert scenes.end("machine-3", refused) == 0


def _count(scenes: Scenes, run_id: str) -> int:
    """Return how many points of a run there are; none before it is known."""
    try:
        return sum(map(len, scenes.logged(run_id).values()))
    except NotFound:
        return 0


def test_without_a_server_a_run_goes_on_as_the_journals_of_the_machine_say(scenes: Scenes) -> None:
    begin = RESUME.format(resume=True).replace("resumed", "offline-resumed")
    for end in ("os._exit(3)", "run.complete()", "run.complete()"):
        scenes.end("offline", f"{begin}run.log('loss', 1)\n{end}", RUNHERALD_URL="offline")
    assert {one["state"] for one in scenes.runherald("offline", "sync")} == {"sent"}
    scenes.reaches("offline-resumed", "Completed")
    wait_until("the second attempt", lambda: scenes.client.get_run("offline-resumed").attempt == 2, BOUND)
    scenes.reaches("offline-resumed", "Completed")
    assert [step for step, _ in scenes.losses("offline-resumed", 3)] == [0, 1, 2]


def test_two_processes_log_to_one_run_and_the_points_of_both_are_kept(scenes: Scenes) -> None:
    script = """
run = begin('shared')
pid = os.fork()
mine = Run(run.experiment, 'shared')
for number in (1.0, 2.0):
    mine.log('loss', number if pid else -number)
mine.flush()
if not pid: os._exit(0)
os.waitpid(pid, 0)
run.complete()
"""
    assert scenes.end("shared", script) == 0
    scenes.reaches("shared", "Completed")
    assert sorted(scenes.losses("shared", 4)) == [(0, -1.0), (0, 1.0), (1, -2.0), (1, 2.0)]


def test_journals_carried_to_another_machine_and_sent_from_both_are_in_history_once(scenes: Scenes, tmp_path: Path) -> None:
    log = "for i in range(40):\n    run.log('loss', i)\n    run.log('words', 'same')\n    run.log_row('rows', a=i)\nrun.tag('a')\n"
    file = str(tmp_path / "carried.zip")
    assert scenes.end("from", "run = begin('carried')\n" + log + "run.complete()", RUNHERALD_URL="offline") == 0
    assert [one["state"] for one in scenes.runherald("from", "journals", "export", file, "carried")] == ["exported"]

    assert [one["state"] for one in scenes.runherald("to", "journals", "import", file)] == ["imported"]
    assert [one["state"] for one in scenes.runherald("to", "sync")] == ["sent"]
    scenes.reaches("carried", "Completed")
    changes = scenes.client.transitions("carried")
    assert import_journals(scenes.home("to"), Path(file))[0].state == "imported", "it had gone when it was sent"
    with closing(HttpTransport(scenes.client.url)) as transport:
        assert [sync(scenes.home(home), transport).complete for home in ("to", "from")] == [True, True]
    assert scenes.end("to", "Run(Experiment(Workspace(), 'digits'), 'carried').log('marker', 1)") == 0
    wait_until("what was sent last", lambda: "marker" in scenes.logged("carried"), BOUND)
    counts = {name: len(points) for name, points in scenes.logged("carried").items()}
    assert counts == {"loss": 40, "words": 40, "rows": 40, "marker": 1}
    assert scenes.client.transitions("carried") == changes


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
    with closing(HttpTransport(scenes.client.url)) as transport:
        assert sync(scenes.home("found"), transport).journals == [], "nothing is left, and nothing is said twice"
