"""The tables of the embedded log.

A record's place is one integer: the partition's number above, its offset below. So the records of a partition lie side by side in one
table, and appending goes to the end of its range.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from msgspec import Struct

from runherald.records import TopicPartition
from runherald.topics import Topic

OFFSET_BITS = 40
"""10¹² records in a partition; the bits above hold 8 million partitions."""

VERSION = 1
"""Of the tables below, kept in the file (`user_version`). A file without one, 0, is of the time before, and has the same tables.

A change that an older version can go on with (a further table, a column with a default) keeps the number."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS partitions (
    number INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    begin_offset INTEGER NOT NULL,
    UNIQUE (topic, partition)
) STRICT;
CREATE TABLE IF NOT EXISTS records (
    position INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    key BLOB,
    value BLOB NOT NULL,
    headers BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS committed (
    consumer_group TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
) STRICT, WITHOUT ROWID;
"""


class NewerVersion(Exception):  # said as it is caught: by whoever names the file
    """The file was made by a version of runherald that this one does not follow."""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables that are missing, and mark the file with the version of them.

    Raises:
        NewerVersion: the file has a newer one; nothing was changed.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise NewerVersion(f"it is of version {found}, this program reads up to {VERSION}; use the newer version of runherald again")
    connection.executescript(SCHEMA)
    if found < VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")


class PartitionRow(Struct, frozen=True):
    """A partition as it is found when the log is opened."""

    number: int
    topic_partition: TopicPartition
    begin_offset: int
    next_offset: int


def position_of(number: int, offset: int) -> int:
    """Return the place of a record in the table."""
    return number << OFFSET_BITS | offset


def open_partitions(connection: sqlite3.Connection, topics: Iterable[Topic], partitions: int) -> dict[TopicPartition, PartitionRow]:
    """Make the partitions of topics that are new here, and return those of all the topics."""
    rows: dict[TopicPartition, PartitionRow] = {}
    for topic in topics:
        if connection.execute("SELECT 1 FROM partitions WHERE topic = ?", (topic.name,)).fetchone() is None:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO partitions (topic, partition, begin_offset) VALUES (?, ?, 0)",
                [(topic.name, partition) for partition in range(partitions)],
            )
            connection.execute("COMMIT")
        for row in _partitions_of(connection, topic.name):
            rows[row.topic_partition] = row
    return rows


def _partitions_of(connection: sqlite3.Connection, topic: str) -> list[PartitionRow]:
    rows = []
    for number, partition, begin in connection.execute(
        "SELECT number, partition, begin_offset FROM partitions WHERE topic = ? ORDER BY partition", (topic,)
    ).fetchall():
        # The beginning counts where retention has dropped every record: offsets go on, they never start anew.
        last = connection.execute(
            "SELECT max(position) FROM records WHERE position >= ? AND position < ?", (position_of(number, 0), position_of(number + 1, 0))
        ).fetchone()[0]
        following = begin if last is None else last - position_of(number, 0) + 1
        rows.append(PartitionRow(number, TopicPartition(topic, partition), begin, following))
    return rows
