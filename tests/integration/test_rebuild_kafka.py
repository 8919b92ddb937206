"""A rebuild beside Faust workers on Kafka and ClickHouse over HTTP: compared while they write, exchanged when they have stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from runherald.clock import system_clock
from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.local_kafka import KafkaUnavailable, LocalKafka
from runherald.events import Actor, AmlRunEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, RunHeader, new_event
from runherald.sinks.connection import HistoryDatabase
from runherald.status import Status
from runherald.streams.log import Log, open_log
from runherald.topics import STATUS
from runherald.wire import to_outgoing
from tests.fixtures.parts import missing
from tests.server_process import spawn, wait_until

RUN = Actor(kind="run", name="script")
PROCESSORS = "history,metrics,logs"


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A Kafka of its own: a rebuild reads its topics from the beginning, and history has to have read all of it."""
    broker = LocalKafka(tmp_path / "kafka")
    try:
        broker.start()
    except KafkaUnavailable as error:
        missing(f"no Kafka: {error}")
    yield broker
    broker.stop()


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_beside_workers(own_kafka: LocalKafka, clickhouse: LocalClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"rebuild_{uuid4().hex[:8]}"
    monkeypatch.setenv("RUNHERALD_DATABASE", name)
    connections = ("--log", own_kafka.url, "--history", clickhouse.url)
    runherald("topics", "create", "--log", own_kafka.url)
    runherald("migrate", "--history", clickhouse.url)
    with closing(open_log(own_kafka.url)) as log, closing(HistoryDatabase.open(clickhouse.url, database=name)) as history:
        say(log, 0, 100)
        with worker(connections, tmp_path) as process:
            wait_until("the runs", lambda: completed(history) == 100, 90)
            with ThreadPoolExecutor(1) as telling:
                told = telling.submit(say, log, 100, 200)
                beside = runherald("rebuild", "--diff", *connections)
                told.result()
            assert answer(beside, 0)["equal"] is True

            forge = "ALTER TABLE run_params UPDATE value = 'forged' WHERE run_id = 'run-7'"
            history.client().command(forge, settings={"mutations_sync": 2})
            refused = runherald("rebuild", *connections)
            assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
            assert "runherald.history" in refused.stderr
            assert "nothing was changed" in refused.stderr

            rebuilt = rebuild_and_stop(connections, log, process)
        assert answer(rebuilt, 0)["differences"] == 1
        (value,) = history.client().query("SELECT value FROM params WHERE run_id = 'run-7'").result_rows[0]
        assert value == "7"

        say(log, 210, 220)
        with worker(connections, tmp_path):
            wait_until("all runs", lambda: completed(history) == 220, 90)
            assert answer(runherald("rebuild", "--diff", *connections), 0)["equal"] is True
        points = history.client().query("SELECT count(), countDistinct(run_id, step) FROM metrics").result_rows
        assert list(points) == [(440, 440)]
        assert len(transitions(log)) == 3 * 220, "each run's transitions were published, over the exchange as well"


def rebuild_and_stop(connections: tuple[str, ...], log: Log, worker: subprocess.Popen[bytes]) -> subprocess.CompletedProcess[str]:
    """Rebuild, let more come while it reads, and stop the workers when it asks for that."""
    command = [sys.executable, "-m", "runherald", "rebuild", "--wait", "90", *connections]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("history: ") and "records read" in line:
                say(log, 200, 210)
            if "stop the workers of" in line:
                worker.send_signal(signal.SIGTERM)
        out = process.stdout.read() if process.stdout else ""
    assert any("stop the workers of" in line for line in said), said
    return subprocess.CompletedProcess(command, process.returncode, out, "".join(said))


def say(log: Log, first: int, until: int) -> None:
    for number in range(first, until):
        said = [
            AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits"), params={"number": str(number)}),
            AmlRunStatusChangedEvent(status=Status.RUNNING, actor=RUN),
            AmlRunMetricEvent(names=("loss",), series=[0, 0], steps=[0, 1], times=[1_793_000_000_000_000] * 2, values=[0.5, 0.25]),
            AmlRunStatusChangedEvent(status=Status.COMPLETED, actor=RUN),
        ]
        now = system_clock()
        events = [
            new_event(data, workspace="default", run_id=f"run-{number}", producer="p", sequence=n, time=now) for n, data in enumerate(said)
        ]
        log.append([to_outgoing(event) for event in events])


def completed(history: HistoryDatabase) -> int:
    return int(history.client().query("SELECT countIf(status = 'Completed') FROM runs").result_rows[0][0])


def transitions(log: Log) -> set[bytes]:
    ends = sum(log.end_offsets([STATUS]).values())
    consumer = log.consumer(f"test-{uuid4().hex}", (STATUS,), on_assigned=lambda _: None, on_revoked=lambda _: None)
    read: list[bytes] = []

    def all_read() -> bool:
        read.extend(ids(consumer.poll(5_000, 1.0)))
        return len(read) >= ends

    try:
        wait_until("the transitions", all_read, 60)
    finally:
        consumer.close()
    return set(read)


def ids(records: Any) -> list[bytes]:
    return [dict(record.headers)["ce_id"] for record in records]


@contextmanager
def worker(connections: tuple[str, ...], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "runherald", "worker", "--processors", PROCESSORS, *connections]
    process = spawn(command, {}, folder / "worker.log")
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def runherald(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "runherald", *arguments], capture_output=True, text=True, timeout=120, check=False)


def answer(done: subprocess.CompletedProcess[str], status: int) -> Any:
    assert done.returncode == status, done.stderr + done.stdout
    return json.loads(done.stdout)
