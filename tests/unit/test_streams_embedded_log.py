"""What the embedded log alone promises: a folder of its own, survival of a killed process, a full disk, retention."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runherald.records import Outgoing, Record, TopicPartition
from runherald.streams import embedded_log
from runherald.streams.embedded_log import FILE, EmbeddedLog
from runherald.streams.errors import FolderHeld, LogFull, LogUnusable
from runherald.topics import EVENTS, Topic

TOPIC = Topic(name="runherald.test", partitions=8, retention=timedelta(hours=1))
PARTITION = TopicPartition(TOPIC.name, 0)

WRITER = """
import sys
from pathlib import Path
from runherald.records import Outgoing
from runherald.streams.embedded_log import EmbeddedLog
log = EmbeddedLog(Path(sys.argv[1]))
number = 0
while True:
    position = log.append([Outgoing("runherald.events", b"run", str(number + each).encode()) for each in range(7)])[-1]
    number += 7
    print(position.offset, flush=True)
"""

HOLDER = """
import sys
from pathlib import Path
from runherald.streams.embedded_log import EmbeddedLog
log = EmbeddedLog(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def outgoing(number: int) -> Outgoing:
    return Outgoing(TOPIC.name, b"run", str(number).encode())


def read_all(log: EmbeddedLog, topic: str) -> list[Record]:
    consumer = log.consumer("reader", [topic], on_assigned=lambda _: None, on_revoked=lambda _: None)
    records: list[Record] = []
    while batch := consumer.poll(1_000, 0.0):
        records += batch
    consumer.close()
    return records


def test_what_append_returned_is_there_after_the_writer_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        returned = [int(writer.stdout.readline()) for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        returned += [int(line) for line in writer.stdout if line.endswith("\n")]
    log = EmbeddedLog(tmp_path)
    records = read_all(log, EVENTS)
    log.close()
    assert len(records) > returned[-1]
    assert len(records) % 7 == 0, "an append is there whole or not at all"
    assert [(record.offset, int(record.value)) for record in records] == [(number, number) for number in range(len(records))]


def test_a_folder_that_another_server_holds_is_refused_by_name_and_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(FolderHeld, match=f"process {holder.pid}.*{tmp_path}.*stop it, or give another folder"):
            EmbeddedLog(tmp_path)
        holder.send_signal(signal.SIGKILL)
    # The kernel lets go of what a dead process held.
    EmbeddedLog(tmp_path).close()


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_pages(monkeypatch, 200)
    log = EmbeddedLog(tmp_path, topics=[TOPIC])
    log.append([outgoing(0)])
    with pytest.raises(LogFull, match=f"no room left for {tmp_path}.*make room and send it again"):
        log.append([Outgoing(TOPIC.name, b"run", b"x" * 10_000) for _ in range(200)])
    assert log.end_offsets([TOPIC.name]) == {PARTITION: 1}
    log.append([outgoing(1)])
    assert [record.value for record in read_all(log, TOPIC.name)] == [b"0", b"1"]
    log.close()


def limit_pages(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Make the file full at so many pages: SQLite then fails as it does on a full disk."""
    opened: Callable[[Path], sqlite3.Connection] = embedded_log._open

    def limited(path: Path) -> sqlite3.Connection:
        connection = opened(path)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(embedded_log, "_open", limited)


def test_a_file_that_is_no_log_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, but long enough to be taken for the beginning of one" * 100)
    with pytest.raises(LogUnusable, match=f"{tmp_path / FILE} cannot be opened as a log"):
        EmbeddedLog(tmp_path)
    (tmp_path / FILE).unlink()
    EmbeddedLog(tmp_path).close()


def test_the_number_of_partitions_is_set_when_the_topic_is_made(tmp_path: Path) -> None:
    EmbeddedLog(tmp_path, topics=[TOPIC], partitions=3).close()
    log = EmbeddedLog(tmp_path, topics=[TOPIC], partitions=5)
    assert len(log.end_offsets([TOPIC.name])) == 3
    log.close()


def test_old_records_are_dropped_and_offsets_go_on(tmp_path: Path) -> None:
    clock = Hand()
    log = EmbeddedLog(tmp_path, topics=[TOPIC], clock=clock)
    log.append([outgoing(number) for number in range(10)])
    clock.now += timedelta(minutes=59)
    log.append([outgoing(10)])
    sweep(log)
    assert log.begin_offsets([TOPIC.name]) == {PARTITION: 0}
    clock.now += timedelta(minutes=2)
    sweep(log)
    assert log.begin_offsets([TOPIC.name]) == {PARTITION: 10}
    assert [record.value for record in read_all(log, TOPIC.name)] == [b"10"]
    assert log.times({PARTITION: 3}) == {PARTITION: clock.now - timedelta(minutes=2)}, "of the oldest that is kept"
    clock.now += timedelta(hours=2)
    sweep(log)
    assert read_all(log, TOPIC.name) == []
    log.close()
    log = EmbeddedLog(tmp_path, topics=[TOPIC], clock=clock)
    assert log.append([outgoing(11)])[0].offset == 11
    log.close()


def test_what_an_open_consumer_has_not_committed_is_not_dropped(tmp_path: Path) -> None:
    clock = Hand()
    log = EmbeddedLog(tmp_path, topics=[TOPIC], clock=clock)
    log.append([outgoing(number) for number in range(10)])
    consumer = log.consumer("slow", [TOPIC.name], on_assigned=lambda _: None, on_revoked=lambda _: None)
    consumer.commit({PARTITION: 4})
    clock.now += timedelta(days=3)
    sweep(log)
    assert log.begin_offsets([TOPIC.name]) == {PARTITION: 4}
    consumer.close()
    sweep(log)
    assert log.begin_offsets([TOPIC.name]) == {PARTITION: 10}
    log.close()


def test_a_busy_topic_does_not_starve_the_others(tmp_path: Path) -> None:
    quiet = Topic(name="runherald.quiet", partitions=1, retention=timedelta(hours=1))
    log = EmbeddedLog(tmp_path, topics=[TOPIC, quiet])
    log.append([*(outgoing(number) for number in range(500)), Outgoing(quiet.name, b"k", b"v")])
    consumer = log.consumer("fair", [TOPIC.name, quiet.name], on_assigned=lambda _: None, on_revoked=lambda _: None)
    polls = [consumer.poll(100, 0.0) for _ in range(3)]
    assert quiet.name in {record.topic for poll in polls for record in poll}
    consumer.close()
    log.close()


def sweep(log: EmbeddedLog) -> None:
    while log._sweep():
        pass


def test_the_writing_of_a_process_is_seen_by_its_own_lock_file(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    log.close()
