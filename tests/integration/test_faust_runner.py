"""The Faust runner on a real Kafka, as separate processes that fail, are stopped and are killed: nothing is ever skipped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from runherald.records import Outgoing, TopicPartition
from runherald.streams.kafka_log import KafkaLog
from runherald.streams.log import bootstrap_servers, group_of
from runherald.streams.topic_admin import create_topics
from runherald.topics import Topic

pytestmark = pytest.mark.kafka

PARTITIONS = 4
BATCH = 1_000

WORKER = '''
"""A worker whose processor stores its records as lines of a file, and does at its flushes what it is told."""
import asyncio, logging, os, sys
from pathlib import Path
from runherald.records import Outgoing
from runherald.streams.cycle import FlushPolicy
from runherald.streams.faust_runner import run_worker
from runherald.streams.watchdog import Patience

logging.basicConfig(level=logging.INFO, format="%(message)s")
url, topic, folder, script, idle, *names = sys.argv[1:]
folder = Path(folder)


class Storing:
    def __init__(self, name):
        self.name, self.topics = name, (topic,)
        self.buffer = []

    async def assigned(self, end_offsets):
        self.say(f"assigned {len(end_offsets)}")

    async def revoked(self, partitions):
        self.buffer = [line for line in self.buffer if line[0] not in {each.partition for each in partitions}]

    async def process(self, records):
        if script == "forget":
            import time
            time.sleep(10_000)
        self.buffer += [(each.partition, each.offset, each.value.decode()) for each in records]
        if script == "publish":
            return [Outgoing(topic + "-out", each.key, each.value) for each in records]
        return ()

    async def flush(self):
        if script == "raise" and self.buffer and (folder / f"raise-{self.name}").exists():
            raise RuntimeError("the database says no")
        if script == "slow" and self.buffer:
            self.say("flushing")
            await asyncio.sleep(2)
        with (folder / self.name).open("a") as stored:
            stored.write("".join(f"{partition} {offset} {value}\\n" for partition, offset, value in self.buffer))
        self.buffer = []
        return ()

    def say(self, what):
        print(f"{self.name}: {what}", flush=True)


if script in {"blind", "blind-slow"}:  # as right after the start of a broker that does not know its topics yet
    from aiokafka.cluster import ClusterMetadata
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor as Assignor

    see, update, share_out = ClusterMetadata.partitions_for_topic, ClusterMetadata.update_metadata, Assignor.assign
    is_blind, has_assigned = True, False

    def partitions_for_topic(cluster, name):
        return None if is_blind else see(cluster, name)

    def update_metadata(cluster, answer):
        global is_blind
        is_blind = is_blind and not has_assigned
        return update(cluster, answer)

    def assign(cluster, members):
        global has_assigned
        print("assigned what is blind" if is_blind else "assigned what is seen", flush=True)
        has_assigned = True
        return share_out(cluster, members)

    ClusterMetadata.partitions_for_topic = partitions_for_topic
    ClusterMetadata.update_metadata = update_metadata
    Assignor.assign = staticmethod(assign)

if script == "blind-slow":  # a busy machine: records may come between the news of a partition and the word that it waits
    from faust.agents.manager import AgentManager

    rebalance = AgentManager.on_rebalance

    async def on_rebalance(agents, revoked, newly_assigned):
        await rebalance(agents, revoked, newly_assigned)
        await asyncio.sleep(3 if newly_assigned else 0)

    AgentManager.on_rebalance = on_rebalance

sys.exit(
    run_worker(
        url,
        {name: (lambda name=name: Storing(name)) for name in names},
        policy=FlushPolicy(records=300, age=0.2),
        patience=Patience(idle=float(idle), call=float(idle)),
        stop_seconds=10.0,
        session_seconds=6.0,
    )
)
'''


class Cluster(Protocol):
    """What is used of the local Kafka."""

    url: str


class Rig:
    """A topic, workers on it, and what they stored."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.topic = f"runherald.test-{uuid4().hex}"
        self.name = f"drill-{uuid4().hex[:8]}"
        self.folder = folder
        create_topics(
            url,
            topics=[
                Topic(name=self.topic, partitions=PARTITIONS, retention=timedelta(days=1)),
                Topic(name=f"{self.topic}-out", partitions=1, retention=timedelta(days=1)),
            ],
        )
        self.log = KafkaLog(bootstrap_servers(url))
        self.sent = 0
        self.workers: list[subprocess.Popen[str]] = []

    def send(self, count: int = BATCH) -> None:
        numbers = range(self.sent, self.sent + count)
        self.log.append([Outgoing(self.topic, f"run-{number % 23}".encode(), str(number).encode()) for number in numbers])
        self.sent += count

    def start(self, script: str = "store", *, idle: float = 60.0, names: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        program = [sys.executable, "-c", WORKER, self.url, self.topic, str(self.folder), script, str(idle), *(names or (self.name,))]
        output = (self.folder / f"worker-{len(self.workers)}.log").open("w")
        with output:
            worker = subprocess.Popen(program, stdout=output, stderr=subprocess.STDOUT, text=True)
        self.workers.append(worker)
        return worker

    def said(self, worker: subprocess.Popen[str]) -> str:
        return (self.folder / f"worker-{self.workers.index(worker)}.log").read_text()

    def stored(self, name: str = "") -> list[tuple[int, int, int]]:
        file = self.folder / (name or self.name)
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(partition), int(offset), int(value)) for partition, offset, value in (line.split() for line in lines)]

    def committed(self, name: str = "") -> dict[TopicPartition, int]:
        return self.log.committed(group_of(name or self.name), [self.topic])

    def check_nothing_skipped(self, name: str = "") -> None:
        """What is committed is stored: the one thing that must hold at every moment."""
        # In this order: a worker that runs goes on meanwhile.
        commits = self.committed(name)
        stored = {(partition, offset) for partition, offset, _ in self.stored(name)}
        for at, committed in commits.items():
            assert {(at.partition, offset) for offset in range(committed)} <= stored

    def wait_for_all(self, name: str = "") -> None:
        self.until(lambda: {value for _, _, value in self.stored(name)} == set(range(self.sent)))

    def wait_for_commit(self, name: str = "") -> None:
        self.until(lambda: self.committed(name) == self.log.end_offsets([self.topic]))

    def until(self, done: Callable[[], bool], seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            logs = "\n".join(self.said(worker)[-2_000:] for worker in self.workers)
            assert time.monotonic() < deadline, f"did not come about in time; {len(self.stored())} stored; the workers said:\n{logs}"
            time.sleep(0.1)

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        self.log.close()


@pytest.fixture
def rig(kafka: Cluster, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(kafka.url, tmp_path)
    yield rig
    rig.close()


def test_a_stopped_worker_has_flushed_and_committed_all_it_took_in(rig: Rig) -> None:
    rig.send()
    worker = rig.start("publish")
    rig.wait_for_all()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert rig.committed() == rig.log.end_offsets([rig.topic])
    rig.check_nothing_skipped()
    assert sum(rig.log.end_offsets([f"{rig.topic}-out"]).values()) == rig.sent
    for partition in range(PARTITIONS):
        offsets = [offset for at, offset, _ in rig.stored() if at == partition]
        assert offsets == sorted(offsets)


@pytest.mark.parametrize("moment", ["forked", "connecting", "joining"])
def test_a_worker_that_is_stopped_while_it_begins_stops_in_order(rig: Rig, moment: str) -> None:
    rig.send()
    names = tuple(f"{rig.name}-{letter}" for letter in "abc")
    worker = rig.start(names=names)
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    rig.until(lambda: len(children.read_text().split()) == len(names))
    if moment == "connecting":
        rig.until(lambda: bool(sockets_of(int(children.read_text().split()[0]))))
    if moment == "joining":
        rig.until(lambda: "event=started" in rig.said(worker))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(40) == 0, rig.said(worker)
    for name in names:
        rig.check_nothing_skipped(name)


def sockets_of(pid: int) -> list[str]:
    """Return the sockets that a process holds."""
    held = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(file.readlink())
            held += [target] if target.startswith("socket:") else []
    return held


def test_a_flush_that_raises_ends_the_worker_and_the_next_one_begins_where_it_committed(rig: Rig) -> None:
    rig.send()
    worker = rig.start("raise")
    rig.wait_for_commit()
    (rig.folder / f"raise-{rig.name}").touch()
    rig.send()
    assert worker.wait(40) == 1
    assert "RuntimeError: the database says no" in rig.said(worker)
    rig.check_nothing_skipped()
    assert rig.committed() != rig.log.end_offsets([rig.topic])
    rig.start()
    rig.wait_for_all()
    rig.wait_for_commit()
    rig.check_nothing_skipped()


def test_sigterm_during_a_flush_waits_for_it_and_commits(rig: Rig) -> None:
    rig.send(200)
    worker = rig.start("slow")
    rig.until(lambda: "flushing" in rig.said(worker))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert rig.stored()
    rig.check_nothing_skipped()
    rig.start()
    rig.wait_for_all()


def test_a_killed_workers_partitions_are_taken_over_and_a_joining_one_shares_them(rig: Rig) -> None:
    first = rig.start()
    rig.send()
    rig.until(lambda: len(rig.stored()) > 0)
    second = rig.start()
    for _ in range(10):
        rig.send(200)
        rig.check_nothing_skipped()
        time.sleep(0.2)
    rig.until(lambda: f"assigned {PARTITIONS // 2}" in rig.said(second))
    rig.wait_for_all()
    rig.send()
    first.send_signal(signal.SIGKILL)
    first.wait()
    rig.check_nothing_skipped()
    rig.send()
    rig.wait_for_all()
    rig.wait_for_commit()
    rig.check_nothing_skipped()
    # A few come twice at each handover; far from all do.
    assert len(rig.stored()) < 2 * rig.sent


def test_a_worker_that_is_stuck_ends_itself_and_says_so(rig: Rig) -> None:
    rig.send(50)
    worker = rig.start("forget", idle=3.0)
    assert worker.wait(40) == 1
    assert "event=stuck error=the processor has not returned for" in rig.said(worker)
    assert rig.committed() == {}


@pytest.mark.parametrize("script", ["blind", "blind-slow"])
def test_partitions_that_a_broker_did_not_know_of_at_first_are_taken_soon(rig: Rig, script: str) -> None:
    rig.send()
    worker = rig.start(script)
    rig.wait_for_all()
    assert "assigned what is blind" in rig.said(worker)


def test_processors_run_in_processes_of_their_own_and_one_that_ends_takes_the_others_along(rig: Rig) -> None:
    rig.send()
    names = (f"{rig.name}-a", f"{rig.name}-b")
    worker = rig.start(names=names)
    for name in names:
        rig.wait_for_all(name)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    for name in names:
        assert rig.committed(name) == rig.log.end_offsets([rig.topic])
    rig.send()
    (rig.folder / f"raise-{names[0]}").touch()
    failing = rig.start("raise", names=names)
    assert failing.wait(40) == 1
    assert "the others are stopped" in rig.said(failing)
    for name in names:
        rig.check_nothing_skipped(name)


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_a_worker_reads_what_producers_compress(rig: Rig, codec: str) -> None:
    asyncio.run(send_compressed(rig, codec))
    rig.start()
    rig.wait_for_all()
    rig.wait_for_commit()


async def send_compressed(rig: Rig, codec: str) -> None:
    """Send what compresses well, as SDKs with that codec at hand do."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=",".join(bootstrap_servers(rig.url)), compression_type=codec, linger_ms=100)
    await producer.start()
    try:
        for number in range(50):
            await producer.send(rig.topic, str(number).rjust(200, "0").encode(), f"run-{number % 23}".encode())
        await producer.flush()
    finally:
        await producer.stop()
    rig.sent = 50


def test_no_kafka_is_said_in_one_line(tmp_path: Path) -> None:
    program = [sys.executable, "-c", WORKER, "kafka://127.0.0.1:9", "runherald.none", str(tmp_path), "store", "60", "none"]
    worker = subprocess.run(program, capture_output=True, text=True, timeout=40, check=False)
    assert worker.returncode == 3
    assert "Kafka at 127.0.0.1:9 does not answer" in worker.stderr
    assert "Traceback" not in worker.stderr


def test_topics_that_are_not_there_are_said_in_one_line(rig: Rig) -> None:
    program = [sys.executable, "-c", WORKER, rig.url, "runherald.none", str(rig.folder), "store", "60", "none"]
    worker = subprocess.run(program, capture_output=True, text=True, timeout=40, check=False)
    assert worker.returncode == 2
    assert "topic 'runherald.none': not in this Kafka; make the topics: runherald topics" in worker.stderr
