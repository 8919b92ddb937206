"""What outlives a process as files of its own: a journal, the embedded log; and the names that all versions have to agree on."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from kafka import KafkaProducer  # type: ignore[import-untyped]

from runherald.alerts.events import decision_id, notice_id, outcome_outgoing
from runherald.alerts.message import Composer
from runherald.dead_letters import Letter, dead_letter, read_letter
from runherald.events import event_id
from runherald.producers.journal.entries import encode_entry
from runherald.producers.journal.folder import JournalHead
from runherald.producers.journal.journal import Journal
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.series import series_id
from runherald.streams.embedded_log import FILE, EmbeddedLog
from runherald.streams.log import group_of
from runherald.topics import EVENTS, TOPICS
from runherald.wire import to_outgoing
from tests.unit.golden_events import TIME
from tests.unit.golden_formats import ACCEPTED, CLAIM, ENTRIES, OUTCOMES, REPORTED

HEAD = JournalHead(workspace="default", run_id="digits_1", producer="host-1", destination="http://here:1")
JOURNAL = "journal-1"
LOG = "log-1.sqlite.gz"
"""What the present code writes."""
FORMER_LOGS = ("log-0.sqlite.gz",)
"""What earlier versions wrote; it means the same. 0 has no mark of its version."""
NAMES = "names-1.json"

SEGMENT_BYTES = 150
ACKNOWLEDGED = 1
"""Of the sample journal: its first record."""

GROUP = group_of("history")
LOG_PARTITIONS = 3
COMMITTED = {TopicPartition(EVENTS, 1): 2, TopicPartition(EVENTS, 2): 1}
LOGGED: tuple[Outgoing, ...] = (
    *(Outgoing(EVENTS, f"run-{number}".encode(), b"value %d" % number) for number in range(8)),
    Outgoing(EVENTS, None, b""),
    to_outgoing(REPORTED),
    to_outgoing(ACCEPTED, "runherald.status"),
)
"""The records of the sample log."""


def write_journal(home: Path) -> Path:
    """Write the sample journal of a process that died, and return its folder."""
    journal = Journal(home, HEAD, segment_bytes=SEGMENT_BYTES)
    for _ in range(2):
        for entry in ENTRIES.values():
            journal.append(encode_entry(entry))
    journal.folder.acknowledge(ACKNOWLEDGED)
    journal.close()
    return journal.folder.path


def write_log(folder: Path) -> Path:
    """Write the sample log and return its file."""
    log = EmbeddedLog(folder, partitions=LOG_PARTITIONS, clock=lambda: datetime(2026, 11, 21, tzinfo=UTC))
    with closing(log):
        log.append(LOGGED)
        consumer = log.consumer(GROUP, [EVENTS], on_assigned=lambda _: None, on_revoked=lambda _: None)
        consumer.commit(COMMITTED)
        consumer.close()
    return folder / FILE


def packed(file: Path) -> bytes:
    """Return a file, smaller."""
    return gzip.compress(file.read_bytes(), mtime=0)


def dump(file: Path) -> list[str]:
    """Return what a log's file holds, as SQL; the bytes themselves differ with SQLite's version."""
    with closing(sqlite3.connect(file)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return [f"PRAGMA user_version = {version};", *connection.iterdump()]


def records_of(log: EmbeddedLog, topic: str) -> list[Record]:
    """Return the records of a topic."""
    consumer = log.consumer("golden", [topic], on_assigned=lambda _: None, on_revoked=lambda _: None)
    records = list(consumer.poll(1_000, 0))
    consumer.close()
    return records


def names() -> dict[str, object]:
    """Return the names that are made of what they name. Two versions side by side, or one after the other, have to make the same ones: what
    comes twice is known by them, and what was stored is found by them."""
    letter = dead_letter(Record(EVENTS, 3, 17, 1, b"k", b"v"), processor="history", reason="r")
    found = read_letter(Record(letter.topic, 0, 0, 1, letter.key, letter.value, letter.headers))
    assert isinstance(found, Letter)
    assert CLAIM is not None
    outcome = outcome_outgoing(OUTCOMES["accepted"], workspace="w", run_id="r", time=TIME)
    keys = [f"run-{number}".encode() for number in range(12)]
    return {
        "event": event_id("digits_1", "host-1", 7),
        "accepted transition": ACCEPTED.id,
        "claim of the leases": [CLAIM.id, CLAIM.producer, CLAIM.sequence],
        "decision": decision_id("failed", ACCEPTED.id),
        "notice": notice_id("failed", ACCEPTED.id, "ada@example.org"),
        "outcome of an attempt": dict(outcome.headers)["ce_id"].decode(),
        "mail": Composer("runherald@example.org").message_id("n-1"),
        "thread of a run's mails": Composer("runherald@example.org").thread_id("default", "digits_1"),
        "dead letter": found.letter_id,
        "series of a metric": series_id("default", "digits_1", "loss"),
        "consumer groups": [group_of(name) for name in ("history", "metrics", "logs", "leases", "alerting", "mailer", "dead-letters")],
        "topics and their partitions": {topic.name: topic.partitions for topic in TOPICS.values()},
        "partitions of keys in Kafka, of 8": _kafka_partitions(keys, 8),
    }


def _kafka_partitions(keys: list[bytes], count: int) -> list[int]:
    return [KafkaProducer.DEFAULT_CONFIG["partitioner"].partition("topic", key, key, b"", b"", _Cluster(count)) for key in keys]


class _Cluster:
    """What the partitioner asks for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def topics(self) -> set[str]:
        return {"topic"}

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return set(range(self._count))

    available_partitions_for_topic = partitions_for_topic
