"""A database that takes nothing stops the intake of its processor, not the machine's memory: on both runners, in real processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from runherald.deploy.local_kafka import LocalKafka
from runherald.records import Outgoing
from runherald.streams.kafka_log import KafkaLog
from runherald.streams.log import bootstrap_servers
from runherald.streams.topic_admin import create_topics
from runherald.topics import Topic
from tests.drills.overloaded import figures
from tests.drills.resident import resident

VALUE_BYTES = 400_000
RECORDS = 600
"""240 MB: many times what may be held."""
HELD_MIB = 160.0
"""What the process may hold above what it holds without records: each queue full, and what Python and the client make of it."""
PARTITIONS = 4

WORKER = '''
"""A worker whose database takes nothing as long as the file `held` is there."""
import asyncio, json, signal, sys, threading
from datetime import timedelta
from pathlib import Path
from runherald.records import Outgoing
from runherald.streams.cycle import FlushPolicy
from runherald.streams.embedded_log import EmbeddedLog
from runherald.streams.embedded_runner import EmbeddedRunner
from runherald.streams.faust_runner import run_worker
from runherald.topics import Topic

runner, url, topic, name, folder, count, size, metrics = sys.argv[1:]
folder, count, size = Path(folder), int(count), int(size)
policy = FlushPolicy(age=8.0, quiet=8.0)


class Storing:
    def __init__(self):
        self.name, self.topics = name, (topic,)
        self.buffer = []

    async def assigned(self, end_offsets):
        with (folder / "assigned").open("a") as assigned:
            assigned.write(f"{len(end_offsets)}\\n")
        if (folder / "slow").exists():
            await asyncio.sleep(15)

    async def revoked(self, partitions):
        gone = {each.partition for each in partitions}
        self.buffer = [each for each in self.buffer if each.partition not in gone]

    async def process(self, records):
        self.buffer += records
        return ()

    async def flush(self):
        while self.buffer and (folder / "held").exists():
            await asyncio.sleep(0.05)
        with (folder / "stored").open("a") as stored:
            stored.write("".join(f"{each.partition} {each.offset}\\n" for each in self.buffer))
        self.buffer = []
        return ()


if runner == "faust":
    sys.exit(run_worker(url, {name: Storing}, policy=policy, session_seconds=6.0, metrics=metrics))

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
log = EmbeddedLog(folder / "log", topics=[Topic(name=topic, partitions=1, retention=timedelta(days=1))])
lanes = EmbeddedRunner(log, {name: Storing}, policy=policy)
lanes.start()
while (folder / "quiet").exists():
    threading.Event().wait(0.05)
for number in range(count):
    log.append([Outgoing(topic, b"run", bytes(size))])
(folder / "appended").touch()
while not signal.sigtimedwait({signal.SIGTERM}, 0.1):
    fills = [[each, fill.queue, fill.items, fill.items_limit, fill.size, fill.size_limit] for each, fill in lanes.fills()]
    (folder / "fills.tmp").write_text(json.dumps(fills))
    (folder / "fills.tmp").replace(folder / "fills")
lanes.stop(10)
log.close()
'''


class Rig:
    """A worker with a database that takes nothing yet, and the log that it reads."""

    def __init__(self, runner: str, url: str, folder: Path, port: int) -> None:
        self.folder = folder
        self.topic = f"runherald.test-{uuid4().hex}"
        self._runner = runner
        self._url = url
        self._port = port
        self._workers: list[subprocess.Popen[bytes]] = []
        (folder / "held").touch()
        (folder / "quiet").touch()
        if runner == "faust":
            create_topics(url, topics=[Topic(name=self.topic, partitions=PARTITIONS, retention=timedelta(days=1))])

    def start(self, *, metrics: bool = True) -> subprocess.Popen[bytes]:
        address = f"127.0.0.1:{self._port}" if metrics else ""
        options = (self._runner, self._url, self.topic, "storing", str(self.folder), str(RECORDS), str(VALUE_BYTES), address)
        worker = subprocess.Popen([sys.executable, "-c", WORKER, *options])
        self._workers.append(worker)
        return worker

    def send(self) -> None:
        """Append all records: of the embedded log the worker's own process does it, since nobody else can."""
        (self.folder / "quiet").unlink()
        if self._runner == "embedded":
            until("all to be appended", (self.folder / "appended").exists)
            return
        log = KafkaLog(bootstrap_servers(self._url))
        for begin in range(0, RECORDS, 20):
            log.append([Outgoing(self.topic, f"run-{number}".encode(), bytes(VALUE_BYTES)) for number in range(begin, begin + 20)])
        log.close()

    def fills(self) -> dict[str, tuple[float, float, float, float]]:
        """Return items, their bound, bytes and theirs, by queue."""
        if self._runner == "embedded":
            file = self.folder / "fills"
            return {queue: tuple(numbers) for _, queue, *numbers in json.loads(file.read_text())} if file.exists() else {}
        found = figures(f"http://127.0.0.1:{self._port}")
        kinds = ("items", "items_limit", "bytes", "bytes_limit")
        return {queue: tuple(found["storing", queue, kind] for kind in kinds) for queue in {queue for _, queue, _ in found}}  # type: ignore[misc]

    def full(self, queue: str) -> bool:
        """Whether a queue is at its bound, but for less than a record."""
        try:
            _, _, size, size_limit = self.fills()[queue]
        except (KeyError, OSError):
            return False  # nothing is written or served yet
        return size > size_limit - VALUE_BYTES

    def release(self) -> None:
        (self.folder / "held").unlink()

    def stored(self) -> list[str]:
        file = self.folder / "stored"
        return file.read_text().splitlines() if file.exists() else []

    def close(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(20)


def until(what: str, done: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


def started(worker: subprocess.Popen[bytes]) -> bool:
    """Whether a worker has all modules in memory: it holds as much as a quarter of a second ago."""
    before = resident(worker.pid)
    time.sleep(0.25)
    return before > 30 and abs(resident(worker.pid) - before) < 1


@pytest.fixture(params=["embedded", pytest.param("faust", marks=pytest.mark.kafka)])
def rig(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> Iterator[Rig]:
    kafka: LocalKafka | None = request.getfixturevalue("kafka") if request.param == "faust" else None
    rig = Rig(request.param, kafka.url if kafka else "embedded", tmp_path, free_port)
    yield rig
    rig.close()


@pytest.mark.timeout(180)
def test_while_the_database_takes_nothing_a_bounded_part_of_the_log_is_in_memory_and_then_all_is_stored(rig: Rig) -> None:
    worker = rig.start()
    until("the worker to begin", lambda: started(worker))
    before = resident(worker.pid)
    rig.send()
    until("the processor to be full", lambda: rig.full("taken"))
    most = 0.0
    for _ in range(30):
        most = max(most, resident(worker.pid))
        for queue, (items, items_limit, size, size_limit) in rig.fills().items():
            assert items <= items_limit, queue
            assert size <= size_limit + VALUE_BYTES, queue
        time.sleep(0.1)
    assert most - before < HELD_MIB, f"{most - before:.0f} MiB more than without records"
    assert rig.stored() == []
    rig.release()
    until("all to be stored", lambda: len(set(rig.stored())) == RECORDS)
    assert len(rig.stored()) == RECORDS
    worker.terminate()
    assert worker.wait(40) == 0


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_a_worker_that_reads_long_of_what_its_partitions_are_stays_a_member(kafka: LocalKafka, tmp_path: Path, free_port: int) -> None:
    """What history says of new partitions may take longer than a session (6 s here): nobody may be sent away for that, and begin again."""
    rig = Rig("faust", kafka.url, tmp_path, free_port)
    try:
        rig.release()
        (tmp_path / "slow").touch()
        worker = rig.start()
        rig.send()
        until("all to be stored", lambda: len(set(rig.stored())) == RECORDS, 90)
        assert (tmp_path / "assigned").read_text().splitlines() == [str(PARTITIONS)]
        worker.terminate()
        assert worker.wait(40) == 0
    finally:
        rig.close()


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_a_second_worker_takes_partitions_over_from_one_whose_queues_are_full(kafka: LocalKafka, tmp_path: Path, free_port: int) -> None:
    rig = Rig("faust", kafka.url, tmp_path, free_port)
    try:
        first = rig.start()
        rig.send()
        until("Faust's queue to be full", lambda: rig.full("faust"))
        second = rig.start(metrics=False)
        # A partition is handed over once the flush that waits for the database is over.
        time.sleep(3)
        rig.release()
        until("all to be stored", lambda: len(set(rig.stored())) == RECORDS, 90)
        for worker in (first, second):
            worker.terminate()
            assert worker.wait(40) == 0
    finally:
        rig.close()
