"""The Faust app of a processor: the one place where an app is made, every setting that matters said.

Faust is used for membership, fetching and committing alone. What is not used, and why, is in docs/decisions/faust.md; a test bans it
by name (tests/unit/test_streams_bans.py).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

import faust
from mode.supervisors import CrashingSupervisor

from runherald.streams.faust_consumer import StillConsumer
from runherald.streams.faust_queue import MAX_BYTES, MAX_EVENTS, FaustQueue
from runherald.streams.fill import Fill
from runherald.streams.kafka_clients import METADATA_SECONDS

SESSION_SECONDS = 8.0
"""A worker that is not heard of for so long loses its partitions: five heartbeats, and half of the 15 s in which others are to go on in its
place; with 10 they took up to 15.5 (docs/drills.md)."""

PARTITION_FETCH_BYTES = 1024 * 1024
"""What is fetched of a partition ahead of the queue, as it came over the wire: compressed, and at least one batch."""


class BoundedApp(faust.App):
    """An app whose queues are bounded by bytes as well, and whose consumer is still while partitions change hands."""

    # Faust would name it after this module, and its detail would pass for ours.
    logger = logging.getLogger("faust.app")

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._queues: WeakSet[FaustQueue] = WeakSet()
        super().__init__(*arguments, **settings)

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> FaustQueue:  # noqa: N802  # Faust's name
        """Return a queue; Faust makes each of its own by this."""
        queue = FaustQueue(maxsize or MAX_EVENTS, flow_control=self.flow_control, clear_on_resume=clear_on_resume)
        self._queues.add(queue)
        return queue

    def _new_transport(self) -> Any:
        transport: Any = super()._new_transport()
        transport.Consumer = StillConsumer
        return transport

    def fill(self) -> Fill:
        """Return how full the queues are. They are one stream's: what one of them holds another does not."""
        queues = tuple(self._queues)
        return Fill("faust", sum(queue.qsize() for queue in queues), MAX_EVENTS, sum(queue.size for queue in queues), MAX_BYTES)


def make_app(group: str, servers: Sequence[str], datadir: Path, *, session_seconds: float = SESSION_SECONDS) -> Any:
    """Return an app that reads as a member of the group. `datadir` must exist; nothing is kept in it."""
    return BoundedApp(
        group,
        broker=[f"kafka://{server}" for server in servers],
        version=1,
        autodiscover=False,
        datadir=str(datadir),
        # Bytes in, bytes out: decoding is ours, and a record that cannot be decoded is a dead letter, not a crash.
        key_serializer="raw",
        value_serializer="raw",
        # An agent that fails ends the worker: restarting it would go on with the next record, and commit past the failed one.
        agent_supervisor=CrashingSupervisor,
        processing_guarantee="at_least_once",
        # What is not acknowledged comes again, so neither a stop nor a rebalance waits for it.
        stream_wait_empty=False,
        stream_buffer_maxsize=MAX_EVENTS,
        consumer_max_fetch_size=PARTITION_FETCH_BYTES,
        stream_publish_on_commit=False,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=int(METADATA_SECONDS * 1000),
        # Commits are made after each flush; the timer only repeats what was acknowledged.
        broker_commit_every=1_000_000,
        broker_commit_interval=2.0,
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=session_seconds / 5,
        broker_rebalance_timeout=60.0,
        broker_request_timeout=40.0,
        broker_max_poll_interval=600.0,
        broker_max_poll_records=2_000,
        producer_acks=-1,
        producer_linger=0.0,
        producer_max_request_size=2 * 1024 * 1024,
        producer_request_timeout=40.0,
        # Topics are made by `runherald topics`, with their retention said.
        topic_allow_declare=False,
        topic_disable_leader=True,
        # No tables: without them the assignor is round robin.
        table_standby_replicas=0,
        store="memory://",
        cache="memory://",
        web_enabled=False,
        logging_config=None,
        worker_redirect_stdouts=False,
    )
