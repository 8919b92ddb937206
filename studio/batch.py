"""A batch of events from its bytes: what can be taken, and what cannot and why."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from runherald.api import Rejected
from runherald.errors import InvalidEvent
from runherald.limits import Limits
from runherald.records import Outgoing
from runherald.topics import TOPICS
from runherald.validation import check_event
from runherald.wire import decode_cloud_event, split_batch, to_outgoing

_HEADROOM = 1_024  # of a message's bound: key, framing and what a broker adds


class Batch(Struct, frozen=True):
    """The records of the good events, the runs they are of, and the members that are refused."""

    records: list[Outgoing]
    run_ids: frozenset[str]
    rejected: list[Rejected]


class _Identified(Struct):
    id: str = ""


_IDENTIFIED = msgspec.json.Decoder(_Identified)


def read_batch(body: bytes, limits: Limits) -> Batch:
    """Return what a CloudEvents batch holds. A malformed member is refused alone.

    Raises:
        InvalidEvent: the body is no batch at all, or one of too many members.
    """
    records: list[Outgoing] = []
    run_ids: set[str] = set()
    rejected: list[Rejected] = []
    members = split_batch(body)
    count = len(members)
    if count > limits.batch_events:
        del members  # the error would hold millions of them until it is answered
        raise InvalidEvent("body", f"is a batch of {count} events; at most {limits.batch_events} are taken: send it in parts")
    for index, member in enumerate(members):
        try:
            event = decode_cloud_event(member)
            check_event(event, limits)
            record = to_outgoing(event)
            _check_size(record)
        except InvalidEvent as error:
            rejected.append(Rejected(index=index, field=error.field, reason=error.reason, id=_id_of(member)))
        else:
            records.append(record)
            run_ids.add(event.run_id)
    return Batch(records, frozenset(run_ids), rejected)


def _check_size(record: Outgoing) -> None:
    size = len(record.value) + len(record.key or b"") + sum(len(name) + len(value) for name, value in record.headers)
    bound = TOPICS[record.topic].max_message_bytes - _HEADROOM
    if size > bound:
        raise InvalidEvent("data", f"the event has {size} bytes; at most {bound} are taken: send it in parts, or log it as a file")


def _id_of(member: Raw) -> str:
    try:
        return _IDENTIFIED.decode(member).id[:256]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
