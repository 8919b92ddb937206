"""What an event may hold: a case each of what is refused, by its field, and of what is taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from runherald.errors import InvalidEvent
from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunOutputEvent,
    AmlRunStatusChangedEvent,
    Data,
    DebugInfo,
    ErrorEnvelope,
    Event,
    Evidence,
    LogLine,
    MetricObject,
    PathStep,
    RootError,
    RunHeader,
    TextPoint,
    Unknown,
    new_event,
)
from runherald.limits import Limits
from runherald.status import Status
from runherald.validation import check_event
from runherald.wire import decode_data
from tests.unit.golden_events import PAYLOADS, event_of

TIME = datetime(2026, 11, 21, tzinfo=UTC)
NAIVE = TIME.replace(tzinfo=None)
LATE = datetime(2100, 1, 1, tzinfo=UTC)
HUGE = 2**64
INFINITY = float("inf")


def event(data: Data) -> Event:
    return new_event(data, workspace="w", run_id="r", producer="p", sequence=0, time=TIME)


def updated(**said: Any) -> AmlRunEvent:
    return AmlRunEvent(operation="Updated", **said)


def created(**said: Any) -> AmlRunEvent:
    return AmlRunEvent(operation="Created", header=RunHeader(**{"experiment_name": "digits", **said}))


def status(**said: Any) -> AmlRunStatusChangedEvent:
    return AmlRunStatusChangedEvent(status=Status.RUNNING, **said)


def points(**said: Any) -> AmlRunMetricEvent:
    return AmlRunMetricEvent(**{"names": ("loss",), "series": [0], "steps": [1], "times": [1], "values": [0.5], **said})


def error(**said: Any) -> AmlRunStatusChangedEvent:
    return status(error=ErrorEnvelope(error=RootError(**said)))


REFUSED: list[tuple[str, Data, str]] = [
    ("data.tags[note]", updated(tags={"note": "x" * 2_000_000}), "2000000 characters long; at most 1000"),
    ("data.tags", updated(tags={str(number): "" for number in range(51)}), "51 keys"),
    ("data.tags (a key)", updated(tags={"x" * 101: ""}), "101 characters"),
    ("data.tags (a key)", updated(tags={"": "x"}), "empty"),
    ("data.tags (a key)", updated(tags={"a\x1bb": "x"}), "U+001B at position 1"),
    ("data.tags[a]", updated(tags={"a": "\udc80"}), "surrogate"),
    ("data.tagsRemoved[1]", updated(tags_removed=("a", "b\n")), "U+000A"),
    ("data.properties[a]", updated(properties={"a": "x" * 1_001}), "1001"),
    ("data.params[a]", updated(params={"a": "x" * 6_001}), "6001"),
    ("data.params", updated(params={str(number): "" for number in range(201)}), "201 keys"),
    ("data.displayName", updated(display_name="x" * 257), "257"),
    ("data.displayName", updated(display_name="a\x07"), "U+0007"),
    ("data.description", updated(description="x" * 5_001), "5001"),
    ("data.actor.name", updated(actor=Actor(kind="user", name="x" * 257)), "257"),
    ("data.header", AmlRunEvent(operation="Created"), "missing"),
    ("data.header.experimentName", created(experiment_name=""), "empty"),
    ("data.header.experimentName", created(experiment_name="_x"), "letter or a digit"),
    ("data.header.experimentName", created(experiment_name="x" * 256), "256"),
    ("data.header.parentRunId", created(parent_run_id="../etc"), "letters, digits"),
    ("data.header.rootRunId", created(root_run_id="a b"), "letters, digits"),
    ("data.header.user", created(user="a\nb"), "U+000A"),
    ("data.header.scriptName", created(script_name="x" * 5_001), "5001"),
    ("data.header.createdTime", created(created_time=NAIVE), "no time zone"),
    ("data.header.tags[a]", created(tags={"a": "x" * 1_001}), "1001"),
    ("data.header.displayName", status(header=RunHeader(experiment_name="", display_name="x" * 257)), "257"),
    ("data.message", status(message="x" * 3_001), "3001"),
    ("data.attempt", status(attempt=0), "whole number from 1"),
    ("data.attempt", status(attempt=HUGE), "whole number from 1"),
    ("data.revision", status(revision=-1), "whole number from 0"),
    ("data.startTime", status(start_time=NAIVE), "no time zone"),
    ("data.endTime", status(end_time=LATE), "1970 and 2100"),
    ("data.path[0].time", status(path=(PathStep(status=Status.RUNNING, time=LATE),)), "1970 and 2100"),
    ("data.evidence.exitCode", status(evidence=Evidence(exit_code=HUGE)), "64 bits"),
    ("data.evidence.signal", status(evidence=Evidence(signal=-HUGE)), "64 bits"),
    ("data.evidence.lastSeen", status(evidence=Evidence(last_seen=NAIVE)), "no time zone"),
    ("data.evidence.leaseSeconds", status(evidence=Evidence(lease_seconds=INFINITY)), "7 days"),
    ("data.evidence.host", status(evidence=Evidence(host="x" * 257)), "257"),
    ("data.error.time", status(error=ErrorEnvelope(error=RootError(), time=NAIVE)), "no time zone"),
    ("data.error.error.message", error(message="x" * 3_001), "3001"),
    ("data.error.error.code", error(code="x" * 257), "257"),
    ("data.error.error.debugInfo.stackTrace", error(debug_info=DebugInfo(stack_trace="x" * 65_537)), "65537"),
    ("data.leaseSeconds", AmlRunHeartbeatEvent(lease_seconds=0.0), "above 0"),
    ("data.leaseSeconds", AmlRunHeartbeatEvent(lease_seconds=float("nan")), "above 0"),
    ("data.leaseSeconds", AmlRunHeartbeatEvent(lease_seconds=604_801.0), "7 days"),
    ("data.pid", AmlRunHeartbeatEvent(lease_seconds=1.0, pid=HUGE), "64 bits"),
    ("data.names[0]", points(names=("lo\x00ss",)), "U+0000 at position 2"),
    ("data.names[0]", points(names=("loss\n",)), "U+000A"),
    ("data.names[0]", points(names=("",)), "empty"),
    ("data.names[0]", points(names=("x" * 256,)), "256"),
    ("data.steps", points(steps=[]), "0 items where data.values has 1"),
    ("data.times", points(times=[1, 2]), "2 items where data.values has 1"),
    ("data.series", points(series=[0, 0]), "2 items"),
    ("data.series", points(series=[1]), "outside data.names, which has 1"),
    ("data.series", points(series=[-1]), "outside data.names"),
    ("data.steps", points(steps=[2**63]), "64 bits"),
    ("data.times", points(times=[-1]), "microseconds since 1970"),
    ("data.times", points(times=[4_102_444_800_000_001]), "before the year 2100"),
    ("data.values[0]", points(values=[float("nan")]), "nonfinite"),
    ("data.values[0]", points(values=[-INFINITY]), "nonfinite"),
    ("data.nonfinite", points(nonfinite={"1": "NaN"}), "no index of data.values, which has 1"),
    ("data.nonfinite", points(nonfinite={"-1": "NaN"}), "no index"),
    ("data.nonfinite", points(nonfinite={"1" * 5_000: "NaN"}), "no index"),
    ("data.records", points(records=0), "whole number from 1"),
    ("data.texts[0].name", AmlRunMetricEvent(texts=(TextPoint(name="", step=0, time=0, text=""),)), "empty"),
    ("data.texts[0].text", AmlRunMetricEvent(texts=(TextPoint(name="a", step=0, time=0, text="x" * 10_001),)), "10001"),
    ("data.texts[0].step", AmlRunMetricEvent(texts=(TextPoint(name="a", step=HUGE, time=0, text=""),)), "64 bits"),
    ("data.objects[0].time", AmlRunMetricEvent(objects=(MetricObject(name="a", kind="row", step=0, time=-5, value={}),)), "1970"),
    ("data.descriptions (a key)", AmlRunMetricEvent(descriptions={"a\t": ""}), "U+0009"),
    ("data.file", AmlRunLogEvent(file=""), "empty"),
    ("data.lines[1].time", AmlRunLogEvent(lines=(LogLine(number=0, time=0, text=""), LogLine(number=1, time=-1, text=""))), "1970"),
    ("data.lines[0].number", AmlRunLogEvent(lines=(LogLine(number=-1, time=0, text=""),)), "whole number from 0"),
    ("data.lines[0].text", AmlRunLogEvent(lines=(LogLine(number=0, time=0, text="\ud83d"),)), "surrogate"),
    ("data.path", AmlRunOutputEvent(path="", size=1), "empty"),
    ("data.path", AmlRunOutputEvent(path="a\x00b", size=1), "U+0000"),
    ("data.size", AmlRunOutputEvent(path="a", size=-1), "whole number from 0"),
]


@pytest.mark.parametrize(("field", "data", "says"), REFUSED, ids=[f"{field}-{number}" for number, (field, *_) in enumerate(REFUSED)])
def test_what_may_not_be_is_refused_by_its_field(field: str, data: Data, says: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        check_event(event(data))
    assert caught.value.field == field
    assert says in caught.value.reason
    assert len(str(caught.value)) < 300, "the value itself is not in the message"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"run_id": ""}, "runid"),
        ({"run_id": "a/b"}, "runid"),
        ({"run_id": "é"}, "runid"),
        ({"run_id": "."}, "runid"),
        ({"run_id": ".."}, "runid"),
        ({"run_id": "r\n"}, "runid"),
        ({"run_id": "x" * 257}, "runid"),
        ({"id": ""}, "id"),
        ({"type": "a\nb"}, "type"),
        ({"workspace": ""}, "workspace"),
        ({"workspace": "x" * 256}, "workspace"),
        ({"producer": ""}, "producer"),
        ({"sequence": -1}, "sequence"),
        ({"time": NAIVE}, "time"),
        ({"time": TIME - timedelta(days=365 * 60)}, "time"),
        ({"recorded_time": LATE}, "recordedtime"),
    ],
)
def test_an_envelope_that_may_not_be_is_refused_by_its_attribute(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        check_event(replace(event(updated()), **changes))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "data",
    [
        *PAYLOADS.values(),
        updated(tags={"x" * 100: "y" * 1_000, "flag": None, "lines": "a\nb\tc"}),
        updated(description="x" * 5_000, display_name="日本語 ✓"),
        created(experiment_name="1st.try-of_it", parent_run_id="a.b-c_d"),
        status(header=RunHeader(experiment_name="")),
        status(message="two\nlines"),
        points(names=("val/accuracy (%)",), steps=[-5], values=[1.7e308]),
        AmlRunMetricEvent(names=("a",), series=[0, 0], steps=[0, 0], times=[0, 1], values=[1.7e308, 1.7e308]),
        points(values=[0.0], nonfinite={"0": "-Infinity"}),
        AmlRunMetricEvent(),
        AmlRunLogEvent(lines=(LogLine(number=0, time=0, text="\x1b[31mred\x1b[0m ✓"),)),
    ],
)
def test_what_is_in_order_is_taken(data: Data) -> None:
    check_event(event(data))


def test_golden_events_are_taken() -> None:
    for data in PAYLOADS.values():
        check_event(event_of(data))


def test_a_type_that_is_not_known_is_not_judged() -> None:
    data = decode_data("AmlRunDanceEvent", b'{"steps":-1}')
    assert isinstance(data, Unknown)
    check_event(replace(event(updated()), type="AmlRunDanceEvent", data=data))


def test_limits_can_be_set() -> None:
    check_event(event(updated(tags={"a": "x" * 2_000})), Limits(tag_value=2_000))
    with pytest.raises(InvalidEvent):
        check_event(event(updated(tags={"a": "x" * 2_001})), Limits(tag_value=2_000))
