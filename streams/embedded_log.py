"""The embedded log: one SQLite file in a folder that one server holds.

One thread writes. It takes whatever many threads have handed in since it last looked and makes one transaction of it (group commit).
SQLite runs in WAL mode with synchronous=NORMAL: a commit is a write to the WAL file without fsync. What was written is in the kernel's
cache and outlives the process, however it dies; only a crash of the machine can lose the last commits, and never breaks the file
(https://www.sqlite.org/pragma.html#pragma_synchronous). See docs/decisions/embedded_log.md.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from runherald.clock import Clock, system_clock, to_micros
from runherald.records import Outgoing, Position, TopicPartition
from runherald.streams.embedded_consumer import EmbeddedConsumer, Tail
from runherald.streams.embedded_schema import NewerVersion, PartitionRow, make_tables, open_partitions, position_of
from runherald.streams.embedded_times import read_times
from runherald.streams.errors import GroupTaken, LogClosed, LogFull, LogUnusable, UnknownTopic
from runherald.streams.folder_lock import FolderLock
from runherald.streams.log import OnPartitions, check_size
from runherald.topics import TOPICS, Topic

FILE = "log.sqlite"
RETENTION_EVERY = 60.0
"""Seconds between two looks for records that are too old."""
RETENTION_CHUNK = 5_000
"""Records dropped in one transaction: appends wait for it, so it is short."""
WAL_PAGES = 4_000
"""A checkpoint each 16 MB: it is the only thing here that waits for the disk."""

_INSERT = "INSERT INTO records (position, timestamp, key, value, headers) VALUES (?, ?, ?, ?, ?)"
_COMMIT = (
    "INSERT INTO committed (consumer_group, topic, partition, next_offset) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET next_offset = excluded.next_offset"
)
_HEADERS = msgspec.msgpack.Encoder()


class _Append(Struct, frozen=True):
    records: Sequence[tuple[PartitionRow, Outgoing]]
    done: Future[list[Position]]


class _Commit(Struct, frozen=True):
    group: str
    offsets: Mapping[TopicPartition, int]
    done: Future[None]


_Work = _Append | _Commit | None


class EmbeddedLog:
    """The log of one server, in one file of a folder.

    The number of partitions of a topic is set when it is first made here, and stays.

    Raises:
        FolderHeld: another server holds the folder.
        LogUnusable: the file is not a log that this version can read.
    """

    def __init__(
        self, folder: Path, *, topics: Iterable[Topic] = TOPICS.values(), partitions: int = 1, clock: Clock = system_clock
    ) -> None:
        self._lock = FolderLock(folder)
        self._path = folder / FILE
        self._clock = clock
        self._topics = {topic.name: topic for topic in topics}
        try:
            self._connection = _open(self._path)
            self._partitions = open_partitions(self._connection, self._topics.values(), partitions)
            self._committed = _load_committed(self._connection)
        except (sqlite3.Error, NewerVersion) as error:
            self._lock.release()
            raise LogUnusable(f"data: {self._path} cannot be opened as a log ({error})") from error
        self._by_topic = {topic: [row for row in self._partitions.values() if row.topic_partition.topic == topic] for topic in self._topics}
        self._tail = Tail({row.topic_partition: (row.begin_offset, row.next_offset) for row in self._partitions.values()})
        self._groups: dict[str, EmbeddedConsumer] = {}
        self._state = threading.Lock()
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="runherald-log", daemon=True)
        self._writer.start()

    def append(self, records: Sequence[Outgoing]) -> list[Position]:
        """Append records; see `Log.append`. All of them or none are kept."""
        placed = [(self._partition(record), record) for record in records]
        if not placed:
            return []
        done: Future[list[Position]] = Future()
        self._hand_in(_Append(placed, done))
        return done.result()

    def begin_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the offset of the oldest record kept, for each partition."""
        return {partition: begin for partition, (begin, _) in self._tail.bounds(self._partitions_of(topics)).items()}

    def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the offset that the next record gets, for each partition."""
        return {partition: end for partition, (_, end) in self._tail.bounds(self._partitions_of(topics)).items()}

    def times(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, datetime]:
        """Return when the first record kept at each offset or above it was appended; partitions without one are left out."""
        self._partitions_of({at.topic for at in positions})
        bounds = self._tail.bounds(positions)
        wanted = {at: (self._partitions[at].number, max(offset, bounds[at][0]), bounds[at][1]) for at, offset in positions.items()}
        return read_times(self._path, {at: span for at, span in wanted.items() if span[1] < span[2]})

    def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return what the group has committed."""
        with self._state:
            known = dict(self._committed.get(group, {}))
        return {partition: known[partition] for partition in self._partitions_of(topics) if partition in known}

    def consumer(self, group: str, topics: Collection[str], *, on_assigned: OnPartitions, on_revoked: OnPartitions) -> EmbeddedConsumer:
        """Return the one consumer of a group, with all partitions of the topics.

        Raises:
            GroupTaken: the group has one that is not closed.
        """
        partitions = self._partitions_of(topics)
        committed = self.committed(group, topics)
        with self._state:
            if group in self._groups:
                raise GroupTaken(f"group {group!r} has a consumer; the embedded log has one for each group, close it first")
            consumer = EmbeddedConsumer(
                path=self._path,
                partitions={partition: self._partitions[partition].number for partition in partitions},
                positions={partition: committed.get(partition, 0) for partition in partitions},
                tail=self._tail,
                commit=lambda offsets: self._commit(group, offsets),
                released=lambda: self._release(group),
                on_assigned=on_assigned,
                on_revoked=on_revoked,
            )
            self._groups[group] = consumer
        return consumer

    def close(self) -> None:
        """Write what was handed in, and let go of the folder."""
        with self._state:
            if self._closed:
                return
            self._closed = True
        self._work.put(None)
        self._writer.join()
        self._tail.close()
        self._connection.close()
        self._lock.release()

    def _partition(self, record: Outgoing) -> PartitionRow:
        rows = self._by_topic.get(record.topic)
        if rows is None:
            raise UnknownTopic(f"topic {record.topic!r}: not in this log; it has {', '.join(sorted(self._topics))}")
        check_size(record, self._topics[record.topic].max_message_bytes)
        return rows[zlib.crc32(record.key or b"") % len(rows)]

    def _partitions_of(self, topics: Collection[str]) -> list[TopicPartition]:
        unknown = set(topics) - self._by_topic.keys()
        if unknown:
            raise UnknownTopic(f"topic {min(unknown)!r}: not in this log; it has {', '.join(sorted(self._topics))}")
        return [row.topic_partition for topic in topics for row in self._by_topic[topic]]

    def _commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        done: Future[None] = Future()
        self._hand_in(_Commit(group, dict(offsets), done))
        done.result()

    def _release(self, group: str) -> None:
        with self._state:
            self._groups.pop(group, None)

    def _hand_in(self, work: _Append | _Commit) -> None:
        # Under the lock of close(), so that nothing is handed in after the writer's last look.
        with self._state:
            if self._closed:
                raise LogClosed("the log is closed")
            self._work.put(work)

    def _write(self) -> None:
        swept = time.monotonic()
        closing = False
        while not closing:
            if time.monotonic() - swept >= RETENTION_EVERY and not self._sweep():
                swept = time.monotonic()
            works, closing = self._next_works()
            if works:
                self._write_group(works)

    def _next_works(self) -> tuple[list[_Append | _Commit], bool]:
        """Wait for work, then take all there is. The second value says that the log is being closed."""
        works: list[_Append | _Commit] = []
        try:
            work = self._work.get(timeout=RETENTION_EVERY / 10)
            while work is not None:
                works.append(work)
                work = self._work.get_nowait()
        except queue.Empty:
            return works, False
        return works, True

    def _write_group(self, works: Sequence[_Append | _Commit]) -> None:
        rows, positions, ends = self._place(works)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, rows)
            for work in works:
                if isinstance(work, _Commit):
                    self._connection.executemany(
                        _COMMIT, [(work.group, at.topic, at.partition, offset) for at, offset in work.offsets.items()]
                    )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failure = _failure(self._path, error)
            for work in works:
                work.done.set_exception(failure)
            return
        self._tail.advance(ends)
        for work, places in zip(works, positions, strict=True):
            if isinstance(work, _Append):
                work.done.set_result(places)
            else:
                with self._state:
                    self._committed.setdefault(work.group, {}).update(work.offsets)
                work.done.set_result(None)

    def _place(
        self, works: Sequence[_Append | _Commit]
    ) -> tuple[list[tuple[int, int, bytes | None, bytes, bytes]], list[list[Position]], dict[TopicPartition, int]]:
        """Return the rows to insert, the positions for each work, and where the partitions will end."""
        now = to_micros(self._clock()) // 1000
        rows: list[tuple[int, int, bytes | None, bytes, bytes]] = []
        positions: list[list[Position]] = []
        ends: dict[TopicPartition, int] = {}
        for work in works:
            places: list[Position] = []
            for partition, record in work.records if isinstance(work, _Append) else ():
                at = partition.topic_partition
                offset = ends[at] if at in ends else self._tail.end(at)
                ends[at] = offset + 1
                places.append(Position(at.topic, at.partition, offset))
                headers = _HEADERS.encode(record.headers) if record.headers else b""
                rows.append((position_of(partition.number, offset), now, record.key, record.value, headers))
            positions.append(places)
        return rows, positions, ends

    def _sweep(self) -> bool:
        """Drop a chunk of what is too old, and say whether there may be more.

        What an open consumer has not committed yet is kept: a server that was away for longer than the retention loses nothing.
        """
        now = to_micros(self._clock()) // 1000
        more = False
        for at, partition in self._partitions.items():
            begin, end = self._tail.bounds([at])[at]
            with self._state:
                reading = [self._committed.get(group, {}).get(at, 0) for group, consumer in self._groups.items() if consumer.reads(at)]
            oldest = now - self._topics[at.topic].retention // timedelta(milliseconds=1)
            begin_after = self._drop(partition.number, begin, min([end, begin + RETENTION_CHUNK, *reading]), oldest)
            if begin_after > begin:
                self._tail.drop(at, begin_after)
            more = more or begin_after == begin + RETENTION_CHUNK
        return more

    def _drop(self, number: int, begin: int, end: int, oldest: int) -> int:
        """Drop the records from `begin` on, at most to `end`, that are older than `oldest`; return the new beginning."""
        if end <= begin:
            return begin
        kept = self._connection.execute(
            "SELECT min(position) FROM records WHERE position >= ? AND position < ? AND timestamp >= ?",
            (position_of(number, begin), position_of(number, end), oldest),
        ).fetchone()[0]
        last = end if kept is None else kept - position_of(number, 0)
        if last <= begin:
            return begin
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(
            "DELETE FROM records WHERE position >= ? AND position < ?", (position_of(number, begin), position_of(number, last))
        )
        self._connection.execute("UPDATE partitions SET begin_offset = ? WHERE number = ?", (last, number))
        self._connection.execute("COMMIT")
        return last


def _open(path: Path) -> sqlite3.Connection:
    # The writer's thread alone uses it once the log is open.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        make_tables(connection)
    except (sqlite3.Error, NewerVersion):
        connection.close()
        raise
    return connection


def _load_committed(connection: sqlite3.Connection) -> dict[str, dict[TopicPartition, int]]:
    committed: dict[str, dict[TopicPartition, int]] = {}
    for group, topic, partition, offset in connection.execute("SELECT consumer_group, topic, partition, next_offset FROM committed"):
        committed.setdefault(group, {})[TopicPartition(topic, partition)] = offset
    return committed


def _failure(path: Path, error: sqlite3.Error) -> LogFull | LogUnusable:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return LogFull(f"data: no room left for {path}; nothing of the append was kept, make room and send it again")
    return LogUnusable(f"data: {path} cannot be written ({error})")
