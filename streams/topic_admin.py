"""Making the topics on Kafka, as `runherald.topics` says them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from runherald.streams.errors import TopicsDiffer
from runherald.streams.kafka_clients import KafkaAdminClient, TopicAlreadyExistsError
from runherald.streams.kafka_offsets import BOOTSTRAP_SECONDS, reaching
from runherald.streams.log import bootstrap_servers
from runherald.topics import TOPICS, Topic

REPLICAS = 3
_BATCH_OVERHEAD = 65_536
"""Kafka bounds a batch, we bound a record: room for the batch's and the record's own fields."""


def create_topics(url: str, *, replication: int | None = None, topics: Iterable[Topic] = TOPICS.values()) -> list[str]:
    """Make the topics that are missing and return their names; those that are there stay as they are.

    `replication` is three, or the number of brokers where there are fewer.

    Raises:
        TopicsDiffer: a topic is there with another number of partitions; nothing was made.
        Unreachable: no broker answers.
    """
    servers = bootstrap_servers(url)
    with reaching(servers):
        admin = KafkaAdminClient(bootstrap_servers=servers, bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1000, client_id="runherald-topics")
        try:
            there = {each["name"]: len(each["partitions"]) for each in admin.describe_topics()}
            wanted = list(topics)
            _refuse_differences(wanted, there)
            missing = [topic for topic in wanted if topic.name not in there]
            if missing:
                replicas = replication or min(REPLICAS, len(admin.describe_cluster()["brokers"]))
                _create(admin, missing, replicas)
        finally:
            admin.close()
    return [topic.name for topic in missing]


def topic_settings(topic: Topic, replicas: int) -> dict[str, str]:
    """Return Kafka's settings of a topic, all that matter said explicitly (https://kafka.apache.org/documentation/#topicconfigs)."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(topic.retention // timedelta(milliseconds=1)),
        "retention.bytes": "-1",
        "max.message.bytes": str(topic.max_message_bytes + _BATCH_OVERHEAD),
        # One broker of three may be away and writing goes on; what was acknowledged is on two.
        "min.insync.replicas": str(max(1, replicas - 1)),
        "unclean.leader.election.enable": "false",
        # Silence is measured by arrival: producers' clocks differ.
        "message.timestamp.type": "LogAppendTime",
        "compression.type": "producer",
    }


def _create(admin: Any, topics: Iterable[Topic], replicas: int) -> None:
    try:
        admin.create_topics(
            {
                topic.name: {
                    "num_partitions": topic.partitions,
                    "replication_factor": replicas,
                    "configs": topic_settings(topic, replicas),
                }
                for topic in topics
            },
            wait_for_metadata=True,
        )
    except TopicAlreadyExistsError:
        # Somebody else makes them at this moment, from the same table.
        return


def _refuse_differences(topics: Iterable[Topic], there: Mapping[str, int]) -> None:
    different = [
        f"{topic.name} has {there[topic.name]} instead of {topic.partitions}"
        for topic in topics
        if there.get(topic.name, topic.partitions) != topic.partitions
    ]
    if different:
        raise TopicsDiffer(
            f"partitions: {'; '.join(different)}. The number cannot be changed: a run's later events would go to another partition."
            " Use another cluster, or make the topics anew"
        )
