"""Dead letters as data: what a letter says, what a replay is, and how the two are linked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runherald.dead_letters import Letter, Replayed, Stopped, WentOn, dead_letter, error_class, mark_record, read_letter, replay_record
from runherald.errors import InvalidInput
from runherald.records import Headers, Outgoing, Record
from runherald.topics import DEAD_LETTERS, EVENTS

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def appended(record: Outgoing, offset: int, timestamp: int = 1_700_000_000_000) -> Record:
    return Record(record.topic, 0, offset, timestamp, record.key, record.value, record.headers)


def letter_of(record: Record, *, reason: str = "data.tags[notes]: is too long", at: int = 1) -> Letter:
    letter = read_letter(appended(dead_letter(record, processor="history", reason=reason), at))
    assert isinstance(letter, Letter)
    return letter


def record(*, headers: Headers = (), key: bytes | None = b"run", value: bytes = b"{}", offset: int = 7) -> Record:
    return Record(EVENTS, 3, offset, 1_600_000_000_123, key, value, headers)


NAMES = st.sampled_from(["ce_id", "rh_reason", "rh_origin_topic", "rh_processor", "rh_replays", "rh_replay_of", "rh_first_letter", "x"])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=8)), max_size=12), st.none() | st.binary(max_size=8), st.binary(max_size=40))
def test_a_letter_gives_its_record_back_whatever_it_holds(headers: list[tuple[str, bytes]], key: bytes | None, value: bytes) -> None:
    letter = letter_of(record(headers=(("first", b""), *headers, ("last", b"")), key=key, value=value))
    assert (letter.key, letter.value) == (key, value)
    assert letter.headers == (("first", b""), *headers, ("last", b""))
    assert (letter.topic, letter.partition, letter.offset, letter.timestamp) == (EVENTS, 3, 7, 1_600_000_000_123)
    assert (letter.processor, letter.reason, letter.replays) == ("history", "data.tags[notes]: is too long", 0)


def test_a_letter_published_twice_is_one_and_another_records_is_another() -> None:
    first = letter_of(record(), at=1)
    assert letter_of(record(), at=9).letter_id == first.letter_id
    assert letter_of(record(offset=8)).letter_id != first.letter_id
    assert (first.first_id, first.previous_id) == (first.letter_id, "")


def test_a_replay_is_the_record_as_it_was_and_says_whose_it_is() -> None:
    original = record(headers=(("ce_id", b"e1"), ("ce_producer", b"p"), ("ce_sequence", b"4")))
    again = replay_record(letter_of(original))
    assert (again.topic, again.key, again.value) == (EVENTS, original.key, original.value)
    assert again.headers[:3] == original.headers
    assert [name for name, _ in again.headers[3:]] == ["rh_replay_of", "rh_first_letter", "rh_replays"]


def test_a_replay_that_fails_again_is_a_new_letter_linked_to_its_first() -> None:
    original = record(headers=(("ce_id", b"e1"),))
    first = letter_of(original)
    second = letter_of(appended(replay_record(first), 20))
    third = letter_of(appended(replay_record(second), 30))
    assert len({first.letter_id, second.letter_id, third.letter_id}) == 3
    assert (second.first_id, second.previous_id, second.replays) == (first.letter_id, first.letter_id, 1)
    assert (third.first_id, third.previous_id, third.replays) == (first.letter_id, second.letter_id, 2)
    assert third.headers == original.headers, "the record's own headers do not grow with each replay"


def test_a_late_replay_counts_for_itself_and_keeps_the_events_id() -> None:
    letter = letter_of(record(headers=(("ce_id", b"e1"), ("ce_producer", b"p"), ("ce_sequence", b"4"))))
    headers = dict(replay_record(letter, late=True).headers)
    assert headers["ce_id"] == b"e1"
    assert (headers["ce_producer"], headers["ce_sequence"]) == (f"replay-{letter.letter_id}".encode(), b"0")
    assert replay_record(letter, late=True) == replay_record(letter, late=True)


@pytest.mark.parametrize("topic", [DEAD_LETTERS, "elsewhere", ""])
def test_a_topic_that_takes_no_replays_is_named(topic: str) -> None:
    letter = letter_of(Record(topic, 0, 0, 0, None, b""))
    with pytest.raises(InvalidInput, match="can be replayed"):
        replay_record(letter)


def test_what_stands_in_the_topic_without_an_origin_is_shown_as_well() -> None:
    letter = read_letter(Record(DEAD_LETTERS, 0, 5, 1, None, b"\xff", (("rh_reason", b"forged"),)))
    assert isinstance(letter, Letter)
    assert (letter.processor, letter.topic, letter.offset, letter.value) == ("", DEAD_LETTERS, 5, b"\xff")


@pytest.mark.parametrize(
    "mark",
    [
        Replayed(letter_id="l", replay_id="r", time=NOW, topic=EVENTS, partition=1, offset=2, user="ann", late=True),
        Stopped(processor="history", topic=EVENTS, partition=1, offset=2, time=NOW, reason="500 records"),
        WentOn(processor="history", time=NOW, user="ann", allow=5),
    ],
)
def test_marks_are_read_back(mark: Replayed | Stopped | WentOn) -> None:
    assert read_letter(appended(mark_record(mark), 1)) == mark


def test_a_mark_of_a_later_version_is_said() -> None:
    with pytest.raises(InvalidInput, match="rh_mark"):
        read_letter(Record(DEAD_LETTERS, 0, 5, 1, None, b'{"type":"Burned"}', (("rh_mark", b"Burned"),)))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("ce_type: the record has no such header", "ce_type"),
        ("data.tags[notes]: is 2000 characters long", "data.tags[]"),
        ("data.tags[a: b]c]: is 2000 characters long", "data.tags[]"),
        ("data.lines[3].text: is long", "data.lines[]"),
        ("data.descriptions (a key): is empty", "data.descriptions"),
        ("content-type: is missing", "content-type"),
        ("table run_events does not take a value of this event (ClickHouse error 321)", "table run_events"),
        ("Something else went wrong", "other"),
        ("", "other"),
    ],
)
def test_reasons_have_few_kinds(reason: str, kind: str) -> None:
    assert error_class(reason) == kind


@given(st.text(max_size=200))
def test_a_kind_is_short_and_has_no_control_characters(reason: str) -> None:
    kind = error_class(reason)
    assert 0 < len(kind) <= 120
    assert kind.isprintable()
