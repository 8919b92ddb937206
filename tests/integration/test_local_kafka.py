"""The local Kafka is a real one: it keeps what was acknowledged, and survives the death of a node."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from runherald.deploy.local_kafka import KafkaUnavailable, LocalKafka
from runherald.records import Outgoing
from runherald.streams.kafka_offsets import KafkaOffsets
from runherald.streams.log import open_log
from runherald.streams.topic_admin import create_topics
from runherald.topics import EVENTS
from tests.drills.partition_moves import move_all
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


def test_one_of_three_nodes_may_be_away(tmp_path: Path) -> None:
    broker = LocalKafka(tmp_path, nodes=3)
    try:
        broker.start()
    except KafkaUnavailable as error:
        missing(f"no Kafka: {error}")
    try:
        create_topics(broker.url)
        produce(broker, 10)
        broker.kill(1)
        produce(broker, 10)
        broker.restart(1)
        assert count(broker) == 20
        with closing(KafkaOffsets(broker.bootstrap.split(","))) as offsets:
            assert sum(offsets.end([EVENTS]).values()) == 20
            # Every partition has another leader now than the connection knows of.
            move_all(broker.bootstrap, 0.3)
            assert sum(offsets.end([EVENTS]).values()) == 20
            groups = [f"group-{number}" for number in range(9)]
            for group in groups:
                assert offsets.committed(group, [EVENTS]) == {}
            # A third of the groups has another coordinator now than the connection knows of.
            broker.kill(2)
            for group in groups:
                assert offsets.committed(group, [EVENTS]) == {}
    finally:
        broker.stop()


def test_topics_are_made_once(kafka: LocalKafka) -> None:
    create_topics(kafka.url)
    assert create_topics(kafka.url) == []


def produce(broker: LocalKafka, records: int) -> None:
    log = open_log(broker.url)
    log.append([Outgoing(EVENTS, b"run", str(number).encode()) for number in range(records)])
    log.close()


def count(broker: LocalKafka) -> int:
    log = open_log(broker.url)
    try:
        return sum(log.end_offsets([EVENTS]).values())
    finally:
        log.close()
