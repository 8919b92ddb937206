"""Whether an event may be taken: one set of checks for the SDK, the HTTP intake and the processors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runherald.errors import InvalidEvent
from runherald.events import (
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunOutputEvent,
    AmlRunStatusChangedEvent,
    Event,
    RunHeader,
)
from runherald.limits import DEFAULT_LIMITS, Limits

_RUN_ID = re.compile(r"[A-Za-z0-9_.\-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_MICROS = 4_102_444_800_000_000  # the year 2100: what DateTime64 in microseconds surely holds
_MAX_STEP = 2**63 - 1


def check_event(event: Event, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent`, naming the field, if an event may not be taken."""
    check_run_id("runid", event.run_id, limits)
    _text("workspace", event.workspace, limits.experiment_name, empty=False)
    _text("producer", event.producer, limits.run_id, empty=False)
    if event.sequence < 0:
        raise InvalidEvent("sequence", f"{event.sequence} is negative; a producer counts from 0")
    match event.data:
        case AmlRunEvent() as data:
            _check_run(data, limits)
        case AmlRunStatusChangedEvent() as data:
            _check_status(data, limits)
        case AmlRunHeartbeatEvent() as data:
            if not 0 < data.lease_seconds <= 7 * 86_400:
                raise InvalidEvent("data.leaseSeconds", "a lease is above 0 and at most 604800 seconds (7 days)")
        case AmlRunMetricEvent() as data:
            _check_metrics(data, limits)
        case AmlRunLogEvent() as data:
            _text("data.file", data.file, 5_000, empty=False)
            for index, line in enumerate(data.lines):
                _micros(f"data.lines[{index}].time", line.time)
        case AmlRunOutputEvent() as data:
            _text("data.path", data.path, 5_000, empty=False)
        case _:
            pass  # an unknown type is history's to keep, not ours to judge


def check_run_id(field: str, run_id: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidEvent` unless the text can be a run's id: 1 to 256 letters, digits, `_`, `-`, `.`."""
    if not run_id or len(run_id) > limits.run_id or not _RUN_ID.fullmatch(run_id):
        raise InvalidEvent(field, f"a run id has 1 to {limits.run_id} letters, digits, '_', '-' or '.'")


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


def _check_run(data: AmlRunEvent, limits: Limits) -> None:
    if data.header is not None:
        _check_header("data.header", data.header, limits)
    if data.display_name is not None:
        _text("data.displayName", data.display_name, limits.display_name)
    if data.description is not None:
        _length("data.description", data.description, limits.description)
    check_tags("data.tags", data.tags, limits)
    check_properties("data.properties", data.properties, limits)
    _mapping("data.params", data.params, limits.params, limits.param_key, limits.param_value)


def _check_status(data: AmlRunStatusChangedEvent, limits: Limits) -> None:
    if data.header is not None:
        _check_header("data.header", data.header, limits)
    _length("data.message", data.message, limits.message)
    if data.attempt < 1:
        raise InvalidEvent("data.attempt", f"{data.attempt} is below 1, the first attempt")
    if data.error is not None:
        error = data.error.error
        _length("data.error.error.message", error.message, limits.message)
        if error.debug_info is not None:
            _length("data.error.error.debugInfo.stackTrace", error.debug_info.stack_trace, limits.stack_trace)
            _length("data.error.error.debugInfo.message", error.debug_info.message, limits.stack_trace)


def _check_header(field: str, header: RunHeader, limits: Limits) -> None:
    check_experiment_name(f"{field}.experimentName", header.experiment_name, limits)
    _text(f"{field}.displayName", header.display_name, limits.display_name)
    _length(f"{field}.description", header.description, limits.description)
    for name, run_id in (("parentRunId", header.parent_run_id), ("rootRunId", header.root_run_id)):
        if run_id:
            check_run_id(f"{field}.{name}", run_id, limits)
    check_tags(f"{field}.tags", header.tags, limits)
    check_properties(f"{field}.properties", header.properties, limits)


def _check_metrics(data: AmlRunMetricEvent, limits: Limits) -> None:
    points = len(data.values)
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
        if max(data.steps) > _MAX_STEP or min(data.steps) < -_MAX_STEP:
            raise InvalidEvent("data.steps", "a step is a whole number of 64 bits")
    for key in data.nonfinite:
        if not key.isdecimal() or int(key) >= points:
            raise InvalidEvent("data.nonfinite", f"a key is no index of data.values, which has {points} items")
    for index, text in enumerate(data.texts):
        check_metric_name(f"data.texts[{index}].name", text.name, limits)
        _length(f"data.texts[{index}].text", text.text, limits.metric_text)
        _micros(f"data.texts[{index}].time", text.time)
    for index, item in enumerate(data.objects):
        check_metric_name(f"data.objects[{index}].name", item.name, limits)
        _micros(f"data.objects[{index}].time", item.time)


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


def _micros(field: str, micros: int) -> None:
    if not 0 <= micros <= _MAX_MICROS:
        raise InvalidEvent(field, "is no time in microseconds since 1970 before the year 2100")
