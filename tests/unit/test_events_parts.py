"""Times, topics and dead letters: the small things that all parts rely on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runherald.clock import EPOCH, from_micros, micros_now, system_clock, to_micros
from runherald.dead_letters import MAX_REASON, dead_letter
from runherald.records import Record, TopicPartition
from runherald.topics import DEAD_LETTERS, EVENTS, LOGS, METRICS, TOPICS, topic_of


@given(st.integers(0, 4_102_444_800_000_000))
def test_microseconds_are_exact(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros


def test_microseconds_are_of_utc() -> None:
    moment = datetime(1970, 1, 1, 2, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    assert to_micros(moment) == 1
    assert from_micros(0) == EPOCH
    assert system_clock().tzinfo is UTC
    assert abs(micros_now() - to_micros(system_clock())) < 60_000_000


@pytest.mark.parametrize(
    ("kind", "topic"), [("AmlRunMetricEvent", METRICS), ("AmlRunLogEvent", LOGS), ("AmlRunEvent", EVENTS), ("AmlRunDanceEvent", EVENTS)]
)
def test_where_events_go(kind: str, topic: str) -> None:
    assert topic_of(kind) == topic


def test_topics_that_runs_share_have_as_many_partitions() -> None:
    """Processors of one run's topics share nothing but the run id, whose partition is the same everywhere."""
    assert TOPICS.keys() == {topic.name for topic in TOPICS.values()}
    assert all(topic.partitions >= 1 and topic.retention >= timedelta(days=1) for topic in TOPICS.values())
    assert TOPICS[EVENTS].retention >= TOPICS[METRICS].retention


def test_a_dead_letter_keeps_the_record_and_says_where_it_was() -> None:
    record = Record(EVENTS, 3, 42, 1_795_262_400_000, b"run", b"\xff not JSON", (("ce_id", b"x"),))
    letter = dead_letter(record, processor="history", reason="data: is no JSON " + "x" * 5_000)
    assert record.topic_partition == TopicPartition(EVENTS, 3)
    assert (letter.topic, letter.key, letter.value) == (DEAD_LETTERS, b"run", record.value)
    headers = dict(letter.headers)
    assert len(headers.pop("rh_reason")) == MAX_REASON
    assert headers == {
        "ce_id": b"x",
        "rh_origin_topic": EVENTS.encode(),
        "rh_origin_partition": b"3",
        "rh_origin_offset": b"42",
        "rh_origin_timestamp": b"1795262400000",
        "rh_processor": b"history",
    }
