"""Statuses and causes in words for people, and the look of a status: the same on pages and in notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from runherald.status import Cause, Status

KINDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys((Status.NOT_STARTED, Status.STARTING, Status.PROVISIONING, Status.PREPARING, Status.QUEUED), "waiting"),
        **dict.fromkeys((Status.RUNNING, Status.FINALIZING), "running"),
        Status.COMPLETED: "completed",
        Status.FAILED: "failed",
        **dict.fromkeys((Status.CANCEL_REQUESTED, Status.CANCELED), "canceled"),
        Status.NOT_RESPONDING: "silent",
        Status.PAUSED: "paused",
    }
)
"""The look of a status: what shares one has the same colour. The word always stands beside it."""

_NAMES: Mapping[str, str] = {
    Status.NOT_STARTED: "Not started",
    Status.CANCEL_REQUESTED: "Cancel requested",
    Status.NOT_RESPONDING: "Not responding",
}
_CAUSES: Mapping[str, str] = {
    Cause.USER: "a user asked for it",
    Cause.RULE: "a rule asked for it",
    Cause.PREEMPTION: "the machine was pre-empted",
    Cause.TIME_LIMIT: "it ran into its time limit",
    Cause.OUT_OF_MEMORY: "it ran out of memory",
    Cause.NODE_LOST: "its machine was lost",
    Cause.CODE_ERROR: "an error in its code",
    Cause.LOST_CONTACT: "contact was lost",
    Cause.UNKNOWN: "the cause is not known",
}


def status_kind(status: str) -> str:
    """Return the look of a status."""
    return KINDS.get(status, "waiting")


def status_name(status: str) -> str:
    """Return a status as people read it."""
    return _NAMES.get(status, status) if status else "Unknown"


def cause_in_words(cause: str) -> str:
    """Return why a run has the status it has, or an empty text."""
    return _CAUSES.get(cause, cause.replace("_", " ")) if cause else ""
