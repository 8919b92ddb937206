"""Events as bytes: CloudEvents 1.0, binary mode in the log, a JSON batch over HTTP.

In the log (Kafka protocol binding, binary content mode) the attributes stand in `ce_` headers and the value is the payload alone. Over HTTP
events travel as `application/cloudevents-batch+json`. `sequence` and `recordedtime` are documented CloudEvents extensions; `workspace`
and `producer` are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from runherald.errors import InvalidEvent
from runherald.events import VERSIONS, Data, Event, Unknown
from runherald.records import Headers, Outgoing, Record
from runherald.topics import topic_of

CONTENT_TYPE = "application/cloudevents-batch+json"
_SCHEMA = "urn:runherald:schema:"
_JSON = b"application/json"
_MISSING = re.compile(r"missing required field `([^`]+)`")

_ENCODER = msgspec.json.Encoder()
Decoders = Mapping[str, msgspec.json.Decoder[Any]]
"""What reads a payload, by the name of its type."""


def decoders_of(kinds: Iterable[type[Struct]]) -> Decoders:
    """Return what reads payloads of these types; a part that has payloads of its own passes it to `from_record`."""
    return MappingProxyType({kind.__name__: msgspec.json.Decoder(kind) for kind in kinds})


_DECODERS = decoders_of(VERSIONS)


class CloudEvent(Struct, frozen=True, kw_only=True):
    """An event in CloudEvents' JSON format. Attributes that we do not know are ignored."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    workspace: str
    producer: str
    sequence: str | int
    dataschema: str | UnsetType = UNSET
    datacontenttype: str | UnsetType = UNSET
    recordedtime: datetime | UnsetType = UNSET
    data: Raw | UnsetType = UNSET


_CLOUD_EVENT = msgspec.json.Decoder(CloudEvent)
_BATCH = msgspec.json.Decoder(list[Raw])
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for bytes that are not what they should be: no JSON or another type, no UTF-8, nested too deep."""


def to_outgoing(event: Event, topic: str | None = None) -> Outgoing:
    """Return the record that carries an event, keyed by its run, for a topic or the one its type goes to."""
    return Outgoing(
        topic=topic or topic_of(event.type),
        key=event.run_id.encode(),
        value=encode_data(event.data),
        headers=_headers(event),
    )


def from_record(record: Record | Outgoing, decoders: Decoders = _DECODERS) -> Event:
    """Return the event that a record carries.

    Raises:
        InvalidEvent: a header is missing or malformed, or the value is not the payload that `ce_type` names.
    """
    headers = dict(record.headers)
    kind = _header(headers, "ce_type")
    sequence = _header(headers, "ce_sequence")
    recorded = headers.get("ce_recordedtime")
    return Event(
        id=_header(headers, "ce_id"),
        type=kind,
        version=_version("ce_dataschema", _header(headers, "ce_dataschema")),
        workspace=_header(headers, "ce_workspace"),
        run_id=_header(headers, "ce_subject"),
        producer=_header(headers, "ce_producer"),
        sequence=_number("ce_sequence", sequence),
        time=_time("ce_time", _header(headers, "ce_time")),
        recorded_time=_time("ce_recordedtime", recorded.decode(errors="replace")) if recorded else None,
        data=decode_data(kind, record.value, decoders),
    )


def encode_batch(events: Sequence[Event]) -> bytes:
    """Return events as a CloudEvents batch."""
    return _ENCODER.encode([_to_cloud_event(event) for event in events])


def split_batch(body: bytes) -> list[Raw]:
    """Return the members of a CloudEvents batch, each still encoded, so that one malformed member does not spoil the rest.

    Raises:
        InvalidEvent: the body is not a JSON list.
    """
    try:
        return _BATCH.decode(body)
    except _MALFORMED as error:
        raise InvalidEvent("body", f"is not a JSON list of CloudEvents ({error}); send {CONTENT_TYPE}") from None


def decode_cloud_event(member: Raw | bytes) -> Event:
    """Return the event of one member of a batch.

    Raises:
        InvalidEvent: an attribute is missing or malformed, or `data` is not the payload that `type` names.
    """
    try:
        cloud = _CLOUD_EVENT.decode(member)
    except _MALFORMED as error:
        raise _invalid("", error) from None
    if cloud.specversion != "1.0":
        raise InvalidEvent("specversion", "is not '1.0', the version of CloudEvents taken here")
    return Event(
        id=cloud.id,
        type=cloud.type,
        version=_version("dataschema", cloud.dataschema) if cloud.dataschema is not UNSET else 1,
        workspace=cloud.workspace,
        run_id=cloud.subject,
        producer=cloud.producer,
        sequence=_number("sequence", str(cloud.sequence)),
        time=_aware("time", cloud.time),
        recorded_time=_aware("recordedtime", cloud.recordedtime) if cloud.recordedtime is not UNSET else None,
        data=decode_data(cloud.type, b"{}" if cloud.data is UNSET else bytes(cloud.data)),
    )


def encode_data(data: Data) -> bytes:
    """Return a payload as JSON."""
    return bytes(data.raw) if isinstance(data, Unknown) else _ENCODER.encode(data)


def decode_data(kind: str, value: bytes, decoders: Decoders = _DECODERS) -> Data:
    """Return the payload of the named type, or `Unknown` around the bytes if the type is not known here.

    Raises:
        InvalidEvent: the bytes are not JSON, or not that payload; names the field.
    """
    decoder = decoders.get(kind)
    try:
        if decoder is not None:
            return decoder.decode(value)  # type: ignore[no-any-return]
        msgspec.json.decode(value)
        return Unknown(Raw(value))
    except _MALFORMED as error:
        raise _invalid("data", error) from None


def _headers(event: Event) -> Headers:
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", _source(event).encode()),
        ("ce_type", event.type.encode()),
        ("ce_subject", event.run_id.encode()),
        ("ce_time", _format(event.time).encode()),
        ("ce_dataschema", f"{_SCHEMA}{event.type}:{event.version}".encode()),
        ("ce_workspace", event.workspace.encode()),
        ("ce_producer", event.producer.encode()),
        ("ce_sequence", str(event.sequence).encode()),
        ("content-type", _JSON),
    )
    if event.recorded_time is None:
        return headers
    return (*headers, ("ce_recordedtime", _format(event.recorded_time).encode()))


def _to_cloud_event(event: Event) -> CloudEvent:
    return CloudEvent(
        specversion="1.0",
        id=event.id,
        source=_source(event),
        type=event.type,
        subject=event.run_id,
        time=event.time,
        workspace=event.workspace,
        producer=event.producer,
        sequence=str(event.sequence),
        dataschema=f"{_SCHEMA}{event.type}:{event.version}",
        datacontenttype="application/json",
        recordedtime=UNSET if event.recorded_time is None else event.recorded_time,
        data=Raw(encode_data(event.data)),
    )


def _source(event: Event) -> str:
    return f"/runherald/{event.workspace}/{event.producer}"


def _format(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _header(headers: dict[str, bytes], name: str) -> str:
    try:
        return headers[name].decode()
    except KeyError:
        raise InvalidEvent(name, "the record has no such header; it is no CloudEvent in binary mode") from None
    except UnicodeDecodeError:
        raise InvalidEvent(name, "is not UTF-8") from None


def _version(field: str, schema: str) -> int:
    _, _, version = schema.rpartition(":")
    if not schema.startswith(_SCHEMA) or not version.isdecimal() or len(version) > 4:
        raise InvalidEvent(field, f"is not of the form {_SCHEMA}TYPE:VERSION")
    return int(version)


def _number(field: str, text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 18:
        raise InvalidEvent(field, "is not a whole number from 0, of at most 18 digits")
    return int(text)


def _time(field: str, text: str) -> datetime:
    try:
        return _aware(field, datetime.fromisoformat(text))
    except ValueError:
        raise InvalidEvent(field, "is not a time of RFC 3339, such as 2026-11-21T12:00:00Z") from None


def _aware(field: str, moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidEvent(field, "has no time zone; write it in UTC with a Z")
    if not 1970 <= moment.year < 2100:
        raise InvalidEvent(field, "is not between 1970 and 2100")
    return moment.astimezone(UTC)


def _invalid(root: str, error: Exception) -> InvalidEvent:
    """Name the field from msgspec's message, which ends in "- at `$.path`" and names a missing field before that."""
    message, _, path = str(error).partition(" - at `$")
    missing = _MISSING.search(message)
    field = root + path.rstrip("`") + (f".{missing[1]}" if missing else "")
    return InvalidEvent(field.lstrip(".") or "event", message[:300])
