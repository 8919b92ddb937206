"""Turns records of a journal into events: what was said stays alone; points that follow each other become one columnar event, lines of a
file one event of lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, cast

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from runherald.clock import from_micros, to_micros
from runherald.errors import InvalidEvent
from runherald.events import AmlRunLogEvent, AmlRunMetricEvent, Data, Event, LogLine, MetricObject, TextPoint, new_event
from runherald.producers.journal.entries import Entry, Lines, Logged, Point, Said, Text, decode_entry, payload_of
from runherald.producers.journal.folder import JournalHead
from runherald.producers.values import Nonfinite, nonfinite_name

MAX_POINTS = 1_000
"""Of points, or of lines, in one event."""
MAX_BYTES = 150_000
"""Of a batch's records in the journal: as JSON they stay below what one message may hold, whatever the text."""

_FIRST, _LAST = (to_micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))
_encode = msgspec.json.Encoder().encode


class Unreadable(NamedTuple):
    """A record that no event can be made of."""

    ordinal: int
    reason: str


class Batched(NamedTuple):
    """Events in the order of the journal, and what no event could be made of."""

    events: list[Event]
    unreadable: list[Unreadable]


def to_events(
    records: Sequence[tuple[int, bytes]], head: JournalHead, *, max_points: int = MAX_POINTS, max_bytes: int = MAX_BYTES
) -> Batched:
    """Return the events of consecutive records. The id of each is fixed by the ordinal of its first record.

    A gap in the ordinals (a loss) ends a batch, so that it shows in the events' sequences.
    """
    batched = Batched([], [])
    open_batch: list[tuple[int, Entry]] = []
    points = size = 0
    for ordinal, payload in records:
        try:
            entry = _sendable(decode_entry(payload))
            alone = _event(head, ordinal, entry.time, payload_of(entry)) if isinstance(entry, Said) else None
        except InvalidEvent as error:
            _close(batched, open_batch, head)
            batched.unreadable.append(Unreadable(ordinal, str(error)))
            continue
        follows = not open_batch or (open_batch[-1][0] + 1 == ordinal and _kind(open_batch[-1][1]) == _kind(entry))
        if alone is not None or not follows or points + _count(entry) > max_points or size + len(payload) > max_bytes:
            _close(batched, open_batch, head)
            points = size = 0
        if alone is not None:
            batched.events.append(alone)
        else:
            open_batch.append((ordinal, entry))
            points += _count(entry)
            size += len(payload)
    _close(batched, open_batch, head)
    return batched


def _sendable(entry: Entry) -> Entry:
    """Return an entry with its logged value as JSON, which no later part need look into.

    Raises:
        InvalidEvent: no event can be made of it: its time is in no calendar, or its value is none of JSON's.
    """
    if not _FIRST <= entry.time <= _LAST:
        raise InvalidEvent("journal", "a record's time is not between the years 1 and 9998")
    if not isinstance(entry, Logged):
        return entry
    try:
        return replace(entry, value=Raw(_encode(entry.value)))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise InvalidEvent("journal", "a record's value cannot be written as JSON") from None


def _kind(entry: Entry) -> tuple[str, str] | None:
    """Return what only entries of the same may stand in one event: a file and stream, or None for what metrics are made of."""
    return (entry.file, entry.stream) if isinstance(entry, Lines) else None


def _count(entry: Entry) -> int:
    return len(entry.texts) if isinstance(entry, Lines) else 1


def _close(batched: Batched, entries: list[tuple[int, Entry]], head: JournalHead) -> None:
    if entries:
        first, _ = entries[0]
        _, last = entries[-1]
        lines = [entry for _, entry in entries if isinstance(entry, Lines)]
        data = _lines(lines) if lines else _columns(entries)
        batched.events.append(_event(head, first, last.time, data))
        entries.clear()


def _lines(entries: Sequence[Lines]) -> AmlRunLogEvent:
    return AmlRunLogEvent(
        records=len(entries),
        file=entries[0].file,
        stream=cast(Literal["stdout"], entries[0].stream),
        lines=tuple(
            LogLine(number=entry.number + at, time=entry.time, text=text) for entry in entries for at, text in enumerate(entry.texts)
        ),
    )


def _columns(entries: Sequence[tuple[int, Entry]]) -> AmlRunMetricEvent:
    first, _ = entries[0]
    series_of: dict[str, int] = {}
    series: list[int] = []
    steps: list[int] = []
    times: list[int] = []
    values: list[float] = []
    nonfinite: dict[str, Nonfinite] = {}
    texts: list[TextPoint] = []
    objects: list[MetricObject] = []
    descriptions: dict[str, str] = {}
    for ordinal, entry in entries:
        sequence = None if ordinal == first else ordinal
        match entry:
            case Point(name, step, time, value):
                series.append(series_of.setdefault(name, len(series_of)))
                steps.append(step)
                times.append(time)
                if not math.isfinite(value):
                    nonfinite[str(len(values))] = nonfinite_name(value)
                    value = 0.0
                values.append(value)
            case Text(name, step, time, text):
                texts.append(TextPoint(name=name, step=step, time=time, text=text, sequence=sequence))
            case Logged(name, step, time, kind, logged):
                row = cast(Literal["row"], kind)
                objects.append(MetricObject(name=name, kind=row, step=step, time=time, value=logged, sequence=sequence))
            case Said() | Lines():
                raise AssertionError("these are events of their own")
        if entry.description:
            descriptions[entry.name] = entry.description
    return AmlRunMetricEvent(
        records=len(entries),
        names=tuple(series_of),
        series=series,
        steps=steps,
        times=times,
        values=values,
        nonfinite=nonfinite,
        texts=tuple(texts),
        objects=tuple(objects),
        descriptions=descriptions,
    )


def _event(head: JournalHead, ordinal: int, time: int, data: Data) -> Event:
    return new_event(data, workspace=head.workspace, run_id=head.run_id, producer=head.producer, sequence=ordinal, time=from_micros(time))
