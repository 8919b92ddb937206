"""How records stand in a journal's file: each in a frame that shows whether it is whole.

    magic (2 bytes) | length of the payload (u32) | ordinal (u64) | CRC-32 of length, ordinal and payload (u32) | payload

All numbers are little-endian. The ordinal is the record's number in the journal, from 0; as it stands in the frame, a damaged stretch
costs its own records and shifts no other. The first byte of the magic is in no UTF-8 text, so that text hardly looks like a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"\xf5R"
MAX_PAYLOAD = 16 * 1024 * 1024

_HEAD = Struct("<2sIQI")
_COUNTED = Struct("<IQ")
_HEAD_SIZE = _HEAD.size
_pack_head = _HEAD.pack
_pack_counted = _COUNTED.pack


class Frame(NamedTuple):
    """A whole frame; `end` is where the next one begins."""

    ordinal: int
    payload: bytes
    end: int


class Damage(NamedTuple):
    """A stretch that holds no whole frame. `torn`: it is the beginning of one, up to the end of the data, as a write that was cut off."""

    start: int
    end: int
    torn: bool


def frame(ordinal: int, payload: bytes) -> bytes:
    """Return the frame around a payload."""
    length = len(payload)
    return _pack_head(MAGIC, length, ordinal, crc32(payload, crc32(_pack_counted(length, ordinal)))) + payload


def scan(data: bytes, start: int = 0) -> Iterator[Frame | Damage]:
    """Go through the frames of data from an offset, in order, and through the damage between them."""
    while start < len(data):
        found = _frame_at(data, start)
        if found is not None:
            yield found
            start = found.end
            continue
        following = _next_frame(data, start + 1)
        end = len(data) if following is None else following
        yield Damage(start, end, torn=following is None and _is_beginning(data, start))
        start = end


def _frame_at(data: bytes, start: int) -> Frame | None:
    begin = start + _HEAD_SIZE
    if begin > len(data):
        return None
    magic, length, ordinal, checksum = _HEAD.unpack_from(data, start)
    end = begin + length
    if magic != MAGIC or length > MAX_PAYLOAD or end > len(data):
        return None
    payload = data[begin:end]
    if crc32(payload, crc32(_pack_counted(length, ordinal))) != checksum:
        return None
    return Frame(ordinal, payload, end)


def _next_frame(data: bytes, start: int) -> int | None:
    while (start := data.find(MAGIC, start)) >= 0:
        if _frame_at(data, start) is not None:
            return start
        start += 1
    return None


def _is_beginning(data: bytes, start: int) -> bool:
    head = data[start : start + _HEAD_SIZE]
    if not MAGIC.startswith(head[:2]):
        return False
    if len(head) < _HEAD_SIZE:
        return True
    _, length, _, _ = _HEAD.unpack(head)
    return length <= MAX_PAYLOAD and start + _HEAD_SIZE + int(length) > len(data)
