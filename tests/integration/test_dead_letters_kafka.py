"""Dead letters where the parts are processes of their own: Kafka, ClickHouse over HTTP, Faust workers, and the server between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.local_kafka import LocalKafka
from runherald.events import AmlRunEvent, RunHeader, new_event
from runherald.records import Outgoing
from runherald.streams.log import open_log
from runherald.topics import EVENTS
from runherald.wire import to_outgoing
from tests.server_process import ServerProcess, spawn, wait_until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOTE = "a note of more than ten characters"


@pytest.fixture
def connections(kafka: LocalKafka, clickhouse: LocalClickHouse, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The options that name Kafka and a database of its own, both made ready."""
    monkeypatch.setenv("RUNHERALD_DATABASE", "dead_letters")
    runherald("topics", "create", "--log", kafka.url)
    runherald("migrate", "--history", clickhouse.url)
    return ("--log", kafka.url, "--history", clickhouse.url)


@pytest.fixture
def server(connections: tuple[str, ...], clickhouse: LocalClickHouse, tmp_path: Path, free_port: int) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, free_port, *connections, "--query-history", clickhouse.url) as running:
        yield running


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_a_letter_of_a_worker_is_replayed_through_kafka(
    server: ServerProcess, connections: tuple[str, ...], kafka: LocalKafka, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    release.mkdir()
    wrong = "import runherald.limits\nrunherald.limits.SERVER_LIMITS = runherald.limits.Limits(tag_value=10)\n"
    (release / "sitecustomize.py").write_text(wrong)
    with closing(open_log(kafka.url)) as log:
        header = RunHeader(experiment_name="e", tags={"note": NOTE})
        identity: dict[str, Any] = {"workspace": "default", "run_id": "lost", "producer": "p", "sequence": 0, "time": NOW}
        created = new_event(AmlRunEvent(operation="Created", header=header), **identity)
        log.append([to_outgoing(created), Outgoing(EVENTS, b"\xff", b"no event")])

    with worker(connections, tmp_path, PYTHONPATH=str(release)):
        wait_until("the letters", lambda: {each["error"] for each in letters(server)} == {"data.header.tags[]", "ce_type"}, 90)
    with worker(connections, tmp_path) as process:
        assert verdicts(replay(server)) == {"data.header.tags[]": "good", "ce_type": "fails"}
        done = replay(server, "--yes", "--force")
        assert [item["sent"] for item in done["items"]] == [True, True]
        # Other tests write to the same Kafka, so its runs are not the only ones.
        tags = wait_until("the run", lambda: [run["tags"] for run in server.get("/api/v1/runs")["runs"] if run["run_id"] == "lost"], 60)
        assert tags == [{"note": NOTE}]
        again = wait_until("the letter that failed again", lambda: letters(server), 60)
        assert [each["error"] for each in again] == ["ce_type"]
        states = {each["letter_id"]: each["state"] for each in letters(server, "--state", "all")}
        assert sorted(states.values()) == ["failed_again", "open", "replayed"]
        repeated = replay(server, "--yes")
        assert [item["sent"] for item in repeated["items"]] == [False]

        with closing(open_log(kafka.url)) as log:
            log.append([Outgoing(EVENTS, b"junk", b"junk") for _ in range(700)])
        assert process.wait(60) != 0, "too many dead letters end the worker"
    [stop] = wait_until("the stop", lambda: server.get("/api/v1/status")["stops"], 30)
    assert (stop["processor"], stop["topic"], stop["allowed"]) == ("history", EVENTS, False)
    assert "go-on history" in stop["remedy"]
    with worker(connections, tmp_path) as process:
        assert process.wait(60) != 0, "a restart alone changes nothing"
    runherald("--url", server.url, "dead-letters", "go-on", "history", "--allow", "700")
    with worker(connections, tmp_path):
        wait_until("history to pass", lambda: goes_on(server), 60)


@contextmanager
def worker(connections: tuple[str, ...], folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the processor `history`, which ends well unless it has ended by itself."""
    arguments = [sys.executable, "-m", "runherald", "worker", *connections, "--processors", "history"]
    process = spawn(arguments, environment, folder / "worker.log")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (folder / "worker.log").read_text()[-3000:]


def runherald(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "runherald", *arguments], capture_output=True, text=True, timeout=90, check=False, env=dict(os.environ)
    )
    assert done.stdout or done.returncode == 0, done.stderr
    return done.stdout


def letters(server: ServerProcess, *arguments: str) -> list[Any]:
    return list(json.loads(runherald("--url", server.url, "dead-letters", "list", *arguments)))


def replay(server: ServerProcess, *arguments: str) -> Any:
    return json.loads(runherald("--url", server.url, "dead-letters", "replay", *arguments))


def verdicts(answer: Any) -> dict[str, str]:
    return {item["letter"]["error"]: item["verdict"] for item in answer["items"]}


def goes_on(server: ServerProcess) -> bool:
    """Say whether no processor is stopped; while workers come and go the log may have no answer."""
    try:
        return not server.get("/api/v1/status")["stops"]
    except HTTPError as error:
        if error.code != 503:
            raise
        return False
