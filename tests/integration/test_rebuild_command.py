"""`runherald rebuild` as a process: on the data folder of a server that was killed, killed itself in the middle, and run again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runherald.clock import system_clock
from runherald.events import Actor, AmlRunEvent, AmlRunLogEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, LogLine, RunHeader, new_event
from runherald.status import Status
from runherald.streams.embedded_log import EmbeddedLog
from runherald.wire import to_outgoing
from tests.server_process import ServerProcess, wait_until

RUNS = 300
RUN = Actor(kind="run", name="script")


@pytest.mark.timeout(240)
def test_on_the_folder_of_a_killed_server_and_killed_itself(tmp_path: Path, free_port: int) -> None:
    server = ServerProcess(tmp_path, free_port, "--catch-mail", "--mail-to", "operator@example.org")
    server.data.mkdir()
    fill(server.data)
    with server:
        held = rebuild(server.data, "--diff")
        assert (held.returncode, held.stdout) == (2, "")
        assert "another server" in held.stderr
        assert "stop it" in held.stderr
        wait_until("some runs in history", lambda: server.query("SELECT count() FROM runs")[0][0] > RUNS // 4 or None, 60)
        server.kill()

    equal = answer(rebuild(server.data, "--diff"), 0)
    assert equal["equal"] is True
    assert {"ingest_batches", "ingest_watermarks"} <= equal["left"].keys()

    # SQL of somebody's own, on the folder at rest.
    tamper(server.data, "ALTER TABLE run_params UPDATE value = 'forged' WHERE run_id = 'run-7'")
    found = answer(rebuild(server.data, "--diff"), 1)
    (forged,) = [each for table in found["tables"] for each in table["examples"]]
    assert (forged["table"], forged["key"]["run_id"], forged["column"]) == ("run_params", "run-7", "value")
    assert (forged["stored"], forged["expected"]) == ("forged", "7")

    # Killed while the fresh tables fill, and again while they are exchanged or dropped.
    kill_when(server.data, f"metrics: {RUNS} records read")
    kill_when(server.data, "exchanged ")
    rebuilt = rebuild(server.data)
    assert answer(rebuilt, 0)["rebuilt"] is True
    assert "runherald.events/0: the log from 0 to " in rebuilt.stderr
    assert answer(rebuild(server.data, "--diff"), 0)["differences"] == 0

    with server:
        wait_until("every run in history", lambda: server.query("SELECT count() FROM runs WHERE status = 'Completed'")[0][0] == RUNS, 60)
        wait_until("every notice to be settled", lambda: settled(server), 60)
        assert server.query("SELECT count(), countDistinct(run_id, step) FROM metrics") == [[2 * RUNS, 2 * RUNS]]
        assert server.stop() == 0
    table = rebuild(server.data, "--diff", "-o", "table")
    assert table.returncode == 0
    assert "history is what the log makes of it" in table.stdout


def fill(data: Path) -> None:
    """Put runs into the log, as if a server had taken them and had been killed before it did anything else."""
    now = system_clock()
    log = EmbeddedLog(data)
    for number in range(RUNS):
        run = f"run-{number}"
        said = [
            AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits"), params={"number": str(number)}),
            AmlRunStatusChangedEvent(status=Status.RUNNING, actor=RUN),
            AmlRunMetricEvent(names=("loss",), series=[0, 0], steps=[0, 1], times=[1_793_000_000_000_000] * 2, values=[0.5, 0.25]),
            AmlRunLogEvent(file="console", stream="stdout", lines=(LogLine(number=0, time=1_793_000_000_000_000, text="line"),)),
            AmlRunStatusChangedEvent(status=Status.COMPLETED, actor=RUN),
        ]
        log.append(
            [
                to_outgoing(new_event(data, workspace="default", run_id=run, producer="p", sequence=n, time=now))
                for n, data in enumerate(said)
            ]
        )
    log.close()


def settled(server: ServerProcess) -> bool:
    notices = server.query("SELECT count(), countIf(state = 'accepted') FROM notices")[0]
    return notices == [RUNS, RUNS]


def rebuild(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(data, *arguments), capture_output=True, text=True, timeout=120, check=False)


def command(data: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "runherald", "rebuild", "--data", str(data), *arguments]


def answer(done: subprocess.CompletedProcess[str], status: int) -> Any:
    assert done.returncode == status, done.stderr + done.stdout
    return json.loads(done.stdout)


def kill_when(data: Path, said: str) -> None:
    """Kill a rebuild as soon as it says something."""
    with subprocess.Popen(command(data), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(said):
                process.kill()
                break
        assert process.wait(60) == -signal.SIGKILL, f"it never said {said!r}"


def tamper(data: Path, statement: str) -> None:
    """Run a statement in a process of its own: this one may have another folder open."""
    script = (
        "import sys\nfrom runherald.sinks.connection import HistoryDatabase\n"
        "history = HistoryDatabase.open(f'chdb://{sys.argv[1]}/history')\n"
        "history.client().command(sys.argv[2], settings={'mutations_sync': 2})\nhistory.close()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(data.resolve()), statement], check=True, timeout=60)
