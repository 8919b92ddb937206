"""Rows of `run_state` as readers see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from runherald.api import RunView
from runherald.clock import EPOCH
from runherald.events import ErrorEnvelope, RootError
from runherald.state import RunState
from runherald.status import TERMINAL

LIST_COLUMNS = (
    "run_id, workspace, experiment_name, status, display_name, description, attempt, revision, cause, message, error_code, error_message,"
    " claimed, parent_run_id, root_run_id, run_type, compute_target, user, script_name, created_time, start_time, end_time, last_seen,"
    " tags, flags, properties, params, life"
)
"""What a list shows of a run. The state itself is left out: a traceback may be 64 KB."""

_NAMES = [name.strip() for name in LIST_COLUMNS.split(",")]


def view_of_state(state: RunState, now: datetime) -> RunView:
    """Return all that is known of a run."""
    header = state.header
    return RunView(
        run_id=state.run_id,
        workspace=state.workspace,
        experiment_name=header.experiment_name,
        status=state.status or "",
        display_name=header.display_name,
        description=header.description,
        attempt=state.attempt,
        revision=state.revision,
        cause=state.cause or "",
        message=state.message,
        error=state.error,
        evidence=state.evidence,
        claimed=state.claimed_from is not None,
        parent_run_id=header.parent_run_id,
        root_run_id=header.root_run_id,
        run_type=header.run_type,
        compute_target=header.compute_target,
        user=header.user,
        script_name=header.script_name,
        created_time=header.created_time,
        start_time=state.start_time,
        end_time=state.end_time,
        last_seen=state.last_seen,
        duration_seconds=_duration(state.start_time, state.end_time, state.status or "", now),
        tags=header.tags,
        properties=header.properties,
        params=state.params,
        path=list(state.path),
        life=state.life,
    )


def view_of_row(row: Sequence[Any], now: datetime) -> RunView:
    """Return what a list shows of a run, from a row of `LIST_COLUMNS`."""
    values = dict(zip(_NAMES, row, strict=True))
    code, message = values.pop("error_code"), values.pop("error_message")
    values["tags"] = {**values["tags"], **dict.fromkeys(values.pop("flags"))}
    for name in ("created_time", "start_time", "end_time", "last_seen"):
        values[name] = known_time(values[name])
    return RunView(
        **values,
        error=ErrorEnvelope(error=RootError(code=code, message=message)) if code or message else None,
        duration_seconds=_duration(values["start_time"], values["end_time"], values["status"], now),
    )


def known_time(moment: datetime) -> datetime | None:
    """Return a time of a table, or None where the table says 1970 for "not known"."""
    return None if moment == EPOCH else moment


def _duration(start: datetime | None, end: datetime | None, status: str, now: datetime) -> float | None:
    if start is None or (end is None and status in TERMINAL):
        return None
    return max(0.0, ((end or now) - start).total_seconds())
