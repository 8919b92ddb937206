"""Who reads for a consumer group at this moment."""

from __future__ import annotations

from collections.abc import Collection

from runherald.streams.kafka_clients import KafkaAdminClient
from runherald.streams.kafka_offsets import BOOTSTRAP_SECONDS, reaching
from runherald.streams.log import KAFKA_SCHEME, bootstrap_servers


def running(log_url: str, groups: Collection[str]) -> dict[str, int]:
    """Return how many members each of the groups has that has any. The embedded log belongs to one process, which is this one: none.

    Raises:
        Unreachable: no broker answers.
    """
    if not log_url.startswith(KAFKA_SCHEME):
        return {}
    servers = bootstrap_servers(log_url)
    with reaching(servers):
        admin = KafkaAdminClient(bootstrap_servers=servers, bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1000, client_id="runherald-admin")
        try:
            described = admin.describe_groups(sorted(groups))
        finally:
            admin.close()
    members = {group: len(each["members"]) for group, each in described.items()}
    return {group: count for group, count in members.items() if count}
