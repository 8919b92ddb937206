"""Records become events: columns hold what was logged, and the ids hang on the ordinals alone."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runherald.events import AmlRunEvent, AmlRunLogEvent, AmlRunMetricEvent, Event, event_id
from runherald.limits import DEFAULT_LIMITS
from runherald.producers.journal.entries import Entry, Lines, Logged, Point, Said, Text, decode_entry, encode_entry, said
from runherald.producers.journal.folder import JournalHead
from runherald.producers.run.lines import MAX_LINE, fitting, packed
from runherald.producers.shipping.batching import MAX_POINTS, to_events
from runherald.validation import check_event
from runherald.wire import decode_cloud_event, encode_batch, split_batch

HEAD = JournalHead(workspace="default", run_id="run-1", producer="p")
NAMES = st.sampled_from(["loss", "accuracy", "lr"])
STEPS = st.integers(-5, 1_000)
TIMES = st.integers(0, 4_000_000_000_000_000)
ENTRIES = st.lists(
    st.builds(Point, NAMES, STEPS, TIMES, st.floats(allow_nan=False))
    | st.builds(Text, NAMES, STEPS, TIMES, st.text(max_size=10))
    | st.builds(Logged, NAMES, STEPS, TIMES, st.just("row"), st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2))
    | st.builds(
        Lines, st.sampled_from(["a", "b"]), st.just("stdout"), STEPS.map(abs), TIMES, st.tuples(st.text(max_size=3), st.text(max_size=3))
    )
    | st.builds(lambda time: said(AmlRunEvent(operation="Updated", description="d"), time), TIMES),
    max_size=40,
)


def records(entries: list[Entry], first: int = 0) -> list[tuple[int, bytes]]:
    return [(first + index, encode_entry(entry)) for index, entry in enumerate(entries)]


def unpacked(events: list[Event]) -> list[Entry]:
    """Take the columns apart again."""
    found: list[Entry] = []
    for event in events:
        if isinstance(event.data, AmlRunLogEvent):
            pairs = [event.data.lines[at : at + 2] for at in range(0, len(event.data.lines), 2)]
            found += [
                Lines(event.data.file, event.data.stream, first.number, first.time, (first.text, second.text)) for first, second in pairs
            ]
            continue
        if not isinstance(event.data, AmlRunMetricEvent):
            found.append(said(event.data, 0))
            continue
        data = event.data
        for index, (series, step, time, value) in enumerate(zip(data.series, data.steps, data.times, data.values, strict=True)):
            name = data.nonfinite.get(str(index))
            number = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[name] if name else value
            found.append(Point(data.names[series], step, time, number))
        found += [Text(text.name, text.step, text.time, text.text) for text in data.texts]
        found += [
            Logged(item.name, item.step, item.time, item.kind, msgspec.json.decode(msgspec.json.encode(item.value)))
            for item in data.objects
        ]
    return found


def key(entry: Entry) -> bytes:
    return encode_entry(Said(entry.payload_type, 0, entry.payload) if isinstance(entry, Said) else entry)


def records_of(event: Event) -> int:
    """Return how many records of the journal an event says that it covers."""
    return event.data.records if isinstance(event.data, (AmlRunMetricEvent, AmlRunLogEvent)) else 1


@given(ENTRIES, st.integers(1, 7))
def test_nothing_is_lost_or_added_whatever_the_batch_size(entries: list[Entry], max_points: int) -> None:
    batched = to_events(records(entries), HEAD, max_points=max_points)
    assert sorted(map(key, unpacked(batched.events))) == sorted(map(key, entries))
    following = 0
    for event in batched.events:
        check_event(event)
        assert event.sequence == following
        assert event.id == event_id("run-1", "p", following)
        following += records_of(event)
    assert following == len(entries)


@given(ENTRIES, st.integers(0, 40))
def test_said_events_are_the_same_however_the_records_are_cut(entries: list[Entry], cut: int) -> None:
    def alone(events: list[Event]) -> list[Event]:
        return [event for event in events if not isinstance(event.data, (AmlRunMetricEvent, AmlRunLogEvent))]

    whole = records(entries)
    again = to_events(whole[:cut], HEAD).events + to_events(whole[cut:], HEAD).events
    assert alone(again) == alone(to_events(whole, HEAD).events)


def test_a_gap_in_the_ordinals_shows_in_the_sequences() -> None:
    points: list[Entry] = [Point("loss", step, step, 1.0) for step in range(4)]
    kept = [record for record in records(points) if record[0] != 2]
    assert [(event.sequence, records_of(event)) for event in to_events(kept, HEAD).events] == [(0, 2), (3, 1)]


def test_numbers_that_json_lacks_survive_the_wire() -> None:
    entries: list[Entry] = [Point("loss", step, step, value) for step, value in enumerate([math.nan, 1.5, math.inf, -math.inf])]
    events = to_events(records(entries), HEAD).events
    (member,) = split_batch(encode_batch(events))
    data = decode_cloud_event(member).data
    assert isinstance(data, AmlRunMetricEvent)
    assert data.nonfinite == {"0": "NaN", "2": "Infinity", "3": "-Infinity"}
    assert data.values == [0.0, 1.5, 0.0, 0.0]


@pytest.mark.parametrize("text", ["x", "é", "\x01", "🎉"])
def test_an_event_of_the_longest_texts_fits_into_a_message(text: str) -> None:
    entries: list[Entry] = [Text("note", step, step, text * DEFAULT_LIMITS.metric_text) for step in range(MAX_POINTS // 10)]
    for event in to_events(records(entries), HEAD).events:
        assert len(encode_batch([event])) <= DEFAULT_LIMITS.event_bytes


def test_a_record_of_a_newer_version_is_named_and_the_rest_goes_on() -> None:
    good = encode_entry(Point("loss", 0, 0, 1.0))
    batched = to_events([(0, good), (1, msgspec.msgpack.encode([99, "new"])), (2, good)], HEAD)
    assert [event.sequence for event in batched.events] == [0, 2]
    assert [one.ordinal for one in batched.unreadable] == [1]
    assert decode_entry(good) == Point("loss", 0, 0, 1.0)


def test_lines_of_a_file_become_one_event_and_those_of_another_their_own() -> None:
    printed: list[Entry] = [Lines("a", "stdout", number, number, (f"line {number}",)) for number in range(5)]
    others: list[Entry] = [Lines("a", "stderr", 5, 5, ("oh",)), Lines("b", "stderr", 0, 6, ("x", "y")), Point("loss", 0, 7, 1.0)]
    events = to_events(records([*printed, *others]), HEAD).events
    assert [event.sequence for event in events] == [0, 5, 6, 7]
    (first, _, third) = [event.data for event in events if isinstance(event.data, AmlRunLogEvent)]
    assert (first.records, [line.text for line in first.lines]) == (5, [f"line {number}" for number in range(5)])
    assert [(line.number, line.time) for line in first.lines] == [(number, number) for number in range(5)]
    assert (third.file, third.stream, [(line.number, line.text) for line in third.lines]) == ("b", "stderr", [(0, "x"), (1, "y")])


def test_an_event_of_lines_fits_into_a_message_whatever_they_hold() -> None:
    printed = ["\x01" * MAX_LINE] * 60 + [""] * 20_000 + ["€" * MAX_LINE] * 60
    worst: list[Entry] = [Lines("a.log", "file", 10**9, 4_000_000_000_000_000, texts) for texts in packed(fitting(printed))]
    events = to_events(records(worst), HEAD).events
    assert sum(len(event.data.lines) for event in events if isinstance(event.data, AmlRunLogEvent)) == 20_120
    assert max(len(encode_batch([event])) for event in events) < DEFAULT_LIMITS.event_bytes
    assert len(events) < 80
