"""What the check lets through is held by the second wall: rights, read-only mode, limits, and a bound on what is read of the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

import pytest

from runherald.api import QueryAnswer
from runherald.errors import SettingsError
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import QueryFailed
from runherald.sinks.guard import embedded_runner
from runherald.sinks.guard.answer import QueryLimits
from runherald.sinks.guard.checked import CheckedQuery
from runherald.sinks.guard.embedded_runner import EmbeddedRunner
from runherald.sinks.guard.guard import QueryGuard
from runherald.sinks.guard.parser import QueryParser
from runherald.sinks.guard.vocabulary import Vocabulary
from tests.fixtures.guard import SECRET

READONLY, ACCESS_DENIED, TIMEOUT_EXCEEDED, MEMORY_LIMIT_EXCEEDED = 164, 497, 159, 241
NOT_A_SELECT = 36  # what chDB says of a stream of anything else
NO_TABLE_IN_SIGHT = 636  # what merge() says when it may read none

LIMITS = QueryLimits(rows=1_000, bytes=1_000_000, seconds=1.0, memory=256 * 2**20)


def unchecked(text: str) -> CheckedQuery:
    """Forge what only the check may make, to try the second wall alone."""
    query = object.__new__(CheckedQuery)
    object.__setattr__(query, "text", text)
    object.__setattr__(query, "views", ())
    return query


@pytest.fixture
def runner(guarded_history: HistoryDatabase) -> EmbeddedRunner:
    assert guarded_history.engine is not None
    return EmbeddedRunner(guarded_history, guarded_history.engine)


CUT = {
    "many rows": "SELECT number FROM numbers(1000000)",
    "fill": "SELECT number FROM numbers(1) ORDER BY number WITH FILL FROM 0 TO 500000",
    "arrayJoin": "SELECT arrayJoin(range(200000))",
    "wide rows": "SELECT repeat('x', 100000) FROM numbers(200)",
}


@pytest.mark.parametrize("text", CUT.values(), ids=CUT.keys())
def test_a_large_answer_is_cut(guard: QueryGuard, text: str) -> None:
    answer = guard.run(guard.check(text))
    assert answer.truncated
    assert 0 < len(answer.rows) <= LIMITS.rows
    assert sum(len(str(row)) for row in answer.rows) <= 2 * LIMITS.bytes


ENDED = {
    "cross join": ("SELECT count() FROM numbers(1000000) AS a, numbers(1000000) AS b", "longer than 1 s"),
    "endless fill": (
        "SELECT sum(n) FROM (SELECT number AS n FROM numbers(1) ORDER BY n WITH FILL FROM 0 TO 1000000000000)",
        "longer than|memory",
    ),
    "nested ranges": ("SELECT arrayMap(x -> range(1000000), range(1000000))", "memory|range"),
    "wide text": ("SELECT repeat(repeat('x', 1000000), 1000000)", "."),
    "grouped arrays": ("SELECT length(groupArray(a.number)) FROM numbers(100000) AS a, numbers(100000) AS b", "longer than|memory"),
    "recursion": ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t", "recursive|longer than"),
    "exploding WITH": (
        "WITH " + ", ".join(f"(x{i}, x{i}) AS x{i + 1}" for i in range(30)) + ", 1 AS x0 SELECT x30",
        "large|big|deep|expanded|limit|Maximum|AST",
    ),
    "wrong name": ("SELECT nosuch FROM runs", "nosuch"),
    "wrong type": ("SELECT run_id + 1 FROM runs", "type"),
}


@pytest.mark.parametrize(("text", "reason"), ENDED.values(), ids=ENDED.keys())
def test_a_heavy_or_wrong_query_is_ended_with_a_reason(guard: QueryGuard, text: str, reason: str) -> None:
    started = monotonic()
    with pytest.raises(QueryFailed, match=reason):
        guard.run(guard.check(text))
    assert monotonic() - started < 10 * LIMITS.seconds


def test_the_engine_answers_the_next_query_after_a_failure(guard: QueryGuard) -> None:
    with pytest.raises(QueryFailed):
        guard.run(guard.check("SELECT throwing FROM runs"))
    assert guard.run(guard.check("SELECT 1")).rows == [[1]]


DENIED = {
    "base table": "SELECT payload FROM run_events",
    "base table of IN": "SELECT 'r1' IN (SELECT run_id FROM run_events)",
    "file as table": "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "url": "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "write": "INSERT INTO run_events (run_id) SELECT 'x'",
    "drop": "DROP TABLE run_events",
    "create": "CREATE TABLE stolen ENGINE = Memory AS SELECT 1",
    "lift a limit": "SELECT 1 SETTINGS max_execution_time = 3600",
    "lift a limit before": "SET max_execution_time = 3600",
    "merge": "SELECT * FROM merge('$database', 'run_events')",
    "base table with its database": "SELECT * FROM $database.run_events",
}


@pytest.mark.parametrize("text", DENIED.values(), ids=DENIED.keys())
def test_the_second_wall_stands_without_the_first(runner: EmbeddedRunner, guarded_history: HistoryDatabase, text: str) -> None:
    with pytest.raises(QueryFailed) as failed:
        runner.run(unchecked(text.replace("$database", guarded_history.database)), LIMITS)
    assert failed.value.code in (READONLY, ACCESS_DENIED, NOT_A_SELECT, NO_TABLE_IN_SIGHT), str(failed.value)
    assert guarded_history.client().query("SELECT count() FROM run_events").result_rows == [(3,)]


def test_views_read_what_the_user_may_not(runner: EmbeddedRunner, guarded_history: HistoryDatabase) -> None:
    assert guarded_history.client().query("SELECT any(payload) FROM run_events").result_rows == [(SECRET,)]
    assert runner.run(unchecked("SELECT count() FROM runs"), LIMITS).rows == [[3]]


def test_queries_are_off_without_the_folders_access_control(guarded_history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_runner, "_WRITER_GRANT", "")
    with pytest.raises(SettingsError, match="not in force"):
        QueryGuard.open(guarded_history)


def test_queries_are_off_for_a_database_that_was_not_named(chdb_history: HistoryDatabase) -> None:
    unnamed = HistoryDatabase.open(chdb_history.url_for_humans, database="unnamed")
    try:
        with pytest.raises(SettingsError, match="was not named"):
            QueryGuard.open(unnamed)
    finally:
        unnamed.client().command("DROP DATABASE unnamed SYNC")
        unnamed.close()


def test_the_watchdog_ends_what_the_engine_does_not(runner: EmbeddedRunner, guard: QueryGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    long = guard.check("SELECT sum(sipHash64(a.number, b.number)) FROM numbers(1000000) AS a, numbers(30) AS b")
    without_time: Callable[[QueryLimits], dict[str, str | int | float]] = lambda limits: {"max_threads": 1}  # noqa: E731
    monkeypatch.setattr(embedded_runner, "engine_limits", without_time)
    started = monotonic()
    with pytest.raises(QueryFailed, match="longer than"):
        runner.run(long, QueryLimits(seconds=0.2))
    assert monotonic() - started < 15


def test_the_engine_keeps_the_time_itself(runner: EmbeddedRunner, guard: QueryGuard) -> None:
    with pytest.raises(QueryFailed) as failed:
        runner.run(guard.check("SELECT sum(sipHash64(a.number, b.number)) FROM numbers(1000000) AS a, numbers(600) AS b"), LIMITS)
    assert failed.value.code == TIMEOUT_EXCEEDED


def test_the_engine_keeps_to_the_memory(runner: EmbeddedRunner, guard: QueryGuard) -> None:
    query = guard.check("SELECT length(groupArray(repeat('x', 1000))) FROM numbers(200000)")
    assert runner.run(query, QueryLimits()).rows == [[200_000]]
    with pytest.raises(QueryFailed) as failed:
        runner.run(query, QueryLimits(memory=64 * 2**20))
    assert failed.value.code == MEMORY_LIMIT_EXCEEDED


class HeldRunner:
    """A second wall whose queries run until they are let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def run(self, query: CheckedQuery, limits: QueryLimits) -> QueryAnswer:
        self.entered.set()
        assert self.let_go.wait(20)
        return QueryAnswer(columns=[], rows=[])

    def close(self) -> None:
        self.let_go.set()


def test_only_so_many_queries_run_at_once(guarded_history: HistoryDatabase, guard: QueryGuard) -> None:
    query = guard.check("SELECT 1")
    held = HeldRunner()
    parser = QueryParser(guarded_history.new_client())
    narrow = QueryGuard(parser, Vocabulary([], []), held, database=guarded_history.database, limits=LIMITS, at_once=1)
    running = threading.Thread(target=narrow.run, args=(query,))
    running.start()
    try:
        assert held.entered.wait(20)
        with pytest.raises(QueryFailed, match="other queries are running"):
            narrow.run(query, patience=0.01)
    finally:
        held.let_go.set()
        running.join(20)
    assert narrow.run(query).rows == []
    narrow.close()


def test_a_query_that_cannot_be_ended_holds_its_place_and_not_its_caller(guarded_history: HistoryDatabase, guard: QueryGuard) -> None:
    query = guard.check("SELECT 1")
    held = HeldRunner()
    limits = QueryLimits(seconds=0.05)
    parser = QueryParser(guarded_history.new_client())
    narrow = QueryGuard(parser, Vocabulary([], []), held, database=guarded_history.database, limits=limits, at_once=1, late_seconds=0.05)
    with pytest.raises(QueryFailed, match="cannot be ended"):
        narrow.run(query)
    with pytest.raises(QueryFailed, match="other queries are running"):
        narrow.run(query, patience=0.01)
    held.let_go.set()
    assert narrow.run(query, patience=20).rows == []
    narrow.close()


def test_a_query_that_was_not_checked_does_not_run(guard: QueryGuard) -> None:
    with pytest.raises(TypeError):
        CheckedQuery("SELECT 1", (), object())
    with pytest.raises(TypeError):
        guard.run("SELECT 1")  # type: ignore[arg-type]
