"""The local Kafka is a real one: it keeps what was acknowledged, and survives the death of a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer

from runherald.deploy.local_kafka import KafkaUnavailable, LocalKafka
from runherald.streams.topic_admin import create_topics
from runherald.topics import EVENTS
from tests.fixtures.parts import missing

pytestmark = pytest.mark.kafka


def test_a_killed_node_comes_back_with_what_it_acknowledged(tmp_path: Path) -> None:
    broker = LocalKafka(tmp_path)
    try:
        broker.start()
    except KafkaUnavailable as error:
        missing(f"no Kafka: {error}")
    try:
        create_topics(broker.url)
        produce(broker, 100)
        broker.kill()
        broker.restart()
        assert count(broker) == 100
    finally:
        broker.stop()


def test_topics_are_made_once(kafka: LocalKafka) -> None:
    create_topics(kafka.url)
    assert create_topics(kafka.url) == []


def produce(broker: LocalKafka, records: int) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
    for number in range(records):
        producer.send(EVENTS, key=b"run", value=str(number).encode())
    producer.flush(30)
    producer.close()


def count(broker: LocalKafka) -> int:
    consumer = KafkaConsumer(
        EVENTS, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=8_000, bootstrap_timeout_ms=30_000
    )
    try:
        return sum(1 for _, record in zip(range(100), consumer, strict=False))
    finally:
        consumer.close()
