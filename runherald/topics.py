"""The topics of the log: names, what goes where, and how each is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from msgspec import Struct

EVENTS = "runherald.events"
METRICS = "runherald.metrics"
LOGS = "runherald.logs"
STATUS = "runherald.status"
ALERTS = "runherald.alerts"
DEAD_LETTERS = "runherald.dead-letters"


class Topic(Struct, frozen=True, kw_only=True):
    """How one topic is kept. The key is the run id everywhere, so that a run's records stay in one partition, in order.

    The number of partitions is fixed for a topic's life: another number would send a run's later events to another partition.
    """

    name: str
    partitions: int
    retention: timedelta
    max_message_bytes: int = 1_048_576


TOPICS: Mapping[str, Topic] = MappingProxyType(
    {
        topic.name: topic
        for topic in (
            Topic(name=EVENTS, partitions=8, retention=timedelta(days=30)),
            Topic(name=METRICS, partitions=8, retention=timedelta(days=7)),
            Topic(name=LOGS, partitions=8, retention=timedelta(days=7)),
            Topic(name=STATUS, partitions=8, retention=timedelta(days=30)),
            Topic(name=ALERTS, partitions=4, retention=timedelta(days=30)),
            Topic(name=DEAD_LETTERS, partitions=1, retention=timedelta(days=30)),
        )
    }
)

_TOPIC_OF_TYPE = MappingProxyType(
    {
        "AmlRunMetricEvent": METRICS,
        "AmlRunLogEvent": LOGS,
    }
)


def topic_of(event_type: str) -> str:
    """Return the topic where a producer's event of this type goes; unknown types go to the events."""
    return _TOPIC_OF_TYPE.get(event_type, EVENTS)
