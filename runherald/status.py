"""The statuses of a run and which may follow which.

Names are Azure ML's. Azure publishes no table of transitions: this one is built from what its clients and documents show. A claim of
the watcher (`NotResponding`) is outside the order: it may be made of any run that has not ended, and is withdrawn when the run speaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """What a run is doing."""

    NOT_STARTED = "NotStarted"
    STARTING = "Starting"
    PROVISIONING = "Provisioning"
    PREPARING = "Preparing"
    QUEUED = "Queued"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    CANCEL_REQUESTED = "CancelRequested"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"
    NOT_RESPONDING = "NotResponding"
    PAUSED = "Paused"


class Cause(StrEnum):
    """Why a run has the status it has."""

    USER = "user"
    RULE = "rule"
    PREEMPTION = "preemption"
    TIME_LIMIT = "time_limit"
    OUT_OF_MEMORY = "out_of_memory"
    NODE_LOST = "node_lost"
    CODE_ERROR = "code_error"
    LOST_CONTACT = "lost_contact"
    UNKNOWN = "unknown"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELED})

CLAIMS = frozenset({Status.NOT_RESPONDING, Status.FAILED, Status.CANCELED})
"""What the watcher may claim of a run that is silent."""

_BEFORE_THE_CODE_RUNS = {Status.FAILED, Status.CANCEL_REQUESTED, Status.CANCELED}

FOLLOWERS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.NOT_STARTED: frozenset(
            {Status.STARTING, Status.PROVISIONING, Status.PREPARING, Status.QUEUED, Status.RUNNING, *_BEFORE_THE_CODE_RUNS}
        ),
        Status.STARTING: frozenset({Status.PROVISIONING, Status.PREPARING, Status.QUEUED, Status.RUNNING, *_BEFORE_THE_CODE_RUNS}),
        # Image build and queueing come in either order, depending on the target.
        Status.PROVISIONING: frozenset({Status.PREPARING, Status.QUEUED, Status.RUNNING, *_BEFORE_THE_CODE_RUNS}),
        Status.PREPARING: frozenset({Status.PROVISIONING, Status.QUEUED, Status.RUNNING, *_BEFORE_THE_CODE_RUNS}),
        Status.QUEUED: frozenset({Status.PROVISIONING, Status.PREPARING, Status.RUNNING, Status.PAUSED, *_BEFORE_THE_CODE_RUNS}),
        Status.RUNNING: frozenset(
            {
                Status.FINALIZING,
                Status.COMPLETED,
                Status.FAILED,
                Status.CANCEL_REQUESTED,
                Status.CANCELED,
                Status.NOT_RESPONDING,
                Status.PAUSED,
                Status.QUEUED,  # pre-empted
            }
        ),
        # The user's code is done: a cancellation comes too late (Azure refuses it as well).
        Status.FINALIZING: frozenset({Status.COMPLETED, Status.FAILED}),
        Status.CANCEL_REQUESTED: frozenset({Status.CANCELED, Status.FINALIZING, Status.COMPLETED, Status.FAILED}),
        Status.NOT_RESPONDING: frozenset({Status.CANCEL_REQUESTED, Status.COMPLETED, Status.FAILED, Status.CANCELED}),
        Status.PAUSED: frozenset({Status.RUNNING, Status.QUEUED, *_BEFORE_THE_CODE_RUNS}),
        Status.COMPLETED: frozenset(),
        Status.FAILED: frozenset(),
        Status.CANCELED: frozenset(),
    }
)


def may_follow(status: Status, following: Status) -> bool:
    """Say whether a run of one status may report the other next."""
    return following in FOLLOWERS[status]
