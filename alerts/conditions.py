"""Whether a condition holds: a pure function, the same live and over history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from runherald.alerts.rule import StatusCondition
from runherald.events import AmlRunStatusChangedEvent, RunHeader

_NO_HEADER = RunHeader(experiment_name="")


def mismatch(condition: StatusCondition, transition: AmlRunStatusChangedEvent, time: datetime) -> str:
    """Return why a transition that happened at `time` is not what the condition asks for, or nothing when it is."""
    header = transition.header or _NO_HEADER
    return (
        _other("status", transition.status, condition.status)
        or _other("previous_status", transition.previous_status, condition.previous_status)
        or _other("cause", transition.cause, condition.cause)
        or _unlike("experiment", header.experiment_name, condition.experiment)
        or _unlike("display_name", header.display_name, condition.display_name)
        or _unlike("run_type", header.run_type, condition.run_type)
        or _unlike("user", header.user, condition.user)
        or _lacking("tags", header.tags, condition.tags)
        or _lacking("properties", header.properties, condition.properties)
        or _placed(header.parent_run_id, condition)
        or _flag("claim", transition.claim, condition.claim)
        or _flag("correction", transition.correction, condition.correction)
        or _timed(duration(transition, time), condition)
    )


def duration(transition: AmlRunStatusChangedEvent, time: datetime) -> timedelta | None:
    """Return how long the attempt has run at a transition, or None when it never started."""
    start = transition.start_time
    return None if start is None else max((transition.end_time or time) - start, timedelta())


def _other(key: str, value: str | None, wanted: Iterable[str]) -> str:
    wanted = tuple(wanted)
    if not wanted or value in wanted:
        return ""
    return f"{key} is {value or 'not known'}, the rule wants {' or '.join(wanted)}"


def _unlike(key: str, value: str, globs: tuple[str, ...]) -> str:
    if not globs or any(fnmatchcase(value, glob) for glob in globs):
        return ""
    return f"{key} is not like {' or '.join(globs)}"


def _lacking(key: str, values: Mapping[str, str | None], wanted: Mapping[str, tuple[str, ...]]) -> str:
    for name, globs in wanted.items():
        if name not in values:
            return f"{key} has no {name!r}"
        if globs and not any(fnmatchcase(values[name] or "", glob) for glob in globs):
            return f"{key}[{name!r}] is not like {' or '.join(globs)}"
    return ""


def _placed(parent: str, condition: StatusCondition) -> str:
    match condition.parent:
        case "root_only":
            return "the run has a parent, the rule wants runs without" if parent else ""
        case "children_only":
            return "" if parent else "the run has no parent, the rule wants children"
        case globs:
            return _unlike("parent", parent, globs)


def _flag(key: str, value: bool, wanted: bool | None) -> str:
    return "" if wanted is None or value is wanted else f"{key} is {str(value).lower()}, the rule wants {str(wanted).lower()}"


def _timed(ran: timedelta | None, condition: StatusCondition) -> str:
    if condition.longer_than is None and condition.shorter_than is None:
        return ""
    if ran is None:
        return "the run never started, so it has no duration"
    if condition.longer_than is not None and ran <= condition.longer_than:
        return f"the run took {ran}, the rule wants longer than {condition.longer_than}"
    if condition.shorter_than is not None and ran >= condition.shorter_than:
        return f"the run took {ran}, the rule wants shorter than {condition.shorter_than}"
    return ""
