"""What holds for every log, embedded or Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec import Struct

from runherald.records import Outgoing, Record, TopicPartition
from runherald.streams.embedded_log import EmbeddedLog
from runherald.streams.errors import GroupTaken, LogClosed, RecordTooLarge, UnknownTopic
from runherald.streams.kafka_log import KafkaLog
from runherald.streams.log import Consumer, Log, bootstrap_servers
from runherald.streams.topic_admin import create_topics
from runherald.topics import Topic

WAIT = 60.0
PARTITIONS = 3


class LogCase(Struct, frozen=True):
    """A log to test: which it is, its topics, and how another handle on it is opened."""

    kind: str
    log: Log
    topic: str
    other: str


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogCase]:
    topics = [
        Topic(name=f"runherald.test-{uuid4().hex}", partitions=PARTITIONS, retention=timedelta(days=1)),
        Topic(name=f"runherald.test-{uuid4().hex}", partitions=1, retention=timedelta(days=1)),
    ]
    log: Log
    if request.param == "embedded":
        log = EmbeddedLog(tmp_path / "log", topics=topics, partitions=PARTITIONS)
    else:
        url = request.getfixturevalue("kafka").url
        create_topics(url, topics=topics)
        log = KafkaLog(bootstrap_servers(url))
    yield LogCase(kind=request.param, log=log, topic=topics[0].name, other=topics[1].name)
    log.close()


class Seen:
    """A consumer's callbacks, noted."""

    def __init__(self) -> None:
        self.partitions: set[TopicPartition] = set()
        self.revoked: list[TopicPartition] = []

    def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.partitions |= set(partitions)

    def on_revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.partitions -= set(partitions)
        self.revoked += partitions


def join(case: LogCase, group: str, seen: Seen | None = None, topics: Collection[str] = ()) -> Consumer:
    noted = seen or Seen()
    return case.log.consumer(group, topics or [case.topic], on_assigned=noted.on_assigned, on_revoked=noted.on_revoked)


def read(consumer: Consumer, count: int) -> list[Record]:
    """Read until `count` records have come; fewer after the time limit."""
    records: list[Record] = []

    def enough() -> bool:
        records.extend(consumer.poll(1_000, 0.2))
        return len(records) >= count

    until(enough)
    return records


def read_as(case: LogCase, group: str, count: int, topics: Collection[str] = ()) -> list[Record]:
    """Read as a new consumer of a group, which leaves afterwards and commits nothing."""
    consumer = join(case, group, topics=topics)
    records = read(consumer, count)
    consumer.close()
    return records


def until(done: Callable[[], bool], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "the condition did not come about in time"


def numbered(topic: str, key: str, numbers: Sequence[int]) -> list[Outgoing]:
    return [Outgoing(topic, key.encode(), f"{key}:{number}".encode()) for number in numbers]


def next_offsets(records: Sequence[Record]) -> dict[TopicPartition, int]:
    return {record.topic_partition: record.offset + 1 for record in records}


def test_records_of_a_key_stand_in_one_partition_in_the_order_they_were_appended(case: LogCase) -> None:
    keys = [f"run-{index}" for index in range(12)]
    for number in range(5):
        case.log.append([record for key in keys for record in numbered(case.topic, key, [number])])
    records = read_as(case, "order", 60)
    for key in keys:
        mine = [record for record in records if record.key == key.encode()]
        assert [record.value for record in mine] == [f"{key}:{number}".encode() for number in range(5)]
        assert len({record.partition for record in mine}) == 1
    assert len({record.partition for record in records}) == PARTITIONS


def test_append_says_where_each_record_stands(case: LogCase) -> None:
    positions = case.log.append(numbered(case.topic, "a", range(4)) + numbered(case.topic, "b", range(4)))
    records = {(record.partition, record.offset): record.value for record in read_as(case, "positions", 8)}
    said = [records[position.partition, position.offset] for position in positions]
    assert said == [f"{key}:{number}".encode() for key in "ab" for number in range(4)]


def test_offsets_of_a_partition_are_contiguous_from_zero_to_its_end(case: LogCase) -> None:
    for number in range(10):
        case.log.append([record for key in "abcdefgh" for record in numbered(case.topic, key, [number])])
    records = read_as(case, "contiguous", 80)
    for partition, end in case.log.end_offsets([case.topic]).items():
        assert [record.offset for record in records if record.topic_partition == partition] == list(range(end))
    assert set(case.log.begin_offsets([case.topic]).values()) == {0}
    assert sum(case.log.end_offsets([case.topic]).values()) == 80


def test_the_timestamp_is_when_the_log_took_the_record(case: LogCase) -> None:
    before = time.time() * 1000
    case.log.append(numbered(case.topic, "a", [0]))
    after = time.time() * 1000
    (record,) = read_as(case, "timestamp", 1)
    assert before - 1 <= record.timestamp <= after + 1


def test_the_time_of_an_offset_is_when_its_record_was_appended(case: LogCase) -> None:
    first = case.log.append([*numbered(case.topic, "a", [0]), *numbered(case.other, "a", [0])])
    between = datetime.now(UTC) + timedelta(milliseconds=5)
    until(lambda: datetime.now(UTC) > between + timedelta(milliseconds=5))
    case.log.append(numbered(case.topic, "a", [1, 2]))
    at, other = (TopicPartition(position.topic, position.partition) for position in first)
    early = case.log.times({at: 0, other: 0})
    assert set(early) == {at, other}
    assert max(early.values()) < between
    assert min(early.values()) > between - timedelta(minutes=1)
    assert between < case.log.times({at: 1})[at] <= datetime.now(UTC)
    for partition in case.log.end_offsets([case.topic]):
        if partition != at:
            assert case.log.times({at: 0, partition: 0}).keys() == {at}, "an empty partition has no times"
    assert case.log.times({at: 3, other: 1}) == {}, "at its end there is no record"
    assert case.log.times({}) == {}


def test_a_time_is_found_behind_large_records_of_other_partitions(case: LogCase) -> None:
    keys = "abcdefgh"
    case.log.append([Outgoing(case.topic, key.encode(), key.encode() * 200_000) for key in keys])
    ends = case.log.end_offsets([case.topic])
    times = case.log.times(dict.fromkeys(ends, 0))
    assert set(times) == {partition for partition, end in ends.items() if end}
    assert len(times) == PARTITIONS


def test_headers_and_binary_values_come_back_as_they_were(case: LogCase) -> None:
    value = bytes(range(256))
    headers = (("ce_id", b"\x00\xff"), ("empty", b""), ("ce_id", b"again"), ("größe", b"1"))
    case.log.append([Outgoing(case.topic, b"\x00\xfe", value, headers), Outgoing(case.topic, b"\x00\xfe", b"")])
    first, second = read_as(case, "binary", 2)
    assert (first.key, first.value, first.headers) == (b"\x00\xfe", value, headers)
    assert (second.value, second.headers) == (b"", ())


def test_no_key_and_an_empty_key_are_kept_apart(case: LogCase) -> None:
    case.log.append([Outgoing(case.topic, None, b"none"), Outgoing(case.topic, b"", b"empty")])
    records = read_as(case, "keys", 2)
    assert {record.value: record.key for record in records} == {b"none": None, b"empty": b""}


def test_a_record_of_a_megabyte_is_taken(case: LogCase) -> None:
    case.log.append([Outgoing(case.topic, b"big", b"x" * 1_000_000), Outgoing(case.topic, b"big", b"after")])
    records = read_as(case, "big", 2)
    assert [len(record.value) for record in records] == [1_000_000, 5]


def test_a_record_above_the_bound_is_refused_with_all_that_came_with_it(case: LogCase) -> None:
    with pytest.raises(RecordTooLarge, match=f"'{case.topic}': a record of 1100001 bytes is above the bound of 1048576"):
        case.log.append([Outgoing(case.topic, b"k", b"small"), Outgoing(case.topic, b"k", b"x" * 1_100_000)])
    assert set(case.log.end_offsets([case.topic]).values()) == {0}


def test_a_topic_that_is_not_there_is_named(case: LogCase) -> None:
    with pytest.raises(UnknownTopic, match=r"topic 'runherald\.nowhere'"):
        case.log.append([Outgoing("runherald.nowhere", b"k", b"v")])
    with pytest.raises(UnknownTopic, match=r"topic 'runherald\.nowhere'"):
        join(case, "nowhere", topics=["runherald.nowhere"])


def test_a_group_goes_on_where_it_committed(case: LogCase) -> None:
    case.log.append(numbered(case.topic, "a", range(6)))
    consumer = join(case, "resume")
    records = read(consumer, 6)
    partition = records[0].topic_partition
    consumer.commit({partition: 4})
    consumer.close()
    assert case.log.committed("resume", [case.topic]) == {partition: 4}
    again = read_as(case, "resume", 2)
    assert [record.value for record in again] == [b"a:4", b"a:5"]


def test_what_was_read_and_not_committed_comes_again(case: LogCase) -> None:
    case.log.append(numbered(case.topic, "a", range(3)))
    for _ in range(2):
        consumer = join(case, "uncommitted")
        assert [record.value for record in read(consumer, 3)] == [b"a:0", b"a:1", b"a:2"]
        consumer.close()
    assert case.log.committed("uncommitted", [case.topic]) == {}


def test_groups_do_not_know_of_each_other(case: LogCase) -> None:
    case.log.append(numbered(case.topic, "a", range(3)))
    first, second = join(case, "first"), join(case, "second")
    records = read(first, 3)
    first.commit(next_offsets(records))
    assert [record.value for record in read(second, 3)] == [record.value for record in records]
    assert case.log.committed("second", [case.topic]) == {}
    first.close()
    second.close()


def test_a_consumer_may_read_several_topics(case: LogCase) -> None:
    case.log.append([*numbered(case.topic, "a", [0]), *numbered(case.other, "a", [0])])
    records = read_as(case, "topics", 2, topics=[case.topic, case.other])
    assert {record.topic for record in records} == {case.topic, case.other}


def test_partitions_are_told_of_before_their_first_record_and_when_they_are_given_up(case: LogCase) -> None:
    seen = Seen()
    case.log.append(numbered(case.topic, "a", [0]))
    consumer = join(case, "told", seen)
    assert not seen.partitions
    assert read(consumer, 1)[0].topic_partition in seen.partitions
    assert len(seen.partitions) == PARTITIONS
    consumer.close()
    assert not seen.partitions


def test_one_that_waits_is_woken_by_an_append(case: LogCase) -> None:
    consumer = join(case, "woken")
    read(consumer, 0)
    case.log.append(numbered(case.topic, "warm", [0]))
    read(consumer, 1)
    delays: list[float] = []
    for number in range(5):
        appended: list[float] = []

        def append(number: int = number, appended: list[float] = appended) -> None:
            case.log.append(numbered(case.topic, "a", [number]))
            appended.append(time.monotonic())

        timer = threading.Timer(0.05, append)
        timer.start()
        assert read(consumer, 1)
        arrived = time.monotonic()
        timer.join()
        delays.append(arrived - appended[0])
    consumer.close()
    assert min(delays) < (0.005 if case.kind == "embedded" else 0.1)


def test_many_threads_append_at_once(case: LogCase) -> None:
    threads = [
        threading.Thread(target=lambda key=f"t{index}": [case.log.append(numbered(case.topic, key, [n])) for n in range(20)])
        for index in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = read_as(case, "threads", 160)
    for index in range(8):
        mine = [record.value for record in records if record.key == f"t{index}".encode()]
        assert mine == [f"t{index}:{number}".encode() for number in range(20)]


def test_a_closed_log_takes_nothing(case: LogCase) -> None:
    case.log.close()
    with pytest.raises(LogClosed):
        case.log.append(numbered(case.topic, "a", [0]))


def test_partitions_are_handed_over_within_a_group(case: LogCase) -> None:
    """On Kafka, members share the partitions; the embedded log has one consumer for each group, and says so."""
    case.log.append([record for key in "abcdefgh" for record in numbered(case.topic, key, range(4))])
    seen, joined = Seen(), Seen()
    first = join(case, "handover", seen)
    read(first, 32)
    if case.kind == "embedded":
        with pytest.raises(GroupTaken, match="one for each group"):
            join(case, "handover", joined)
        first.close()
        return
    second = join(case, "handover", joined)
    taken: list[Record] = []

    def shared() -> bool:
        first.poll(100, 0.1)
        taken.extend(second.poll(100, 0.1))
        return bool(seen.partitions) and bool(joined.partitions) and len(seen.partitions | joined.partitions) == PARTITIONS

    until(shared)
    assert not seen.partitions & joined.partitions
    # Nothing was committed, so whoever gets a partition gets it from its beginning.

    def begun() -> bool:
        taken.extend(second.poll(100, 0.1))
        return {record.topic_partition for record in taken} >= joined.partitions

    until(begun)
    for partition in joined.partitions:
        assert next(record.offset for record in taken if record.topic_partition == partition) == 0
    first.close()
    until(lambda: bool(second.poll(100, 0.1)) or len(joined.partitions) == PARTITIONS)
    second.close()
