"""The names of kafka-python that are used here.

The package has no types, and the stubs that type checkers bring along describe version 2: here the names become `Any`, once.
"""

from __future__ import annotations

from typing import Any

import kafka  # type: ignore[import-untyped]
import kafka.errors  # type: ignore[import-untyped]
import kafka.structs  # type: ignore[import-untyped]

_kafka: Any = kafka

ConsumerRebalanceListener: Any = _kafka.ConsumerRebalanceListener
KafkaAdminClient: Any = _kafka.KafkaAdminClient
KafkaConsumer: Any = _kafka.KafkaConsumer
KafkaProducer: Any = _kafka.KafkaProducer
KafkaPartition: Any = _kafka.TopicPartition
OffsetAndMetadata: Any = _kafka.structs.OffsetAndMetadata

KafkaError: type[Exception] = _kafka.errors.KafkaError
KafkaTimeoutError: type[Exception] = _kafka.errors.KafkaTimeoutError
TopicAlreadyExistsError: type[Exception] = _kafka.errors.TopicAlreadyExistsError
UnknownTopicOrPartitionError: type[Exception] = _kafka.errors.UnknownTopicOrPartitionError

METADATA_SECONDS = 5.0
"""How old what a member of a group knows of the topics' partitions may be. A broker that has just started, or has not heard of a topic yet,
answers without it; a leader of the group that shares out what it knows then leaves every member without partitions until it asks again,
which kafka-python and aiokafka do after five minutes if nobody says otherwise."""

BROKER_CHANGES: tuple[type[Exception], ...] = (
    _kafka.errors.KafkaConnectionError,
    _kafka.errors.CoordinatorLoadInProgressError,
    _kafka.errors.CoordinatorNotAvailableError,
    _kafka.errors.NotCoordinatorError,
)
"""What a question fails with when a broker has just gone, or brokers have just begun: another one knows the answer, now or soon."""

STALE_PLACES: tuple[type[Exception], ...] = (
    _kafka.errors.KafkaConnectionError,
    _kafka.errors.KafkaTimeoutError,
    _kafka.errors.NodeNotReadyError,
    _kafka.errors.NotCoordinatorError,
)
"""What a question fails with, for ever, when a client asks whom it remembers: the broker that led a partition before, or that coordinated a
group (kafka-python 3.0.12 keeps both). A fresh client asks who does so now."""

STALE_MEMBER: tuple[type[Exception], ...] = (
    _kafka.errors.CommitFailedError,
    _kafka.errors.IllegalGenerationError,
    _kafka.errors.RebalanceInProgressError,
    _kafka.errors.UnknownMemberIdError,
)
"""What a commit fails with when the group has gone on without its sender."""
