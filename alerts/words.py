"""Statuses and causes in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from runherald.status import Cause, Status

CAUSES: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.USER: "by a user",
        Cause.RULE: "by a rule",
        Cause.PREEMPTION: "pre-empted",
        Cause.TIME_LIMIT: "time limit",
        Cause.OUT_OF_MEMORY: "out of memory",
        Cause.NODE_LOST: "node lost",
        Cause.CODE_ERROR: "error in the code",
        Cause.LOST_CONTACT: "lost contact",
        Cause.UNKNOWN: "cause not known",
    }
)

STATUSES: Mapping[Status, str] = MappingProxyType(
    {
        Status.NOT_STARTED: "has not started",
        Status.STARTING: "is starting",
        Status.PROVISIONING: "is getting its machine",
        Status.PREPARING: "is being prepared",
        Status.QUEUED: "is queued",
        Status.RUNNING: "is running",
        Status.FINALIZING: "is finishing up",
        Status.CANCEL_REQUESTED: "was asked to stop",
        Status.COMPLETED: "completed",
        Status.FAILED: "failed",
        Status.CANCELED: "was cancelled",
        Status.NOT_RESPONDING: "is not responding",
        Status.PAUSED: "is paused",
    }
)

SEVERITIES = ("critical", "error", "warning", "informational", "verbose")
"""By number."""
