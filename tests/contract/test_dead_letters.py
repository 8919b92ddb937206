"""Dead letters in history, on the real engine: stored once, found by what an operator knows of them, and linked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from runherald.dead_letters import Mark, Replayed, Stopped, WentOn, dead_letter, mark_record, read_letter, replay_record
from runherald.errors import InvalidInput
from runherald.letters_api import LetterCount, LetterSelection
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.dead_letter_ledger import DeadLetterLedger, LastRanges
from runherald.sinks.dead_letters import DeadLetterReader, selection
from runherald.sinks.migrate import migrate
from runherald.sinks.rows import Range
from runherald.sinks.writer import TableWriter
from runherald.streams.dead_letters import DeadLettersProcessor, dead_letters_processor
from runherald.topics import DEAD_LETTERS, EVENTS, METRICS

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALL = LetterSelection(state="all")
BYTES = bytes(range(256))


@pytest.fixture
def db(history_database: HistoryDatabase) -> HistoryDatabase:
    migrate(history_database)
    return history_database


@pytest.fixture
def reader(db: HistoryDatabase) -> DeadLetterReader:
    return DeadLetterReader(db)


def letter(offset: int, *, topic: str = EVENTS, processor: str = "history", reason: str = "ce_type: is missing") -> Outgoing:
    headers = (("ce_subject", b"run_1"), ("ce_id", b"e%d" % offset), ("odd", BYTES))
    return dead_letter(Record(topic, 0, offset, offset, b"run_1", BYTES, headers), processor=processor, reason=reason)


def placed(outgoing: Sequence[Outgoing], begin: int = 0) -> list[Record]:
    """What was appended to the dead letters' topic, a second apart."""
    start = int(NOW.timestamp() * 1000)
    return [
        Record(DEAD_LETTERS, 0, offset, start + 1000 * offset, each.key, each.value, each.headers)
        for offset, each in enumerate(outgoing, begin)
    ]


def id_of(outgoing: Outgoing) -> str:
    found = read_letter(placed([outgoing])[0])
    assert not isinstance(found, Mark)
    return found.letter_id


async def store(db: HistoryDatabase, *outgoing: Outgoing, begin: int = 0) -> DeadLettersProcessor:
    processor = dead_letters_processor(db, lambda: NOW)
    await processor.assigned({TopicPartition(DEAD_LETTERS, 0): 1_000})
    assert await processor.process(placed(outgoing, begin)) == ()
    assert await processor.flush() == ()
    return processor


def replayed(letter_id: str, replay_id: str = "r1") -> Outgoing:
    return mark_record(Replayed(letter_id=letter_id, replay_id=replay_id, time=NOW, topic=EVENTS, partition=0, offset=9))


async def test_a_letter_is_read_back_byte_for_byte(db: HistoryDatabase, reader: DeadLetterReader) -> None:
    await store(db, letter(3))
    [view] = reader.page(ALL).letters
    assert (view.processor, view.error, view.topic, view.partition, view.offset) == ("history", "ce_type", EVENTS, 0, 3)
    assert (view.state, view.replays, view.run_id, view.dead_time) == ("open", 0, "run_1", NOW)
    whole = reader.whole([view.letter_id])[view.letter_id]
    assert whole == read_letter(placed([letter(3)])[0])
    assert (whole.value, dict(whole.headers)["odd"]) == (BYTES, BYTES)


async def test_a_letter_published_twice_is_one(db: HistoryDatabase, reader: DeadLetterReader) -> None:
    await store(db, letter(3), letter(3))
    await store(db, letter(3), begin=2)
    assert len(reader.page(ALL).letters) == 1
    assert reader.page(ALL).letters[0].dead_time == NOW, "the first copy stays"


async def test_pages_go_from_the_newest_to_the_oldest_and_miss_none(db: HistoryDatabase, reader: DeadLetterReader) -> None:
    await store(db, *(letter(offset) for offset in range(7)))
    offsets: list[int] = []
    cursor = ""
    while True:
        page = reader.page(ALL, cursor=cursor, limit=3)
        offsets += [view.offset for view in page.letters]
        cursor = page.next
        if not cursor:
            break
    assert offsets == [6, 5, 4, 3, 2, 1, 0]
    assert [view.offset for view in reader.oldest(ALL, 3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("texts", "offsets"),
    [
        ({"processor": "metrics"}, [1]),
        ({"error": "data.tags[]"}, [2]),
        ({"topic": METRICS}, [1]),
        ({"since": "2026-01-02T03:04:06Z"}, [2, 1]),
        ({"until": "2026-01-02T04:04:06+01:00"}, [0]),
        ({"state": "replayed"}, [3]),
        ({"state": "open"}, [2, 1, 0]),
        ({}, [2, 1, 0]),
        ({"state": "all"}, [3, 2, 1, 0]),
        ({"processor": "nobody' OR 1 --"}, []),
    ],
)
async def test_letters_are_found_by_what_is_known_of_them(
    db: HistoryDatabase, reader: DeadLetterReader, texts: dict[str, str], offsets: list[int]
) -> None:
    last = letter(3)
    await store(
        db, letter(0), letter(1, topic=METRICS, processor="metrics"), letter(2, reason="data.tags[x]: long"), last, replayed(id_of(last))
    )
    assert [view.offset for view in reader.page(selection(texts)).letters] == offsets


@pytest.mark.parametrize("texts", [{"state": "x"}, {"since": "yesterday"}, {"until": "1066-01-01"}])
def test_a_filter_that_cannot_be_used_is_named(texts: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(texts))):
        selection(texts)


@pytest.mark.parametrize(("cursor", "limit"), [("x", 1), ("1", 1), ("", 0), ("", 1_001)])
def test_a_page_that_cannot_be_is_refused(reader: DeadLetterReader, cursor: str, limit: int) -> None:
    with pytest.raises(InvalidInput):
        reader.page(ALL, cursor=cursor, limit=limit)


async def test_a_letter_knows_its_replays_and_what_became_of_them(db: HistoryDatabase, reader: DeadLetterReader) -> None:
    first = letter(3)
    first_letter = read_letter(placed([first])[0])
    assert not isinstance(first_letter, Mark)
    again = replay_record(first_letter)
    second = dead_letter(Record(EVENTS, 0, 9, 99, again.key, again.value, again.headers), processor="history", reason="ce_type: is missing")
    other = letter(4)
    await store(db, first, other, replayed(id_of(first)), replayed(id_of(first), "r2"), replayed(id_of(first), "r2"), second)
    await store(db, replayed(id_of(other), "r2"), begin=6)

    states = {view.offset: (view.state, view.replays) for view in reader.page(ALL).letters}
    assert states == {3: ("failed_again", 2), 4: ("replayed", 1), 9: ("open", 0)}
    assert [(replay.replay_id, replay.offset) for replay in reader.replays(id_of(first))] == [("r1", 9), ("r2", 9)]
    assert reader.following(id_of(first)) == [id_of(second)]
    linked = reader.whole([id_of(second)])[id_of(second)]
    assert (linked.first_id, linked.previous_id, linked.replays) == (id_of(first), id_of(first), 1)
    assert reader.counts() == [LetterCount(processor="history", error="ce_type", open=1, replayed=1, failed_again=1)]


async def test_what_no_version_of_ours_wrote_neither_stops_the_processor_nor_is_lost(db: HistoryDatabase, reader: DeadLetterReader) -> None:
    unknown = Outgoing(DEAD_LETTERS, None, b"{}", (("rh_mark", b"Burned"),))
    await store(db, unknown, Outgoing(DEAD_LETTERS, None, b"\xff\x00"), letter(1))
    assert sorted((view.processor, view.offset) for view in reader.page(ALL).letters) == [("", 1), ("history", 1)]


async def test_the_last_stop_of_a_processor_is_known_and_whether_it_may_go_on(db: HistoryDatabase, reader: DeadLetterReader) -> None:
    def stop(processor: str, offset: int, seconds: int) -> Outgoing:
        time = NOW + timedelta(seconds=seconds)
        return mark_record(Stopped(processor=processor, topic=EVENTS, partition=0, offset=offset, time=time, reason="500 records"))

    await store(db, stop("history", 5, 0), stop("history", 8, 10), stop("metrics", 1, 0))
    await store(db, mark_record(WentOn(processor="metrics", time=NOW + timedelta(seconds=5))), begin=3)
    assert [(found.processor, found.offset, found.allowed) for found in reader.stops()] == [("history", 8, False), ("metrics", 1, True)]


async def test_what_became_of_the_last_records_is_recalled(db: HistoryDatabase) -> None:
    now = datetime.now(UTC)  # the ledger forgets what is older than a month
    moments = iter(now + timedelta(seconds=second) for second in range(10))
    writer = TableWriter(db, "history", lambda: next(moments))
    here, there = TopicPartition(EVENTS, 0), TopicPartition(EVENTS, 1)
    for first, last, dead in ((0, 9, 0), (10, 14, 3), (15, 15, 1)):
        await writer.write([Range(here, first, last, (), dead)])
    await writer.write([Range(there, 0, 4, (), 5)])
    ledger = DeadLetterLedger(db, "history")

    assert await ledger.last([here], 100) == LastRanges([(1, 1), (5, 3), (10, 0)], 0)
    assert await ledger.last([here], 6) == LastRanges([(1, 1), (5, 3)], 0)
    assert await ledger.last([here, there], 100) == LastRanges([(5, 5), (1, 1), (5, 3), (10, 0)], 0)
    assert await DeadLetterLedger(db, "metrics").last([here], 100) == LastRanges([], 0)

    # Since somebody let it go on, the letters before do not count; and of five that may come, those of the other partition did.
    await store(db, mark_record(WentOn(processor="history", time=now + timedelta(seconds=1, milliseconds=500), allow=8)))
    assert await ledger.last([here], 100) == LastRanges([(1, 1)], 2)
