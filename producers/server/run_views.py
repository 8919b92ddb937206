"""Runs as the server shows them, in azureml-core's forms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from runherald.api import RunView
from runherald.errors import InvalidInput
from runherald.events import RunHeader
from runherald.status import Status

Wanted = str | Mapping[str, object] | None


class Matching(Struct, frozen=True, kw_only=True):
    """Which runs are meant: a key, or keys with values, in tags and properties; a type; a status. None means any."""

    tags: Wanted = None
    properties: Wanted = None
    run_type: str | None = None
    status: str | None = None

    @property
    def tag_parameter(self) -> str:
        """What the server can look for by itself: one tag, as `key` or `key=value`. Empty where there is none that can be said so."""
        if self.tags is None:
            return ""
        key, value = (self.tags, None) if isinstance(self.tags, str) else next(iter(self.tags.items()), ("", None))
        if not isinstance(key, str) or "=" in key:
            return ""
        return key if value is None else f"{key}={value}"

    def matches(self, view: RunView) -> bool:
        """Say whether a run is meant."""
        return (
            (self.status is None or view.status == self.status)
            and (self.run_type is None or view.run_type == self.run_type)
            and self.matches_tags(view.tags)
            and _has(view.properties, self.properties)
        )

    def matches_tags(self, tags: Mapping[str, str | None]) -> bool:
        """Say whether tags are those that are wanted."""
        return _has(tags, self.tags)


def matching(
    what: str, *, tags: Wanted = None, properties: Wanted = None, run_type: str | None = None, status: str | None = None
) -> Matching:
    """Return which runs are meant, as a caller says it; `what` begins each error.

    Raises:
        InvalidInput: tags or properties are neither a key nor a dictionary, type or status is no text, or there is no such status.
    """
    for name, wanted in (("tags", tags), ("properties", properties)):
        if wanted is not None and not isinstance(wanted, (str, Mapping)):
            raise InvalidInput(f"{what}: {name} are a {type(wanted).__name__}; pass a key, or a dictionary of keys with values")
    for name, text in (("type", run_type), ("status", status)):
        if text is not None and not isinstance(text, str):
            raise InvalidInput(f"{what}: {name} is a {type(text).__name__}; pass a text")
    if status is not None and status not in tuple(Status):
        raise InvalidInput(f"{what}: status: {status[:40]!r} is no status; there are {', '.join(Status)}")
    return Matching(tags=tags, properties=properties, run_type=run_type, status=status)


def view_of(run_id: str, workspace: str, header: RunHeader) -> RunView:
    """Return a run that was just created here."""
    return RunView(
        run_id=run_id,
        workspace=workspace,
        experiment_name=header.experiment_name,
        status=str(Status.NOT_STARTED),
        display_name=header.display_name,
        description=header.description,
        parent_run_id=header.parent_run_id,
        root_run_id=header.root_run_id,
        run_type=header.run_type,
        compute_target=header.compute_target,
        user=header.user,
        script_name=header.script_name,
        tags=dict(header.tags),
        properties=dict(header.properties),
    )


def details_of(view: RunView) -> dict[str, Any]:
    """Return `Run.get_details`: azureml-core's fields, and `cause`, `message` and `attempt`."""
    details: dict[str, Any] = {
        "runId": view.run_id,
        "target": view.compute_target,
        "status": view.status,
        "startTimeUtc": _utc(view.start_time),
        "endTimeUtc": _utc(view.end_time),
        "submittedBy": view.user,
        "properties": dict(view.properties),
        "tags": dict(view.tags),
        "logFiles": {},
        "attempt": view.attempt,
        "cause": view.cause,
        "message": view.message,
    }
    if view.error is not None:
        error = msgspec.to_builtins(view.error)  # the wire leaves defaults out; scripts look for the code
        details["error"] = {**error, "error": {"code": view.error.error.code, **error["error"]}}
    return {name: value for name, value in details.items() if value is not None}


def _has(known: Mapping[str, str | None], wanted: Wanted) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return wanted in known
    return all(key in known and (value is None or known[key] == str(value)) for key, value in wanted.items())


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
