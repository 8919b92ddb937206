"""What a journal's records say: one call of the SDK each, in MessagePack (it holds NaN and infinities, and is quick)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from runherald.errors import InvalidEvent
from runherald.events import Data
from runherald.wire import decode_data, encode_data


class Point(Struct, frozen=True, array_like=True, tag=0, gc=False):
    """A number logged under a metric's name; `time` in microseconds since 1970."""

    name: str
    step: int
    time: int
    value: float
    description: str = ""


class Text(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A text logged under a metric's name."""

    name: str
    step: int
    time: int
    text: str
    description: str = ""


class Logged(Struct, frozen=True, array_like=True, tag=2):
    """A row, table or list logged under a metric's name; `value` is JSON's kind of value, `kind` of `MetricObject`."""

    name: str
    step: int
    time: int
    kind: str
    value: Any
    description: str = ""


class Said(Struct, frozen=True, array_like=True, tag=3):
    """Any other event: the name of its payload's type, when it happened, and the payload as it goes on the wire."""

    payload_type: str
    time: int
    payload: bytes


class Lines(Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Lines of a console or file, which follow each other; `number` is that of the first within its file."""

    file: str
    stream: str
    number: int
    time: int
    texts: tuple[str, ...]


Entry = Point | Text | Logged | Said | Lines

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)

encode_entry = _ENCODER.encode


def decode_entry(payload: bytes) -> Entry:
    """Return the entry of a journal's record.

    Raises:
        InvalidEvent: the bytes are none, such as those of a newer version.
    """
    try:
        return _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent("journal", f"a record is of no known kind ({error})") from None


def said(data: Data, time: int) -> Said:
    """Return the entry of an event that happened at `time`, in microseconds since 1970."""
    return Said(type(data).__name__, time, encode_data(data))


def payload_of(entry: Said) -> Data:
    """Return the payload that was said."""
    return decode_data(entry.payload_type, entry.payload)
