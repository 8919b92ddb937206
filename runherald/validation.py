"""Whether an event may be taken: one set of checks for the SDK, the HTTP intake and the processors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from runherald.errors import InvalidEvent
from runherald.events import (
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunOutputEvent,
    AmlRunStatusChangedEvent,
    Event,
    Evidence,
    RootError,
    RunHeader,
)
from runherald.limits import DEFAULT_LIMITS, Limits

_RUN_ID = re.compile(r"[A-Za-z0-9_.\-]+")
_STEPS = frozenset({".", ".."})  # clients take them for steps in the path of a URL, so such a run could not be reached
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_MICROS = 4_102_444_800_000_000  # the year 2100: what DateTime64 in microseconds surely holds
_MAX_INT = 2**63 - 1
_MAX_RECORDS = 1_000_000
_MAX_DEPTH = 100
_NESTED = (dict, list, tuple)
_MAX_LEASE = 7 * 86_400


def check_event(event: Event, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent`, naming the field, if an event may not be taken."""
    check_run_id("runid", event.run_id, limits)
    _text("id", event.id, limits.run_id, empty=False)
    _text("type", event.type, limits.run_id, empty=False)
    _text("workspace", event.workspace, limits.experiment_name, empty=False)
    _text("producer", event.producer, limits.run_id, empty=False)
    if event.sequence < 0:
        raise InvalidEvent("sequence", f"{event.sequence} is negative; a producer counts from 0")
    _moment("time", event.time)
    _moment("recordedtime", event.recorded_time)
    match event.data:
        case AmlRunEvent() as data:
            _check_run(data, limits)
        case AmlRunStatusChangedEvent() as data:
            _check_status(data, limits)
        case AmlRunHeartbeatEvent() as data:
            if not 0 < data.lease_seconds <= _MAX_LEASE:
                raise InvalidEvent("data.leaseSeconds", f"a lease is above 0 and at most {_MAX_LEASE} seconds (7 days)")
            _text("data.host", data.host, limits.display_name)
            _integer("data.pid", data.pid)
        case AmlRunMetricEvent() as data:
            _check_metrics(data, limits)
        case AmlRunLogEvent() as data:
            _check_log(data, limits)
        case AmlRunOutputEvent() as data:
            _text("data.path", data.path, limits.path, empty=False)
            _text("data.uri", data.uri, limits.path)
            _text("data.sha256", data.sha256, limits.display_name)
            _text("data.contentType", data.content_type, limits.display_name)
            _integer("data.size", data.size, low=0)
        case _:
            pass  # an unknown type is history's to keep, not ours to judge


def check_run_id(field: str, run_id: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent` unless the text can be a run's id: 1 to 256 letters, digits, `_`, `-`, `.`."""
    if not run_id or len(run_id) > limits.run_id or not _RUN_ID.fullmatch(run_id) or run_id in _STEPS:
        raise InvalidEvent(field, f"a run id has 1 to {limits.run_id} letters, digits, '_', '-' or '.', and is not '.' or '..'")


def check_experiment_name(field: str, name: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent` unless the text can name an experiment: it starts with a letter or digit, no control characters."""
    _text(field, name, limits.experiment_name, empty=False)
    if not name[0].isalnum():
        raise InvalidEvent(field, "an experiment's name starts with a letter or a digit")


def check_metric_name(field: str, name: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent` unless the text can name a metric: not empty, at most 255 characters, no control characters."""
    _text(field, name, limits.metric_name, empty=False)


def check_tags(field: str, tags: Mapping[str, str | None], limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent` unless the mapping can be tags: few enough, keys and values short enough."""
    _mapping(field, tags, limits.tags, limits.tag_key, limits.tag_value)


def check_properties(field: str, properties: Mapping[str, str], limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent` unless the mapping can be properties: few enough, keys and values short enough."""
    _mapping(field, properties, limits.properties, limits.property_key, limits.property_value)


def check_params(field: str, params: Mapping[str, str], limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent` unless the mapping can be parameters: few enough, keys and values short enough."""
    _mapping(field, params, limits.params, limits.param_key, limits.param_value)


def _check_run(data: AmlRunEvent, limits: Limits) -> None:
    if data.operation == "Created":
        if data.header is None:
            raise InvalidEvent("data.header", "is missing; a run is created with its experimentName")
        check_experiment_name("data.header.experimentName", data.header.experiment_name, limits)
    if data.header is not None:
        _check_header("data.header", data.header, limits)
    if data.display_name is not None:
        _text("data.displayName", data.display_name, limits.display_name)
    if data.description is not None:
        _length("data.description", data.description, limits.description)
    check_tags("data.tags", data.tags, limits)
    for index, key in enumerate(data.tags_removed):
        _text(f"data.tagsRemoved[{index}]", key, limits.tag_key, empty=False)
    check_properties("data.properties", data.properties, limits)
    if data.actor is not None:
        _text("data.actor.name", data.actor.name, limits.display_name)
    check_params("data.params", data.params, limits)


def _check_status(data: AmlRunStatusChangedEvent, limits: Limits) -> None:
    if data.header is not None:
        _check_header("data.header", data.header, limits)
    _length("data.message", data.message, limits.message)
    _integer("data.attempt", data.attempt, low=1)
    _integer("data.revision", data.revision, low=0)
    _moment("data.startTime", data.start_time)
    _moment("data.endTime", data.end_time)
    for index, step in enumerate(data.path):
        _moment(f"data.path[{index}].time", step.time)
        _integer(f"data.path[{index}].attempt", step.attempt, low=1)
    if data.actor is not None:
        _text("data.actor.name", data.actor.name, limits.display_name)
    if data.evidence is not None:
        _check_evidence("data.evidence", data.evidence, limits)
    if data.error is not None:
        _moment("data.error.time", data.error.time)
        _check_error("data.error.error", data.error.error, limits)


def _check_error(field: str, error: RootError, limits: Limits) -> None:
    _length(f"{field}.message", error.message, limits.message)
    for name, text in (("code", error.code), ("severity", error.severity), ("target", error.target)):
        _text(f"{field}.{name}", text, limits.display_name)
    if error.debug_info is not None:
        _text(f"{field}.debugInfo.type", error.debug_info.type, limits.display_name)
        _length(f"{field}.debugInfo.message", error.debug_info.message, limits.stack_trace)
        _length(f"{field}.debugInfo.stackTrace", error.debug_info.stack_trace, limits.stack_trace)


def _check_evidence(field: str, evidence: Evidence, limits: Limits) -> None:
    for name, number in (("exitCode", evidence.exit_code), ("signal", evidence.signal), ("pid", evidence.pid)):
        _integer(f"{field}.{name}", number)
    _text(f"{field}.host", evidence.host, limits.display_name)
    _moment(f"{field}.lastSeen", evidence.last_seen)
    if evidence.lease_seconds is not None and not 0 <= evidence.lease_seconds <= _MAX_LEASE:
        raise InvalidEvent(f"{field}.leaseSeconds", f"a lease is at most {_MAX_LEASE} seconds (7 days)")


def _check_header(field: str, header: RunHeader, limits: Limits) -> None:
    if header.experiment_name:  # a run may be heard of before its creation is
        check_experiment_name(f"{field}.experimentName", header.experiment_name, limits)
    _text(f"{field}.displayName", header.display_name, limits.display_name)
    _length(f"{field}.description", header.description, limits.description)
    for name, run_id in (("parentRunId", header.parent_run_id), ("rootRunId", header.root_run_id)):
        if run_id:
            check_run_id(f"{field}.{name}", run_id, limits)
    for name, text in (("runType", header.run_type), ("computeTarget", header.compute_target), ("user", header.user)):
        _text(f"{field}.{name}", text, limits.display_name)
    _text(f"{field}.scriptName", header.script_name, limits.path)
    _moment(f"{field}.createdTime", header.created_time)
    check_tags(f"{field}.tags", header.tags, limits)
    check_properties(f"{field}.properties", header.properties, limits)


def _check_log(data: AmlRunLogEvent, limits: Limits) -> None:
    _integer("data.records", data.records, low=1, high=_MAX_RECORDS)
    _text("data.file", data.file, limits.path, empty=False)
    for index, line in enumerate(data.lines):
        _micros(f"data.lines[{index}].time", line.time)
        _integer(f"data.lines[{index}].number", line.number, low=0)
        _length(f"data.lines[{index}].text", line.text, limits.event_bytes)


def _check_metrics(data: AmlRunMetricEvent, limits: Limits) -> None:
    points = len(data.values)
    _integer("data.records", data.records, low=1, high=_MAX_RECORDS)
    for field, column in (("series", data.series), ("steps", data.steps), ("times", data.times)):
        if len(column) != points:
            raise InvalidEvent(
                f"data.{field}", f"has {len(column)} items where data.values has {points}; the columns of a batch are of one length"
            )
    for index, name in enumerate(data.names):
        check_metric_name(f"data.names[{index}]", name, limits)
    if points:
        if min(data.series) < 0 or max(data.series) >= len(data.names):
            raise InvalidEvent("data.series", f"an index is outside data.names, which has {len(data.names)} items")
        _micros("data.times", min(data.times))
        _micros("data.times", max(data.times))
        _integer("data.steps", min(data.steps))
        _integer("data.steps", max(data.steps))
        _check_finite(data.values)
    for key in data.nonfinite:
        if not key.isdecimal() or len(key) > len(str(points)) or int(key) >= points:
            raise InvalidEvent("data.nonfinite", f"a key is no index of data.values, which has {points} items")
    for index, text in enumerate(data.texts):
        check_metric_name(f"data.texts[{index}].name", text.name, limits)
        _length(f"data.texts[{index}].text", text.text, limits.metric_text)
        _micros(f"data.texts[{index}].time", text.time)
        _integer(f"data.texts[{index}].step", text.step)
    for index, item in enumerate(data.objects):
        check_metric_name(f"data.objects[{index}].name", item.name, limits)
        _micros(f"data.objects[{index}].time", item.time)
        _integer(f"data.objects[{index}].step", item.step)
        _check_depth(f"data.objects[{index}].value", item.value)
    for name, description in data.descriptions.items():
        check_metric_name("data.descriptions (a key)", name, limits)
        _length(f"data.descriptions[{name}]", description, limits.description)


def _check_depth(field: str, value: Any) -> None:
    # Whoever reads it once more, from deeper in a program, could not go down as far as who took it.
    level = [value] if isinstance(value, _NESTED) else []
    for _ in range(_MAX_DEPTH):
        if not level:
            return
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, _NESTED)]
    if level:
        raise InvalidEvent(field, f"is nested deeper than {_MAX_DEPTH} levels; make it flatter, or log it as a file")


def _check_finite(values: Sequence[float]) -> None:
    # JSON has no such number. The sum of finite values is finite but for huge ones, so that it nearly always decides.
    if math.isfinite(sum(values)):
        return
    for index, value in enumerate(values):
        if not math.isfinite(value):
            raise InvalidEvent(f"data.values[{index}]", "is not finite; write 0 and name the point in data.nonfinite")


def _mapping(field: str, mapping: Mapping[str, str | None], count: int, key_length: int, value_length: int) -> None:
    if len(mapping) > count:
        raise InvalidEvent(field, f"has {len(mapping)} keys; at most {count} are kept")
    for key, value in mapping.items():
        _text(f"{field} (a key)", key, key_length, empty=False)
        if value is not None:
            _length(f"{field}[{key}]", value, value_length)


def _text(field: str, text: str, length: int, *, empty: bool = True) -> None:
    if not text and not empty:
        raise InvalidEvent(field, "is empty; give it a text")
    _length(field, text, length)
    found = _CONTROL.search(text)
    if found:
        raise InvalidEvent(field, f"holds the control character U+{ord(found.group()):04X} at position {found.start()}; take it out")


def _length(field: str, text: str, length: int) -> None:
    if len(text) > length:
        raise InvalidEvent(field, f"is {len(text)} characters long; at most {length} are kept: shorten it, or log it as a file")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidEvent(field, f"holds half a surrogate pair at position {error.start}; decode it with errors='replace'") from None


def _integer(field: str, number: int | None, *, low: int = -_MAX_INT, high: int = _MAX_INT) -> None:
    if number is not None and not low <= number <= high:
        what = "a whole number of 64 bits" if (low, high) == (-_MAX_INT, _MAX_INT) else f"a whole number from {low} to {high}"
        raise InvalidEvent(field, f"is not {what}")


def _moment(field: str, moment: datetime | None) -> None:
    if moment is None:
        return
    if moment.tzinfo is None:
        raise InvalidEvent(field, "has no time zone; write it in UTC with a Z")
    if not 1970 <= moment.year < 2100:
        raise InvalidEvent(field, "is not between 1970 and 2100")


def _micros(field: str, micros: int) -> None:
    if not 0 <= micros <= _MAX_MICROS:
        raise InvalidEvent(field, "is no time in microseconds since 1970 before the year 2100")
