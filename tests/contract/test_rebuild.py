"""History against its log on the real engine: equal after the live processors, and whatever was done to a table is named."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runherald.errors import InvalidInput
from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunOutputEvent,
    AmlRunStatusChangedEvent,
    Data,
    Event,
    LogLine,
    MetricObject,
    RunHeader,
    TextPoint,
    new_event,
)
from runherald.records import Outgoing
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.differences import compare_table
from runherald.sinks.fresh_copy import FreshCopy
from runherald.sinks.table_shape import shape_of
from runherald.status import Status
from runherald.streams.rebuild.derived import derived, unaccounted
from runherald.streams.rebuild.rebuild import compare, rebuild
from runherald.wire import to_outgoing
from tests.contract.test_sink_history import OPERATIONS
from tests.fixtures.live_history import LiveHistory

START = datetime(2026, 11, 1, tzinfo=UTC)
MICROS = 1_793_000_000_000_000
RUN = Actor(kind="run", name="script")


@pytest.fixture
def live(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[LiveHistory]:
    world = LiveHistory(tmp_path, history_database, START + timedelta(minutes=1))
    yield world
    world.close()


def test_every_table_is_made_again_or_left_with_a_reason(live: LiveHistory) -> None:
    tables = select(live, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'")
    copy = FreshCopy(live.db)
    fed = copy.fed([table for each in derived() for table in each.tables])
    copy.close()
    copy.drop()
    assert unaccounted([name for (name,) in tables], fed) == set()


def test_what_the_processors_made_is_equal(live: LiveHistory) -> None:
    live.say(*story("r1"), *story("r2"), *story("r1"))
    live.work()

    found = compare(live.log, live.db)

    assert found.equal, found
    made = {table.table: table.expected for table in found.tables}
    assert set(made) >= {table for each in derived() for table in each.tables}
    empty = {table for table, rows in made.items() if not rows}
    assert empty <= {"dead_letters", "dead_letter_replays", "dead_letter_stops"}, "a table without rows shows nothing"
    assert found.sources
    assert leftovers(live) == []


@pytest.mark.parametrize("seed", range(2))
def test_whatever_was_said_in_whatever_order_is_equal_and_stays_so(live: LiveHistory, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(2):
        live.say_records(gossip(chance))
        live.work()

    found = rebuild(live.log, live.db, running=nobody)
    assert found.equal, found
    live.say_records(gossip(chance))
    live.work()
    assert compare(live.log, live.db).equal


def gossip(chance: random.Random) -> list[Outgoing]:
    """What some producers say of some runs: some of it twice, some of it out of order, some of it unreadable."""
    said = []
    for _ in range(40):
        run, producer, sequence = f"r{chance.randrange(4)}", chance.choice("pq"), chance.randrange(30)
        data = chance.choice((*OPERATIONS, *(event.data for event in story(run))))
        time = START + timedelta(seconds=chance.randrange(100))
        record = to_outgoing(new_event(data, workspace=chance.choice("vw"), run_id=run, producer=producer, sequence=sequence, time=time))
        said += [replace(record, value=b"{") if chance.random() < 0.05 else record] * chance.choice((1, 1, 1, 2))
    return said


# What is done to one row of a table, and what has to be said of it: the kind, the column, what is stored, what is expected.
TAMPERED: list[tuple[str, str, tuple[str, str, str | None, str | None]]] = [
    ("run_events", "DELETE WHERE run_id = 'r1' AND sequence = 3", ("missing", "", None, "*")),
    ("run_events", "UPDATE payload = '{}' WHERE run_id = 'r1' AND sequence = 5", ("changed", "payload", "{}", "*")),
    ("run_events", "COPY 'forged' AS event_id WHERE run_id = 'r1' AND sequence = 5", ("unexpected", "", "*", None)),
    ("transitions_log", "DELETE WHERE run_id = 'r1' AND status = 'Failed'", ("missing", "", None, "*")),
    ("transitions_log", "UPDATE revision = 7 WHERE run_id = 'r2' AND status = 'Failed'", ("changed", "revision", "7", "3")),
    ("run_state", "DELETE WHERE run_id = 'r1'", ("missing", "", None, "*")),
    ("run_state", "UPDATE status = 'Completed' WHERE run_id = 'r2'", ("changed", "status", "Completed", "Failed")),
    ("run_state", "COPY 'r9' AS run_id WHERE run_id = 'r2'", ("unexpected", "", "*", None)),
    ("run_params", "UPDATE value = '0.2' WHERE run_id = 'r1' AND key = 'lr'", ("changed", "value", "0.2", "0.1")),
    ("run_tags", "UPDATE removed = 0 WHERE run_id = 'r1' AND key = 'flag'", ("changed", "removed", "false", "true")),
    ("run_outputs", "UPDATE size = 8 WHERE run_id = 'r1'", ("changed", "size", "8", "7")),
    ("metric_series", "DELETE WHERE run_id = 'r1' AND name = 'acc'", ("missing", "", None, "*")),
    ("metric_points", "DELETE WHERE isNaN(value) AND _partition = 0", ("missing", "", None, "the key alone")),
    ("metric_points", "COPY time + 1 AS time WHERE step = 1 LIMIT 1", ("unexpected", "", "the key alone", None)),
    ("metric_texts", "UPDATE text = 'gruss' WHERE run_id = 'r1'", ("changed", "text", "gruss", "grüß")),
    ("metric_objects", "UPDATE value = '0' WHERE run_id = 'r1'", ("changed", "value", "0", '{"a":[1,null]}')),
    ("metric_descriptions", "DELETE WHERE run_id = 'r1'", ("missing", "", None, "*")),
    ("log_lines", "UPDATE text = 'z' WHERE run_id = 'r1' AND number = 1", ("changed", "text", "z", "y")),
    (
        "notice_log",
        "UPDATE state = 'pending' WHERE run_id = 'r1' AND recipient = 'a@example.org'",
        ("changed", "state", "pending", "accepted"),
    ),
    ("notice_log", "DELETE WHERE run_id = 'r2' AND recipient = 'a@example.org'", ("missing", "", None, "*")),
    ("alert_log", "DELETE WHERE run_id = 'r2'", ("missing", "", None, "*")),
    ("alert_log", "UPDATE reason = 'because' WHERE run_id = 'r1'", ("changed", "reason", "because", "*")),
    ("dead_letters", "UPDATE reason = '' WHERE 1", ("changed", "reason", "", "*")),
]


def test_each_thing_done_to_a_table_is_named_and_made_good(live: LiveHistory) -> None:
    live.say(*story("r1"), *story("r2"))
    live.say_records([replace(to_outgoing(story("r1")[0]), value=b"{")])
    live.work()
    for table, done, _ in TAMPERED:
        tamper(live, table, done)

    found = compare(live.log, live.db)

    named = [(each.table, each.kind, each.column, each.stored, each.expected) for table in found.tables for each in table.examples]
    for table, done, (kind, column, stored, expected) in TAMPERED:
        assert any(
            (each[0], each[1], each[2]) == (table, kind, column) and fits(each[3], stored) and fits(each[4], expected) for each in named
        ), f"{table}: {done} is not named in {[each for each in named if each[0] == table]}"
    own = {table for each in derived() for table in each.tables}  # what a view fills has taken the forged run in as well
    assert sum(table.count for table in found.tables if table.table in own) == len(TAMPERED)
    assert sum(each[0] in own for each in named) == len(TAMPERED)
    assert {name for table in found.tables if table.table == "metric_series" for each in table.examples for name in each.key} == {
        "workspace",
        "run_id",
        "name",
        "series_id",
    }

    assert rebuild(live.log, live.db, running=nobody).count == found.count
    assert compare(live.log, live.db).equal
    assert leftovers(live) == []


def tamper(live: LiveHistory, table: str, done: str) -> None:
    what, _, rest = done.partition(" ")
    if what == "COPY":
        change, _, condition = rest.partition(" WHERE ")
        statement = f"INSERT INTO {table} SELECT * REPLACE ({change}) FROM (SELECT * FROM {table} FINAL WHERE {condition})"
    else:
        statement = f"ALTER TABLE {table} {done}"
    before = select(live, f"SELECT sum(sipHash64(*)) FROM {table}")
    live.db.client().command(statement, settings={"mutations_sync": 2})
    assert select(live, f"SELECT sum(sipHash64(*)) FROM {table}") != before, f"{done} does nothing to {table}"


def fits(said: str | None, expected: str | None) -> bool:
    return said is not None if expected == "*" else said == expected


def test_a_copy_of_a_row_is_none_more(live: LiveHistory) -> None:
    live.say(*story("r1"))
    live.work()
    tamper(live, "metric_points", "COPY _offset + 0 AS _offset WHERE step = 1")

    assert compare(live.log, live.db).equal, "readers read it once"


def nobody(_groups: Sequence[str]) -> Mapping[str, int]:
    return {}


def story(run: str, producer: str = "p") -> list[Event]:
    """All that a run may say, once."""
    said: list[Data] = [
        AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits", tags={"a": "1", "flag": None})),
        AmlRunStatusChangedEvent(status=Status.RUNNING, actor=RUN),
        AmlRunHeartbeatEvent(lease_seconds=30),
        AmlRunEvent(
            operation="Updated", tags={"a": "2"}, tags_removed=("flag",), params={"lr": "0.1", "opt": "adam"}, properties={"p": "1"}
        ),
        AmlRunEvent(operation="Updated", properties={"p": "2"}),
        AmlRunOutputEvent(path="model.bin", size=7),
        AmlRunMetricEvent(
            names=("loss", "acc"),
            series=[0, 0, 0, 1],
            steps=[0, 1, 2, 2],
            times=[MICROS, MICROS + 1, MICROS + 2, MICROS + 2],
            values=[0.5, 0.25, 0, 0.9],
            nonfinite={"2": "NaN"},
            texts=(TextPoint(name="note", step=0, time=MICROS, text="grüß"),),
            objects=(MetricObject(name="cm", kind="table", step=0, time=MICROS, value={"a": [1, None]}),),
            descriptions={"loss": "lower is better"},
        ),
        AmlRunLogEvent(
            file="console", stream="stdout", lines=(LogLine(number=0, time=MICROS, text="x"), LogLine(number=1, time=MICROS, text="y"))
        ),
        AmlRunStatusChangedEvent(status=Status.FAILED, actor=RUN, message="no"),
        AmlRunStatusChangedEvent(status=Status.RUNNING, actor=RUN),
    ]
    return [
        new_event(data, workspace="w", run_id=run, producer=producer, sequence=n, time=START + timedelta(seconds=n))
        for n, data in enumerate(said)
    ]


def select(live: LiveHistory, query: str) -> Sequence[Sequence[Any]]:
    found: Sequence[Sequence[Any]] = live.db.client().query(query).result_rows
    return found


def leftovers(live: LiveHistory) -> list[str]:
    return [name for (name,) in select(live, "SELECT name FROM system.databases WHERE name LIKE '%rebuild'")]


def test_buckets_leave_no_difference_out(live: LiveHistory) -> None:
    live.say(*(event for number in range(4) for event in story(f"r{number}")))
    live.work()
    copy = FreshCopy(live.db)
    try:
        for where in ("run_id != 'r0'", "run_id = 'r0' AND sequence < 3"):
            copy.carry("run_events", where)
        copy.carry("run_events", "run_id = 'r1' AND sequence = 0", {"event_id": "'forged'"})
        whole = compare_table(live.db, copy.tables, shape_of(live.db, "run_events"))
        parts = compare_table(live.db, copy.tables, shape_of(live.db, "run_events"), bucket_rows=3)
    finally:
        copy.close()
        copy.drop()

    assert (whole.unexpected, whole.missing, whole.changed) == (5, 1, 0)
    assert (parts.unexpected, parts.missing, parts.changed) == (5, 1, 0)
    assert {str(each.key) for each in whole.examples} == {str(each.key) for each in parts.examples}


def test_a_cluster_is_named_only_where_there_is_one(live: LiveHistory) -> None:
    with pytest.raises(InvalidInput, match=r"--cluster: .* has no replicated tables"):
        compare(live.log, live.db, cluster="main")
