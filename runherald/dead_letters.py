"""Dead letters: records that could not be taken, kept with their origin and a reason; and what operators did about them.

The topic holds letters, and marks: that a letter was replayed, that a processor stopped because of too many, that somebody let it go on.
A mark has the header `rh_mark` and JSON for its value. All of it comes from the log, so history's copy can be made again.

A letter is its record as it was, with these headers after the record's own; the last three stand before them where the record was a replay:

| header | what |
|---|---|
| rh_origin_topic, rh_origin_partition, rh_origin_offset, rh_origin_timestamp | where the record stands |
| rh_processor, rh_reason | who refused it, and why |
| rh_replay_of, rh_first_letter, rh_replays | the letter that was replayed, the first one of them, and how many replays there were |
"""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from runherald.clock import from_micros
from runherald.errors import InvalidInput
from runherald.records import Headers, Outgoing, Record
from runherald.topics import DEAD_LETTERS, TOPICS

MAX_REASON = 1_000

_LAST_MILLIS = 4_102_444_800_000  # the year 2100

_LETTERS = UUID("6e0f3f57-5c0b-5d0f-9b57-0c2b7a4f7c11")  # the namespace of letters' ids
_MARK = "rh_mark"
_ORIGIN = ("rh_origin_topic", "rh_origin_partition", "rh_origin_offset", "rh_origin_timestamp", "rh_processor", "rh_reason")
_REPLAY = ("rh_replay_of", "rh_first_letter", "rh_replays")
_FIELD = re.compile(r"([A-Za-z_$][\w.\-]{0,99})(\[)?")
_TABLE = re.compile(r"table \w{1,99} ")


class Letter(Struct, frozen=True, kw_only=True):
    """A dead letter.

    Attributes:
        letter_id: made of the processor and of where the record stands, so that a letter that was published twice is one.
        error: the reason's kind: the field or table that is named in it.
        topic, partition, offset, timestamp: where the record stands, and when it was appended, in milliseconds since 1970.
        key, value, headers: the record as it was.
        first_id: the first letter of this event, itself where it was never replayed.
        previous_id: the letter whose replay this is; empty for a first one.
        replays: how often the event had been replayed before.
        dead_time: when the letter was appended.
    """

    letter_id: str
    processor: str
    error: str
    reason: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Headers
    first_id: str
    previous_id: str
    replays: int
    dead_time: datetime

    def text_of(self, header: str) -> str:
        """Return a header of the record as text; empty where there is none, or it is not UTF-8."""
        try:
            return dict(self.headers).get(header, b"").decode()
        except UnicodeDecodeError:
            return ""


class Replayed(Struct, frozen=True, kw_only=True, tag=True):
    """A mark: a letter's event was appended to its topic again, at this place, by the command of this id."""

    letter_id: str
    replay_id: str
    time: datetime
    topic: str
    partition: int
    offset: int
    user: str = ""
    late: bool = False


class Stopped(Struct, frozen=True, kw_only=True, tag=True):
    """A mark: a processor stopped before this record, because too many records before it became dead letters."""

    processor: str
    topic: str
    partition: int
    offset: int
    time: datetime
    reason: str


class WentOn(Struct, frozen=True, kw_only=True, tag=True):
    """A mark: somebody lets a processor go on. Dead letters before it count no more, nor do the next `allow`."""

    processor: str
    time: datetime
    user: str = ""
    allow: int = 0


Mark = Replayed | Stopped | WentOn

_MARKS = msgspec.json.Decoder(Mark)


def dead_letter(record: Record, *, processor: str, reason: str) -> Outgoing:
    """Return the dead letter of a record: its key, value and headers as they were, where it came from, and why it could not be taken."""
    values = (
        record.topic.encode(),
        str(record.partition).encode(),
        str(record.offset).encode(),
        str(record.timestamp).encode(),
        processor.encode(),
        reason[:MAX_REASON].encode(errors="replace"),
    )
    return Outgoing(topic=DEAD_LETTERS, key=record.key, value=record.value, headers=(*record.headers, *zip(_ORIGIN, values, strict=True)))


def mark_record(mark: Mark) -> Outgoing:
    """Return the record of a mark."""
    about = mark.letter_id if isinstance(mark, Replayed) else mark.processor
    return Outgoing(
        topic=DEAD_LETTERS, key=about.encode(), value=msgspec.json.encode(mark), headers=((_MARK, type(mark).__name__.encode()),)
    )


def read_letter(record: Record) -> Letter | Mark:
    """Return what a record of the dead letters' topic is. What is neither is a letter without a processor: whatever stands there is shown.

    Raises:
        InvalidInput: it is a mark that this version does not know.
    """
    if record.headers and record.headers[0][0] == _MARK:
        return _read_mark(record)
    origin, headers = _split(record.headers, _ORIGIN)
    replay, headers = _split(headers, _REPLAY)
    topic, partition, offset, timestamp, processor, reason = origin or (
        record.topic,
        str(record.partition),
        str(record.offset),
        str(record.timestamp),
        "",
        "the record has no origin",
    )
    letter_id = str(uuid5(_LETTERS, "\n".join((processor, topic, partition, offset, timestamp))))
    return Letter(
        letter_id=letter_id,
        processor=processor,
        error=error_class(reason),
        reason=reason,
        topic=topic,
        partition=_whole(partition),
        offset=_whole(offset),
        timestamp=_moment(_whole(timestamp)),
        key=record.key,
        value=record.value,
        headers=headers,
        first_id=replay[1] if replay else letter_id,
        previous_id=replay[0] if replay else "",
        replays=_whole(replay[2]) if replay else 0,
        dead_time=from_micros(_moment(record.timestamp) * 1000),
    )


def replay_record(letter: Letter, *, late: bool = False) -> Outgoing:
    """Return the record that brings a letter's event back to its topic.

    It is what it was, and says whose replay it is. With `late` it comes as the first event of a producer of its own: a run drops what
    comes after later events of the same producer. The producer is named for the first letter, so that a repeat stays one.

    Raises:
        InvalidInput: the letter's topic takes no replays.
    """
    if letter.topic not in TOPICS or letter.topic == DEAD_LETTERS:
        raise InvalidInput(f"letter {letter.letter_id}: its topic {letter.topic[:80]!r} is none that can be replayed to")
    headers = letter.headers
    if late:
        changed = {"ce_producer": f"replay-{letter.first_id}".encode(), "ce_sequence": b"0"}
        headers = tuple((name, changed.get(name, value)) for name, value in headers)
    values = (letter.letter_id.encode(), letter.first_id.encode(), str(letter.replays + 1).encode())
    return Outgoing(topic=letter.topic, key=letter.key, value=letter.value, headers=(*headers, *zip(_REPLAY, values, strict=True)))


def error_class(reason: str) -> str:
    """Return the kind of a reason: the field it names, without index or key, or the table; a small number of different texts."""
    table = _TABLE.match(reason)
    if table:
        return table[0].strip()
    field = _FIELD.match(reason)
    if field is None or (field[2] is None and not reason[field.end() :].startswith((":", " (a key)"))):
        return "other"
    return f"{field[1]}[]" if field[2] else field[1]


def _read_mark(record: Record) -> Mark:
    try:
        mark: Mark = _MARKS.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput(f"{_MARK}: no mark that this version knows, at offset {record.offset}") from None
    if mark.time.tzinfo is None:
        raise InvalidInput(f"{_MARK}: its time has no time zone, at offset {record.offset}")
    return mark


def _split(headers: Headers, names: tuple[str, ...]) -> tuple[tuple[str, ...] | None, Headers]:
    """Return the values of the last headers when they have these names, and the headers before them. Only the last ones are ours: the
    record's own may have the same names."""
    own, last = headers[: -len(names)], headers[-len(names) :]
    if tuple(name for name, _ in last) != names:
        return None, headers
    return tuple(value.decode(errors="replace") for _, value in last), own


def _moment(millis: int) -> int:
    """Return a time in milliseconds since 1970, or 0 for one that nobody's clock shows: programs write what they like there."""
    return millis if 0 <= millis < _LAST_MILLIS else 0


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 18 else 0
