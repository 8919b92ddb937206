"""Kafka alone: topics as they are said, brokers that are away."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Protocol
from uuid import uuid4

import pytest

from runherald.errors import SettingsError, Unreachable
from runherald.records import TopicPartition
from runherald.streams.errors import TopicsDiffer
from runherald.streams.kafka_clients import KafkaAdminClient
from runherald.streams.kafka_log import KafkaLog
from runherald.streams.log import bootstrap_servers, open_log
from runherald.streams.topic_admin import create_topics, topic_settings
from runherald.topics import TOPICS, Topic

pytestmark = pytest.mark.kafka


class Cluster(Protocol):
    """What is used of the local Kafka."""

    url: str


def named(partitions: int = 3) -> Topic:
    return Topic(name=f"runherald.test-{uuid4().hex}", partitions=partitions, retention=timedelta(days=3))


def test_topics_are_made_once_with_their_partitions_and_settings(kafka: Cluster) -> None:
    topics = [named(3), named(1)]
    assert create_topics(kafka.url, topics=topics) == [topic.name for topic in topics]
    assert create_topics(kafka.url, topics=topics) == []
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers(kafka.url))
    try:
        described = {each["name"]: each for each in admin.describe_topics([topic.name for topic in topics])}
    finally:
        admin.close()
    assert [len(described[topic.name]["partitions"]) for topic in topics] == [3, 1]


def test_all_settings_that_matter_are_said() -> None:
    assert topic_settings(TOPICS["runherald.events"], replicas=3) == {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * 86_400_000),
        "retention.bytes": "-1",
        "max.message.bytes": str(1_048_576 + 65_536),
        "min.insync.replicas": "2",
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "LogAppendTime",
        "compression.type": "producer",
    }
    assert topic_settings(TOPICS["runherald.events"], replicas=1)["min.insync.replicas"] == "1"


def test_another_number_of_partitions_is_refused_and_nothing_is_made(kafka: Cluster) -> None:
    there = named(3)
    create_topics(kafka.url, topics=[there])
    wanted = [named(2), Topic(name=there.name, partitions=8, retention=there.retention)]
    with pytest.raises(TopicsDiffer, match=f"{there.name} has 3 instead of 8"):
        create_topics(kafka.url, topics=wanted)
    assert create_topics(kafka.url, topics=wanted[:1]) == [wanted[0].name]


def test_the_log_of_a_kafka_url_is_kafkas(kafka: Cluster) -> None:
    topic = named(2)
    create_topics(kafka.url, topics=[topic])
    log = open_log(kafka.url)
    try:
        assert isinstance(log, KafkaLog)
        assert log.end_offsets([topic.name]) == {TopicPartition(topic.name, 0): 0, TopicPartition(topic.name, 1): 0}
    finally:
        log.close()


@pytest.mark.parametrize("what", [open_log, create_topics])
def test_a_broker_that_is_away_is_said_within_a_bound(what: object) -> None:
    assert callable(what)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"Kafka at 127\.0\.0\.1:9 does not answer .* is it running, and is the address right\?"):
        what("kafka://127.0.0.1:9")
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("url", ["kafka://", "kafka://host", "kafka://host:0", "kafka://u:secret@host:1", "http://host:1", "kafka://a:1,b"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="neither `embedded` nor of the form") as refused:
        open_log(url)
    assert "secret" not in str(refused.value)


def test_the_embedded_log_needs_a_folder() -> None:
    with pytest.raises(SettingsError, match="set `data`"):
        open_log("embedded")
