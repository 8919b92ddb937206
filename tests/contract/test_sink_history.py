"""History on the real engine: whatever comes twice, in whatever batches, past whatever crash, the same rows and the same transitions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunOutputEvent,
    AmlRunStatusChangedEvent,
    Data,
    RunHeader,
    new_event,
)
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import LogReplaced
from runherald.sinks.migrate import migrate
from runherald.sinks.retry import Retry
from runherald.sinks.state_text import decode_state
from runherald.sinks.writer import TableWriter
from runherald.status import Cause, Status
from runherald.streams.history import HistoryProcessor, history_processor
from runherald.streams.history_rows import TABLES
from runherald.streams.stored_states import StoredStates
from runherald.topics import DEAD_LETTERS, EVENTS, STATUS
from runherald.wire import to_outgoing
from tests.fixtures.faulty_history import FaultyHistory
from tests.fixtures.placed import placed, placed_all

START = datetime(2026, 11, 1, tzinfo=UTC)
RUN = Actor(kind="run", name="script")
HERE = TopicPartition(EVENTS, 0)

CREATED = AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits", tags={"a": "1", "flag": None}))
RUNNING = AmlRunStatusChangedEvent(status=Status.RUNNING, actor=RUN)
COMPLETED = AmlRunStatusChangedEvent(status=Status.COMPLETED, actor=RUN)

OPERATIONS: tuple[Data, ...] = (
    CREATED,
    RUNNING,
    COMPLETED,
    AmlRunStatusChangedEvent(status=Status.FAILED, actor=RUN, cause=Cause.CODE_ERROR, message="no"),
    AmlRunStatusChangedEvent(status=Status.NOT_RESPONDING, actor=Actor(kind="watcher"), cause=Cause.LOST_CONTACT, claim=True),
    AmlRunStatusChangedEvent(status=Status.RUNNING, actor=RUN, resume=True),
    AmlRunHeartbeatEvent(lease_seconds=30),
    AmlRunEvent(operation="Updated", tags={"a": "2"}, params={"lr": "0.1"}, properties={"p": "1"}),
    AmlRunEvent(operation="Updated", tags_removed=("a",), params={"lr": "high"}),
    AmlRunEvent(operation="Updated", tags={"b": None}, properties={"p": "2"}),
    AmlRunOutputEvent(path="model.bin", size=7),
)


class Crash(Exception):
    """The process dies here."""


async def no_sleep(_seconds: float) -> None:
    pass


@pytest.fixture
def history(history_database: HistoryDatabase) -> FaultyHistory:
    migrate(history_database)
    return FaultyHistory(history_database)


def processor(history: FaultyHistory) -> HistoryProcessor:
    return history_processor(history.as_database, lambda: START, retry=Retry(sleep=no_sleep))


def events_of(*payloads: Data, run: str = "run-1", workspace: str = "w", producer: str = "p") -> list[Record]:
    return placed_all(
        new_event(data, workspace=workspace, run_id=run, producer=producer, sequence=n, time=START + timedelta(seconds=n))
        for n, data in enumerate(payloads)
    )


def select(history: FaultyHistory, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
    found: Sequence[Sequence[Any]] = history.client().query(query, parameters).result_rows
    return found


async def test_a_run_from_its_creation_to_its_end(history: FaultyHistory) -> None:
    subject = processor(history)

    published = await subject.process(events_of(CREATED, RUNNING, COMPLETED))
    assert await subject.flush() == []

    assert [record.topic for record in published] == [STATUS] * 3
    run = select(history, "SELECT run_id, experiment, status, duration_seconds, tags, flags, revision FROM runs")
    assert list(run) == [("run-1", "digits", "Completed", 1.0, {"a": "1"}, ["flag"], 3)]
    way = select(history, "SELECT status, previous_status FROM transitions ORDER BY revision")
    assert list(way) == [("NotStarted", ""), ("Running", "NotStarted"), ("Completed", "Running")]
    kusto = select(history, "SELECT Status, RunId, ExperimentName, DurationMs FROM AmlRunStatusChangedEvent WHERE DurationMs != ''")
    assert list(kusto) == [("Completed", "run-1", "digits", "1000")]


async def test_the_stored_state_is_the_folded_one(history: FaultyHistory) -> None:
    subject = processor(history)
    await subject.process(events_of(*OPERATIONS))
    await subject.flush()

    ((text,),) = select(history, "SELECT state FROM run_state FINAL")
    stored = decode_state(text)
    assert (stored.status, stored.header.tags, stored.attempt) == (Status.RUNNING, {"flag": None}, 2)


@pytest.mark.parametrize("again", [3, 1], ids=["in the same batch", "one by one"])
async def test_a_run_is_in_the_index_though_the_process_died_between_its_state_and_that(history: FaultyHistory, again: int) -> None:
    records = events_of(CREATED, RUNNING, COMPLETED)
    ((feed,),) = select(
        history, "SELECT create_table_query FROM system.tables WHERE name = 'run_index_feed' AND database = currentDatabase()"
    )
    history.client().command("DROP VIEW run_index_feed")  # as where the engine was killed before it got to the view

    def die(table: str, _columns: object) -> None:
        if table == "run_state":
            raise Crash

    history.after = die
    subject = processor(history)
    await subject.process(records)
    with pytest.raises(Crash):
        await subject.flush()
    history.after = lambda _table, _columns: None
    history.client().command(feed)

    restarted = processor(history)
    for first in range(0, len(records), again):
        assert await restarted.process(records[first : first + again]) == []
        await restarted.flush()
    assert list(select(history, "SELECT run_id, status, revision FROM run_index FINAL")) == [("run-1", "Completed", 3)]
    assert list(select(history, "SELECT run_id, status, revision FROM run_state FINAL")) == [("run-1", "Completed", 3)]


async def test_tags_and_params_as_they_are_now(history: FaultyHistory) -> None:
    subject = processor(history)
    for record in events_of(
        CREATED,
        AmlRunEvent(operation="Updated", tags={"a": None, "b": "0.5"}, params={"lr": "0.1", "opt": "adam"}),
        AmlRunEvent(operation="Updated", tags={"c": "x"}, tags_removed=("flag",), params={"lr": "0.01"}),
    ):
        await subject.process([record])
        await subject.flush()

    tags = select(history, "SELECT key, value, is_flag FROM tags ORDER BY key")
    assert list(tags) == [("a", "", True), ("b", "0.5", False), ("c", "x", False)]
    params = select(history, "SELECT key, value FROM params WHERE experiment = 'digits' AND NOT value_num > 0.05 ORDER BY key")
    assert list(params) == [("lr", "0.01"), ("opt", "adam")]


async def test_what_is_refused_stays_with_its_reason(history: FaultyHistory) -> None:
    subject = processor(history)
    published = await subject.process(events_of(CREATED, RUNNING, COMPLETED, RUNNING))
    await subject.flush()

    assert len(published) == 3
    refused = select(history, "SELECT status, previous_status, reason FROM transitions WHERE NOT accepted")
    assert [(status, before) for status, before, _ in refused] == [("Running", "Completed")]
    assert "cannot follow" in refused[0][2]
    assert list(select(history, "SELECT outcome, count() FROM run_events FINAL GROUP BY outcome ORDER BY outcome")) == [
        ("accepted", 3),
        ("rejected", 1),
    ]


async def test_of_an_event_that_came_twice_the_first_counts(history: FaultyHistory) -> None:
    created, running = events_of(CREATED, RUNNING)
    subject = processor(history)
    published = await subject.process([created, running, replace(running, offset=2)])
    await subject.flush()

    assert len(published) == 2
    events = select(history, "SELECT operation, status, outcome, _offset FROM run_events FINAL ORDER BY _offset")
    assert list(events) == [("Created", "", "accepted", 0), ("", "Running", "accepted", 1)]


async def test_what_a_producer_says_out_of_order_is_kept_and_changes_nothing(history: FaultyHistory) -> None:
    created, running, canceled = events_of(CREATED, RUNNING, AmlRunStatusChangedEvent(status=Status.CANCELED, actor=RUN))
    subject = processor(history)
    await subject.process([created, replace(canceled, offset=1), replace(running, offset=2)])
    await subject.flush()

    assert list(select(history, "SELECT status FROM runs")) == [("Canceled",)]
    events = select(history, "SELECT status, outcome FROM run_events FINAL ORDER BY _offset")
    assert list(events) == [("", "accepted"), ("Canceled", "accepted"), ("Running", "duplicate")]


async def test_an_unknown_type_is_kept_verbatim(history: FaultyHistory) -> None:
    (known,) = events_of(CREATED)
    headers = dict(known.headers) | {"ce_type": b"AmlRunDreamEvent", "ce_dataschema": b"urn:runherald:schema:AmlRunDreamEvent:7"}
    record = replace(known, headers=tuple(headers.items()), value=b'{"sheep": [1, 2]}')
    subject = processor(history)
    assert await subject.process([record]) == []
    await subject.flush()

    assert list(select(history, "SELECT type, data_version, outcome, payload FROM run_events")) == [
        ("AmlRunDreamEvent", 7, "taken", '{"sheep": [1, 2]}')
    ]


def spoil(record: Record, how: str) -> Record:
    headers = dict(record.headers)
    match how:
        case "no JSON":
            return replace(record, value=b"{")
        case "no event":
            return replace(record, headers=())
        case "not UTF-8":
            return replace(record, value=b'{"operation":"Deleted","later":"\xff"}')
        case "unknown status":
            return replace(
                record, value=b'{"status":"Dreaming"}', headers=tuple((headers | {"ce_type": b"AmlRunStatusChangedEvent"}).items())
            )
        case "another topic's":
            return replace(record, value=b"{}", headers=tuple((headers | {"ce_type": b"AmlRunMetricEvent"}).items()))
        case _:
            return replace(record, key=None)


@pytest.mark.parametrize("how", ["no JSON", "no event", "not UTF-8", "unknown status", "another topic's", "no key"])
async def test_poison_becomes_a_dead_letter_and_the_rest_goes_on(history: FaultyHistory, how: str) -> None:
    records = events_of(CREATED, CREATED, RUNNING)
    records[1] = spoil(records[1], how)
    subject = processor(history)

    out = await subject.process(records)
    assert await subject.flush() == []

    (letter,) = [record for record in out if record.topic == DEAD_LETTERS]
    headers = dict(letter.headers)
    assert letter.value == records[1].value
    assert (headers["rh_origin_topic"], headers["rh_origin_offset"], headers["rh_processor"]) == (EVENTS.encode(), b"1", b"history")
    assert list(select(history, "SELECT status FROM runs")) == [("Running",)]
    assert list(select(history, "SELECT first, last, dead FROM ingest_batches")) == [(0, 2, 1)]


async def test_a_row_that_is_refused_becomes_a_dead_letter_before_the_watermark(history: FaultyHistory) -> None:
    def refuse(table: str, columns: dict[str, Any]) -> None:
        if table == "run_events" and 1 in columns["_offset"]:
            raise OverflowError("too large")

    history.before = refuse
    subject = processor(history)
    await subject.process(events_of(CREATED, RUNNING, COMPLETED))

    (letter,) = await subject.flush()
    assert dict(letter.headers)["rh_origin_offset"] == b"1"
    assert list(select(history, "SELECT count() FROM ingest_batches")) == [(0,)]  # a crash now brings the record, and its letter, again

    await subject.process([])
    assert list(select(history, "SELECT last, dead FROM ingest_batches")) == [(2, 1)]


async def test_what_is_stored_is_not_published_again(history: FaultyHistory) -> None:
    records = events_of(CREATED, RUNNING)
    first = processor(history)
    await first.process(records)
    await first.flush()

    second = processor(history)
    await second.assigned({HERE: 3})
    assert await second.process(records) == []
    assert second.pending == 0


async def test_a_stored_state_vouches_for_its_rows_when_the_watermark_is_lost(history: FaultyHistory) -> None:
    def crash(table: str, _columns: dict[str, Any]) -> None:
        if table == "run_state":
            raise Crash

    records = events_of(CREATED, RUNNING)
    first = processor(history)
    await first.process(records)
    history.after = crash
    with pytest.raises(Crash):
        await first.flush()
    history.after = lambda _table, _columns: None

    second = processor(history)
    assert await second.process(records) == []
    await second.flush()
    assert list(select(history, "SELECT revision FROM runs")) == [(2,)]
    assert list(select(history, "SELECT max(last) FROM ingest_watermarks")) == [(1,)]


async def test_states_are_dropped_with_their_partition(history: FaultyHistory) -> None:
    records = events_of(CREATED, RUNNING, COMPLETED)
    here, there = processor(history), processor(history)
    await here.process(records[:1])
    await here.flush()
    await here.revoked([HERE])
    await there.process(records[:2])  # meanwhile, elsewhere
    await there.flush()

    await here.assigned({HERE: 3})
    published = await here.process(records[1:])
    await here.flush()

    assert len(published) == 1
    assert list(select(history, "SELECT status, revision FROM runs")) == [("Completed", 3)]


async def test_states_beyond_the_bound_are_read_again(history: FaultyHistory) -> None:
    writer = TableWriter(history.as_database, "history", lambda: START)
    subject = HistoryProcessor(writer, StoredStates(history.as_database, Retry()), held_states=1)
    names = [f"run-{number}" for number in range(5)]
    created = [placed(to_outgoing_of(CREATED, name, 0), offset) for offset, name in enumerate(names)]
    ended = [placed(to_outgoing_of(COMPLETED, name, 2), offset + 10) for offset, name in enumerate(names)]
    running = [placed(to_outgoing_of(RUNNING, name, 1), offset + 5) for offset, name in enumerate(names)]
    for records in (created, running, ended):
        await subject.process(records)
        await subject.flush()

    assert list(select(history, "SELECT status, revision, count() FROM runs GROUP BY ALL")) == [("Completed", 3, 5)]


def to_outgoing_of(data: Data, run: str, sequence: int) -> Outgoing:
    moment = START + timedelta(seconds=sequence)
    return to_outgoing(new_event(data, workspace="w", run_id=run, producer=run, sequence=sequence, time=moment))


async def test_names_are_only_names(history: FaultyHistory) -> None:
    workspace = "it's `a` \\ \"{x:String}\" 'w"
    for records in (events_of(CREATED, workspace=workspace), events_of(CREATED, RUNNING, workspace=workspace)):
        subject = processor(history)
        await subject.process(records)
        await subject.flush()

    assert list(select(history, "SELECT workspace, status FROM runs")) == [(workspace, "Running")]


async def test_a_log_that_was_replaced_is_refused(history: FaultyHistory) -> None:
    subject = processor(history)
    await subject.process(events_of(CREATED, RUNNING))
    await subject.flush()

    await processor(history).assigned({HERE: 2})
    with pytest.raises(LogReplaced, match=r"runherald\.events/0.*offset 1"):
        await processor(history).assigned({HERE: 1})


# The property. Every example has a partition and a workspace of its own, twice: as the log brings it, and once without trouble.


class Step(Struct, frozen=True):
    """What the process does next: takes some records in and flushes, or dies before or after the n-th insert of it; then rereads some."""

    take: int
    flush: bool = True
    crash_at: int = 99
    crash_after: bool = False
    reread: int = 0


_steps = st.lists(
    st.builds(
        Step,
        take=st.integers(1, 6),
        flush=st.booleans(),
        crash_at=st.integers(0, 9),
        crash_after=st.booleans(),
        reread=st.integers(0, 4),
    ),
    min_size=1,
    max_size=6,
)
_says = st.tuples(st.sampled_from(["r1", "r2"]), st.sampled_from(["p", "q"]), st.sampled_from(OPERATIONS))
_said = st.lists(_says, min_size=1, max_size=12)
_repeats = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 20)), max_size=5)
_spoilt = st.sets(st.integers(0, 11), max_size=2)
_numbers = count(100)


# Each example talks to the engine for a third of a second: a failing one is reported as it was found, not shrunk for minutes.
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(said=_said, repeats=_repeats, spoilt=_spoilt, steps=_steps)
def test_any_repeat_any_batches_any_crash(
    history: FaultyHistory,
    said: list[tuple[str, str, Data]],
    repeats: list[tuple[int, int]],
    spoilt: set[int],
    steps: list[Step],
) -> None:
    check_same(history, said, repeats, spoilt, steps)


@pytest.mark.parametrize("crash_after", [False, True])
def test_a_crash_at_any_insert(history: FaultyHistory, crash_after: bool) -> None:
    said = [("r1", "p", data) for data in OPERATIONS]
    for crash_at in range(8):  # six tables and the watermark, and one beyond
        steps = [Step(take=3), Step(take=5, crash_at=crash_at, crash_after=crash_after), Step(take=2)]
        check_same(history, said, [(1, 3), (2, 6)], {4}, steps)


PARTITIONS = (0, 1, 2)
LAST_INSERT = 7  # five tables, the states, the watermarks


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("crash_at", range(LAST_INSERT + 1))
async def test_a_crash_between_inserts_and_commit_and_a_replay_cut_differently(history: FaultyHistory, crash_at: int, split: bool) -> None:
    """The n-th insert is stored and the process dies, the last time after the watermarks. Nothing of it is committed."""
    calm = {number: 10 + number for number in PARTITIONS}
    rough = {number: 20 + number for number in PARTITIONS}
    expected: set[tuple[str, bytes]] = set()
    for partition in calm.values():
        expected |= await calmly(history, sayings(partition, "calm"))

    logs = {partition: sayings(partition, "rough") for partition in rough.values()}
    ends = {TopicPartition(EVENTS, partition): len(records) for partition, records in logs.items()}
    first = processor(history)
    published = identities(await first.process([record for records in logs.values() for record in records[:6]]))
    await first.flush()
    history.inserts.clear()
    published |= identities(await first.process([record for records in logs.values() for record in records[6:12]]))
    arm(history, Step(take=0, crash_at=crash_at, crash_after=True))
    if crash_at < LAST_INSERT:
        with pytest.raises(Crash):
            await first.flush()
    else:
        await first.flush()
    disarm(history)
    assert len(history.inserts) == min(crash_at + 1, LAST_INSERT)  # one a table, whatever the number of partitions

    # What is committed is below the first flush's end. The partitions are one worker's again, or two workers'; batches end elsewhere.
    for number, share in enumerate((PARTITIONS[:1], PARTITIONS[1:]) if split else (PARTITIONS,)):
        again = processor(history)
        await again.assigned({place: end for place, end in ends.items() if place.partition - 20 in share})
        size = 4 + 3 * number
        for start in range(4, 20, size):
            taken = [record for part in share for record in logs[rough[part]][start : start + size]]
            published |= identities(await again.process(taken))
            await again.flush()

    assert published == expected
    for table in TABLES:
        assert rows_of(history, table, "rough") == rows_of(history, table, "calm"), table
    assert list(select(history, "SELECT partition - 20, max(last) FROM ingest_watermarks WHERE partition >= 20 GROUP BY 1 ORDER BY 1")) == [
        (number, len(logs[rough[number]]) - 1) for number in PARTITIONS
    ]
    events = "SELECT count(), uniqExact(event_id) FROM run_events FINAL WHERE workspace LIKE 'rough%'"
    assert list(select(history, events)) == [(sum(map(len, logs.values())), sum(map(len, logs.values())))]


def sayings(partition: int, workspace: str) -> list[Record]:
    """Eighteen events of two runs, so that a flush of the second six touches all tables; run and producer are named after the partition."""
    events = []
    for sequence, data in enumerate((*OPERATIONS, *OPERATIONS[4:])):
        moment = START + timedelta(seconds=sequence)
        run = f"r{partition % 10}-{sequence % 2}"
        events.append(new_event(data, workspace=workspace, run_id=run, producer=run, sequence=sequence, time=moment))
    return placed_all(events, partition=partition)


def rows_of(history: FaultyHistory, table: str, workspace: str) -> list[str]:
    return [text.replace(workspace, "w") for text in rows(history, table, workspace)]


def check_same(
    history: FaultyHistory, said: list[tuple[str, str, Data]], repeats: list[tuple[int, int]], spoilt: set[int], steps: list[Step]
) -> None:
    number = next(_numbers)
    rough, calm = 2 * number, 2 * number + 1
    expected = asyncio.run(calmly(history, log_of(said, repeats, spoilt, f"w{calm}", calm)))
    published = asyncio.run(roughly(history, log_of(said, repeats, spoilt, f"w{rough}", rough), steps))

    assert published == expected
    for table in TABLES:
        assert rows(history, table, f"w{rough}") == rows(history, table, f"w{calm}"), table


def log_of(
    said: list[tuple[str, str, Data]], repeats: list[tuple[int, int]], spoilt: set[int], workspace: str, partition: int
) -> list[Record]:
    """What two producers said of two runs, some of it again later, some of it spoilt."""
    counts: dict[tuple[str, str], Iterator[int]] = {}
    events = []
    for second, (run, producer, data) in enumerate(said):
        sequence = next(counts.setdefault((run, producer), count()))
        moment = START + timedelta(seconds=second)
        events.append(new_event(data, workspace=workspace, run_id=run, producer=producer, sequence=sequence, time=moment))
    for which, later in repeats:
        if which < len(said):
            events.insert(min(len(events), which + 1 + later), events[which] if which < len(events) else events[0])
    records = placed_all(events, partition=partition)
    return [replace(record, value=b"{") if record.offset in spoilt else record for record in records]


async def calmly(history: FaultyHistory, records: list[Record]) -> set[tuple[str, bytes]]:
    subject = processor(history)
    published = identities(await subject.process(records))
    await subject.flush()
    return published


async def roughly(history: FaultyHistory, records: list[Record], steps: list[Step]) -> set[tuple[str, bytes]]:
    """Run through the log as a runner does: publish, flush, commit; a crash goes back to what is committed."""
    partition = records[0].topic_partition
    published: set[tuple[str, bytes]] = set()
    committed = read = 0
    subject = processor(history)
    for step in steps:
        published |= identities(await subject.process(records[read : read + step.take]))
        read = min(len(records), read + step.take)
        if not step.flush:
            continue
        arm(history, step)
        try:
            published |= identities(await subject.flush())
            committed = read
        except Crash:
            read = max(0, committed - step.reread)  # a commit may be lost as well
            subject = processor(history)
            await subject.assigned({partition: len(records)})
        finally:
            disarm(history)
    published |= identities(await subject.process(records[read:]))
    return published | identities(await subject.flush())


def arm(history: FaultyHistory, step: Step) -> None:
    inserts = count()

    def fault(_table: str, _columns: dict[str, Any]) -> None:
        if next(inserts) == step.crash_at:
            raise Crash

    if step.crash_after:
        history.after = fault
    else:
        history.before = fault


def disarm(history: FaultyHistory) -> None:
    history.before = history.after = lambda _table, _columns: None


def identities(records: Sequence[Outgoing]) -> set[tuple[str, bytes]]:
    """Which transitions and dead letters these are, whatever the workspace."""
    return {(record.topic, dict(record.headers)["rh_origin_offset" if record.topic == DEAD_LETTERS else "ce_id"]) for record in records}


def rows(history: FaultyHistory, table: str, workspace: str) -> list[str]:
    """All rows as text, without what names this example."""
    found = select(
        history,
        f"SELECT toJSONString(tuple(COLUMNS('.*') EXCEPT (workspace, _partition, _ingested_at))) FROM {table} FINAL "
        "WHERE workspace = {workspace:String}",
        workspace=workspace,
    )
    return sorted(text.replace(workspace, "w") for (text,) in found)
