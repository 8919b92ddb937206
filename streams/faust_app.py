"""The Faust app of a processor: the one place where an app is made, every setting that matters said.

Faust is used for membership, fetching and committing alone. What is not used, and why, is in docs/decisions/faust.md; a test bans it
by name (tests/unit/test_streams_bans.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faust
from mode.supervisors import CrashingSupervisor

SESSION_SECONDS = 15.0
"""A worker that is not heard of for so long loses its partitions."""


def make_app(group: str, servers: Sequence[str], datadir: Path, *, session_seconds: float = SESSION_SECONDS) -> Any:
    """Return an app that reads as a member of the group. `datadir` must exist; nothing is kept in it."""
    return faust.App(
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
        stream_buffer_maxsize=4_096,
        stream_publish_on_commit=False,
        consumer_auto_offset_reset="earliest",
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
