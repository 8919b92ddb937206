"""What holds for every runner: the order of effects, and that nothing is skipped wherever a worker dies."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec import Struct

from runherald.records import Outgoing, TopicPartition
from runherald.streams.embedded_log import EmbeddedLog
from runherald.streams.kafka_log import KafkaLog
from runherald.streams.log import Log, bootstrap_servers, group_of
from runherald.streams.topic_admin import create_topics
from runherald.topics import Topic

RECORDS = 5_000
"""More than two polls of a runner bring, so that there is something to die in the middle of."""
KILLED = 9

WORKER = '''
"""Runs one processor that writes down what it sees of the log at each of its calls, and dies where it is told to."""
import asyncio, json, os, signal, sys
from datetime import timedelta
from pathlib import Path
from runherald.records import Outgoing, TopicPartition
from runherald.streams.cycle import FlushPolicy
from runherald.streams.embedded_log import EmbeddedLog
from runherald.streams.embedded_runner import EmbeddedRunner
from runherald.streams.faust_runner import run_worker
from runherald.streams.kafka_log import KafkaLog
from runherald.streams.log import bootstrap_servers, group_of
from runherald.topics import Topic

runner, url, folder, name, topic, dies, count = sys.argv[1:]
folder, count = Path(folder), int(count)
topics = [Topic(name=each, partitions=1, retention=timedelta(days=1)) for each in (topic, f"{topic}.out", f"{topic}.late")]
policy = FlushPolicy(records=200, age=0.2)


class Scripted:
    def __init__(self, log):
        self.name, self.topics, self.log = name, (topic,), log
        self.buffer, self.busy = [], False

    async def assigned(self, end_offsets):
        self.note("assigned", ends=[[at.partition, end] for at, end in end_offsets.items()])

    async def revoked(self, partitions):
        self.buffer = []

    async def process(self, records):
        self.enter()
        if not records:
            return self.leave(())
        self.note("process", offsets=[each.offset for each in records])
        if dies == "process" and self.stored():
            os._exit(9)
        self.buffer += records
        return self.leave([Outgoing(f"{topic}.out", each.key, each.value) for each in records])

    async def flush(self):
        self.enter()
        await asyncio.to_thread(self.look)
        if dies == "published" and self.stored() and self.buffer:
            os._exit(9)
        with (folder / "stored").open("a") as stored:
            stored.write("".join(f"{each.offset} {each.value.decode()}\\n" for each in self.buffer))
        if dies == "stored" and self.stored() and self.buffer:
            os._exit(9)
        late = [Outgoing(f"{topic}.late", b"k", b"late")] if self.buffer else []
        self.buffer = []
        if len(set(self.stored())) == count:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.leave(late)

    def look(self):
        ends = self.log.end_offsets([f"{topic}.out", f"{topic}.late"])
        self.note(
            "flush",
            buffered=[each.offset for each in self.buffer],
            published=ends[TopicPartition(f"{topic}.out", 0)],
            late=ends[TopicPartition(f"{topic}.late", 0)],
            committed=self.log.committed(group_of(name), [topic]).get(TopicPartition(topic, 0), 0),
        )

    def enter(self):
        assert not self.busy, "calls overlap"
        self.busy = True

    def leave(self, value):
        self.busy = False
        return value

    def stored(self):
        file = folder / "stored"
        return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []

    def note(self, step, **seen):
        with (folder / "notes").open("a") as notes:
            notes.write(json.dumps({"step": step, **seen}) + "\\n")


if runner == "faust":
    sys.exit(run_worker(url, {name: lambda: Scripted(KafkaLog(bootstrap_servers(url)))}, policy=policy, session_seconds=6.0))

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
log = EmbeddedLog(folder / "log", topics=topics) if runner == "embedded" else KafkaLog(bootstrap_servers(url))
lanes = EmbeddedRunner(log, {name: lambda: Scripted(log)}, policy=policy)
lanes.start()
signal.sigwait({signal.SIGTERM})
stopped = lanes.stop(10)
log.close()
sys.exit(0 if stopped else 1)
'''


class Bench(Struct, frozen=True):
    """A runner, a topic with records, and where its processor writes down what it does."""

    runner: str
    url: str
    folder: Path
    name: str
    topic: str

    def run(self, dies: str = "never") -> int:
        """Run a worker until it has stored everything, or dies; return its exit status."""
        arguments = [self.runner, self.url, str(self.folder), self.name, self.topic, dies, str(RECORDS)]
        worker = subprocess.run([sys.executable, "-c", WORKER, *arguments], timeout=60, check=False, capture_output=True, text=True)
        assert worker.returncode in (0, KILLED), worker.stderr
        return worker.returncode

    def notes(self, step: str) -> list[dict[str, Any]]:
        notes = [json.loads(line) for line in (self.folder / "notes").read_text().splitlines()]
        return [note for note in notes if note["step"] == step]

    def forget_notes(self) -> None:
        (self.folder / "notes").unlink()

    def stored(self) -> list[int]:
        return [int(line.split()[0]) for line in (self.folder / "stored").read_text().splitlines()]

    def open(self) -> Log:
        if self.runner == "embedded":
            return EmbeddedLog(self.folder / "log", topics=self.topics())
        return KafkaLog(bootstrap_servers(self.url))

    def topics(self) -> list[Topic]:
        names = (self.topic, f"{self.topic}.out", f"{self.topic}.late")
        return [Topic(name=name, partitions=1, retention=timedelta(days=1)) for name in names]

    def committed(self) -> int:
        log = self.open()
        committed = log.committed(group_of(self.name), [self.topic]).get(TopicPartition(self.topic, 0), 0)
        log.close()
        return committed

    def send(self) -> None:
        log = self.open()
        log.append([Outgoing(self.topic, b"run", str(number).encode()) for number in range(RECORDS)])
        log.close()


def bench(request: pytest.FixtureRequest, runner: str, folder: Path) -> Bench:
    url = "embedded" if runner == "embedded" else request.getfixturevalue("kafka").url
    made = Bench(runner=runner, url=url, folder=folder, name=f"scripted-{uuid4().hex[:8]}", topic=f"runherald.test-{uuid4().hex}")
    if runner != "embedded":
        create_topics(url, topics=made.topics())
    made.send()
    return made


KAFKA = pytest.mark.kafka


@pytest.mark.parametrize("runner", ["embedded", pytest.param("lanes-on-kafka", marks=KAFKA), pytest.param("faust", marks=KAFKA)])
def test_what_is_processed_is_published_then_flushed_then_committed(request: pytest.FixtureRequest, tmp_path: Path, runner: str) -> None:
    made = bench(request, runner, tmp_path)
    assert made.run() == 0
    assert made.stored() == list(range(RECORDS))
    assert made.notes("assigned") == [{"step": "assigned", "ends": [[0, RECORDS]]}]
    assert [offset for note in made.notes("process") for offset in note["offsets"]] == list(range(RECORDS))
    taken = 0
    for number, flush in enumerate(note for note in made.notes("flush") if note["buffered"]):
        assert flush["committed"] == taken, "committed is what was flushed before, all of it and no more"
        assert flush["late"] == number, "what flush returned is published before its commit"
        taken += len(flush["buffered"])
        assert flush["published"] == taken, "what process returned is acknowledged before the flush"
    assert taken == RECORDS
    assert made.committed() == RECORDS


@pytest.mark.parametrize("dies", ["process", "published", "stored"])
@pytest.mark.parametrize("runner", ["embedded", pytest.param("faust", marks=KAFKA)])
def test_a_worker_that_dies_is_followed_by_one_that_reads_from_the_last_commit(
    request: pytest.FixtureRequest, tmp_path: Path, runner: str, dies: str
) -> None:
    made = bench(request, runner, tmp_path)
    assert made.run(dies) == KILLED
    committed, stored = made.committed(), made.stored()
    assert set(range(committed)) <= set(stored), "what is committed is stored"
    made.forget_notes()
    assert made.run() == 0
    assert made.notes("process")[0]["offsets"][0] == committed
    assert set(made.stored()) == set(range(RECORDS))
    # What was stored and not committed comes again, and nothing else.
    assert len(made.stored()) == RECORDS + len(stored) - committed
    assert made.committed() == RECORDS
