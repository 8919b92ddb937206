"""Events as bytes: what is written can be read, and what cannot be read is said by its field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runherald.clock import from_micros
from runherald.errors import InvalidEvent
from runherald.events import (
    VERSIONS,
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
    PathStep,
    RootError,
    RunHeader,
    TextPoint,
    Unknown,
    event_id,
    new_event,
)
from runherald.records import Headers, Outgoing
from runherald.status import Cause, Status
from runherald.topics import EVENTS, LOGS, METRICS
from runherald.wire import (
    decode_cloud_event,
    decode_data,
    decoders_of,
    encode_batch,
    encode_data,
    from_record,
    split_batch,
    to_outgoing,
)

TIME = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
EVENT = new_event(
    AmlRunStatusChangedEvent(status=Status.RUNNING, actor=Actor(kind="run")),
    workspace="default",
    run_id="digits_1",
    producer="host-1",
    sequence=7,
    time=TIME,
    recorded_time=TIME + timedelta(seconds=1),
)

TEXTS = st.text(max_size=20)  # hypothesis leaves surrogates out
MICROS = st.integers(0, 4 * 10**15)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
MOMENTS = st.builds(lambda micros, zone: from_micros(micros).astimezone(zone), MICROS, ZONES)
INTS = st.integers(-(2**63) + 1, 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TAGS = st.dictionaries(TEXTS, st.none() | TEXTS, max_size=3)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=3)
HEADERS = st.builds(RunHeader, experiment_name=TEXTS, display_name=TEXTS, tags=TAGS, properties=MAPS, created_time=st.none() | MOMENTS)
ACTORS = st.builds(Actor, kind=st.sampled_from(["run", "user", "watcher", "rule", "system"]), name=TEXTS)
ERRORS = st.builds(
    ErrorEnvelope,
    error=st.builds(RootError, code=TEXTS, message=TEXTS, debug_info=st.none() | st.builds(DebugInfo, type=TEXTS, stack_trace=TEXTS)),
    time=st.none() | MOMENTS,
)
PAYLOADS: st.SearchStrategy[Data] = st.one_of(
    st.builds(
        AmlRunEvent,
        operation=st.sampled_from(["Created", "Updated", "Archived", "Reactivated", "Deleted"]),
        header=st.none() | HEADERS,
        display_name=st.none() | TEXTS,
        tags=TAGS,
        tags_removed=st.lists(TEXTS, max_size=2).map(tuple),
        params=MAPS,
        actor=st.none() | ACTORS,
    ),
    st.builds(
        AmlRunStatusChangedEvent,
        status=st.sampled_from(Status),
        previous_status=st.none() | st.sampled_from(Status),
        cause=st.none() | st.sampled_from(Cause),
        message=TEXTS,
        error=st.none() | ERRORS,
        evidence=st.none()
        | st.builds(Evidence, exit_code=st.none() | INTS, last_seen=st.none() | MOMENTS, lease_seconds=st.none() | FLOATS),
        claim=st.booleans(),
        path=st.lists(st.builds(PathStep, status=st.sampled_from(Status), time=MOMENTS), max_size=3).map(tuple),
    ),
    st.builds(AmlRunHeartbeatEvent, lease_seconds=FLOATS, host=TEXTS, pid=st.none() | INTS),
    st.builds(
        AmlRunMetricEvent,
        names=st.lists(TEXTS, max_size=2).map(tuple),
        series=st.lists(INTS, max_size=3),
        times=st.lists(MICROS, max_size=3),
        values=st.lists(FLOATS, max_size=3),
        nonfinite=st.dictionaries(TEXTS, st.sampled_from(["NaN", "Infinity", "-Infinity"]), max_size=2),
        texts=st.lists(st.builds(TextPoint, name=TEXTS, step=INTS, time=MICROS, text=TEXTS), max_size=2).map(tuple),
    ),
    st.builds(AmlRunLogEvent, lines=st.lists(st.builds(LogLine, number=INTS, time=MICROS, text=TEXTS), max_size=3).map(tuple)),
    st.builds(AmlRunOutputEvent, path=TEXTS, size=INTS, uri=TEXTS),
)
EVENTS_OF_ALL_KINDS = st.builds(
    new_event,
    PAYLOADS,
    workspace=TEXTS,
    run_id=TEXTS,
    producer=TEXTS,
    sequence=st.integers(0, 10**18 - 1),
    time=MOMENTS,
    recorded_time=st.none() | MOMENTS,
)


@given(EVENTS_OF_ALL_KINDS)
def test_a_record_gives_back_its_event(event: Event) -> None:
    assert from_record(to_outgoing(event)) == event


@given(st.lists(EVENTS_OF_ALL_KINDS, max_size=4))
def test_a_batch_gives_back_its_events(events: list[Event]) -> None:
    assert [decode_cloud_event(member) for member in split_batch(encode_batch(events))] == events


def test_every_kind_of_payload_is_tried() -> None:
    assert len(VERSIONS) == 6, "add the new payload to PAYLOADS above"


def test_a_record_is_a_cloud_event_in_binary_mode() -> None:
    record = to_outgoing(EVENT)
    assert record.key == b"digits_1"
    assert record.value == b'{"status":"Running","actor":{"kind":"run"}}'
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": EVENT.id.encode(),
        "ce_source": b"/runherald/default/host-1",
        "ce_type": b"AmlRunStatusChangedEvent",
        "ce_subject": b"digits_1",
        "ce_time": b"2026-11-21T12:00:00.123456Z",
        "ce_dataschema": b"urn:runherald:schema:AmlRunStatusChangedEvent:1",
        "ce_workspace": b"default",
        "ce_producer": b"host-1",
        "ce_sequence": b"7",
        "ce_recordedtime": b"2026-11-21T12:00:01.123456Z",
        "content-type": b"application/json",
    }


def test_a_member_of_a_batch_is_a_cloud_event_in_json() -> None:
    assert msgspec.json.decode(encode_batch([EVENT])) == [
        {
            "specversion": "1.0",
            "id": EVENT.id,
            "source": "/runherald/default/host-1",
            "type": "AmlRunStatusChangedEvent",
            "subject": "digits_1",
            "time": "2026-11-21T12:00:00.123456Z",
            "workspace": "default",
            "producer": "host-1",
            "sequence": "7",
            "dataschema": "urn:runherald:schema:AmlRunStatusChangedEvent:1",
            "datacontenttype": "application/json",
            "recordedtime": "2026-11-21T12:00:01.123456Z",
            "data": {"status": "Running", "actor": {"kind": "run"}},
        }
    ]


@pytest.mark.parametrize(
    ("data", "topic"),
    [
        (AmlRunEvent(operation="Updated"), EVENTS),
        (AmlRunHeartbeatEvent(lease_seconds=1.0), EVENTS),
        (AmlRunMetricEvent(), METRICS),
        (AmlRunLogEvent(), LOGS),
        (AmlRunOutputEvent(path="x", size=1), EVENTS),
    ],
)
def test_events_go_to_their_topic(data: Data, topic: str) -> None:
    event = new_event(data, workspace="w", run_id="r", producer="p", sequence=0, time=TIME)
    assert to_outgoing(event).topic == topic
    assert to_outgoing(event, "elsewhere").topic == "elsewhere"


def test_a_resend_is_the_same_event() -> None:
    assert event_id("r", "p", 3) == "2460337e-9c5b-5c4f-841b-29c9f078087d"  # for ever: ids in logs are made so
    assert len({event_id(run, producer, number) for run in "ab" for producer in "pq" for number in (0, 1)}) == 8


def test_fields_that_are_not_known_are_ignored() -> None:
    data = decode_data("AmlRunHeartbeatEvent", b'{"leaseSeconds":5,"mood":"good","nested":{"x":[1]}}')
    assert data == AmlRunHeartbeatEvent(lease_seconds=5.0)
    member = msgspec.json.decode(encode_batch([EVENT]))[0]
    assert decode_cloud_event(msgspec.json.encode({**member, "traceparent": "00-1"})) == EVENT
    record = to_outgoing(EVENT)
    assert from_record(replace(record, headers=(*record.headers, ("traceparent", b"\xff")))) == EVENT


def test_a_type_that_is_not_known_is_kept_to_the_byte() -> None:
    raw = b'{ "b" : 1.50,\n "a": "\\u00e9" }'
    data = decode_data("AmlRunDanceEvent", raw)
    assert isinstance(data, Unknown)
    assert encode_data(data) == raw
    event = replace(EVENT, type="AmlRunDanceEvent", version=3, data=data)
    again = from_record(to_outgoing(event))
    assert (again.type, again.version, encode_data(again.data)) == ("AmlRunDanceEvent", 3, raw)


class Dance(msgspec.Struct, frozen=True):
    step: int


def test_a_part_reads_payloads_of_its_own() -> None:
    event = new_event(Dance(step=2), workspace="w", run_id="r", producer="p", sequence=0, time=TIME)
    assert from_record(to_outgoing(event), decoders_of([Dance])) == event


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        ("AmlRunStatusChangedEvent", b'{"status":"Sleeping"}', "data.status"),
        ("AmlRunStatusChangedEvent", b"{}", "data.status"),
        ("AmlRunStatusChangedEvent", b'{"status":"Running","error":{"error":{"debugInfo":{"type":1}}}}', "data.error.error.debugInfo.type"),
        ("AmlRunStatusChangedEvent", b'{"status":"Running","path":[{"status":"Running"}]}', "data.path[0].time"),
        ("AmlRunEvent", b'{"operation":"Exploded"}', "data.operation"),
        ("AmlRunEvent", b'{"operation":"Updated","tags":{"a":1}}', "data.tags[...]"),
        ("AmlRunEvent", b'{"operation":"Created","header":{}}', "data.header.experimentName"),
        ("AmlRunMetricEvent", b'{"values":[1,"2"]}', "data.values[1]"),
        ("AmlRunMetricEvent", b'{"values":[1e999]}', "data.values[0]"),
        ("AmlRunMetricEvent", b'{"values":[NaN]}', "data"),
        ("AmlRunHeartbeatEvent", b"null", "data"),
        ("AmlRunHeartbeatEvent", b"", "data"),
        ("AmlRunHeartbeatEvent", b'{"leaseSeconds":1', "data"),
        ("AmlRunHeartbeatEvent", b'{"leaseSeconds":1,"host":"\xff"}', "data"),
        ("AmlRunHeartbeatEvent", b'{"leaseSeconds":1,"x":' + b"[" * 100_000, "data"),
        ("AmlRunDanceEvent", b"no JSON", "data"),
        ("AmlRunDanceEvent", b'"\xff"', "data"),
        ("AmlRunDanceEvent", b"[" * 100_000, "data"),
    ],
)
def test_a_payload_that_cannot_be_read_is_named_by_its_field(kind: str, value: bytes, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode_data(kind, value)
    assert caught.value.field == field
    assert len(str(caught.value)) < 400


def member(**changes: Any) -> bytes:
    """Return EVENT as a member of a batch, with some attributes changed, or left out where they are None."""
    attributes = {**msgspec.json.decode(encode_batch([EVENT]))[0], **changes}
    return msgspec.json.encode({name: value for name, value in attributes.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({name: None}, name) for name in ("specversion", "id", "source", "type", "subject", "time", "workspace", "producer", "sequence")),
        ({"data": None}, "data.status"),
        ({"specversion": "0.3"}, "specversion"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": "1.5"}, "sequence"),
        ({"sequence": "٣"}, "sequence"),
        ({"sequence": "9" * 19}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-11-21T12:00:00"}, "time"),
        ({"time": "1969-12-31T23:59:59Z"}, "time"),
        ({"time": "2100-01-01T00:00:00Z"}, "time"),
        ({"recordedtime": 5}, "recordedtime"),
        ({"dataschema": "urn:other:1"}, "dataschema"),
        ({"dataschema": "urn:runherald:schema:AmlRunEvent:x"}, "dataschema"),
        ({"data": {"status": "Sleeping"}}, "data.status"),
        ({"subject": 5}, "subject"),
    ],
)
def test_a_member_that_cannot_be_read_is_named_by_its_attribute(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode_cloud_event(member(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize("body", [b"5", b"[]", b"", b'{"specversion":"1.0"', b'{"id":"\xff"}', b'{"x":' + b"[" * 100_000, b"null"])
def test_a_member_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        decode_cloud_event(body)


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[" * 100_000, b"\xff", b"null", b"[1] x"])
def test_a_body_that_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        split_batch(body)
    assert caught.value.field == "body"
    assert "cloudevents-batch" in caught.value.reason


def test_one_bad_member_does_not_spoil_the_batch() -> None:
    body = b"[" + encode_batch([EVENT])[1:-1] + b',{"no":"event"},' + encode_batch([EVENT])[1:-1] + b"]"
    members = split_batch(body)
    assert len(members) == 3
    assert decode_cloud_event(members[0]) == decode_cloud_event(members[2]) == EVENT
    with pytest.raises(InvalidEvent):
        decode_cloud_event(members[1])


def without(headers: Headers, name: str) -> Headers:
    return tuple(header for header in headers if header[0] != name)


RECORD = to_outgoing(EVENT)


@pytest.mark.parametrize(
    "name", ["ce_id", "ce_type", "ce_subject", "ce_time", "ce_dataschema", "ce_workspace", "ce_producer", "ce_sequence"]
)
@pytest.mark.parametrize("value", [None, b"\xff\xfe"])
def test_a_record_with_a_bad_header_is_named_by_it(name: str, value: bytes | None) -> None:
    headers = without(RECORD.headers, name) + (((name, value),) if value else ())
    with pytest.raises(InvalidEvent) as caught:
        from_record(replace(RECORD, headers=headers))
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_time", b"noon"),
        ("ce_time", b"2026-11-21"),
        ("ce_recordedtime", b"\xff"),
        ("ce_recordedtime", b"1066-10-14T09:00:00Z"),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b""),
        ("ce_dataschema", b"urn:runherald:schema:AmlRunEvent:"),
    ],
)
def test_a_record_with_a_malformed_header_is_named_by_it(name: str, value: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        from_record(replace(RECORD, headers=(*without(RECORD.headers, name), (name, value))))
    assert caught.value.field == name


def test_a_record_of_somebody_else_is_no_event() -> None:
    with pytest.raises(InvalidEvent, match="no CloudEvent in binary mode"):
        from_record(Outgoing(topic=EVENTS, key=None, value=b"hello"))
