"""Full reassignment: every partition of our topics gets its replicas in another order, so that another broker leads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runherald.streams.kafka_clients import KafkaAdminClient, KafkaPartition
from runherald.topics import TOPICS
from tests.server_process import wait_until

BOUND_SECONDS = 60.0
_PREFERRED = 0


def move_all(bootstrap: str, draw: float) -> None:
    """Move all partitions, elect the leaders anew, and return when it is done.

    Raises:
        AssertionError: it was not done in `BOUND_SECONDS`.
    """
    admin: Any = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        moves = turned(admin.describe_topics(list(TOPICS)), draw)
        refused = {place: error for place, error in admin.alter_partition_reassignments(moves).items() if error is not None}
        assert not refused, f"Kafka refused to move {refused}"
        wait_until("the partitions to have moved", lambda: not admin.list_partition_reassignments(), BOUND_SECONDS)
        numbers: dict[str, list[int]] = {}
        for place in moves:
            numbers.setdefault(place.topic, []).append(place.partition)
        # Who has just come back leads again only when it has caught up: then it stays with the one that leads.
        admin.elect_leaders(_PREFERRED, numbers, raise_errors=False)
    finally:
        admin.close()


def turned(topics: Sequence[Mapping[str, Any]], draw: float) -> dict[Any, list[int]]:
    """Return the replicas of each partition turned by one or more places, as many as chance says, and never none."""
    moves: dict[Any, list[int]] = {}
    for topic in topics:
        for partition in topic["partitions"]:
            replicas = sorted(partition["replica_nodes"])
            leader = replicas.index(partition["replica_nodes"][0])
            first = (leader + 1 + int(draw * (len(replicas) - 1))) % len(replicas)
            moves[KafkaPartition(topic["name"], partition["partition_index"])] = replicas[first:] + replicas[:first]
    return moves
