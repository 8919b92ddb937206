"""A migration is applied while the version before is running: what that one says to history works on, and its rows are all there once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise

import msgspec
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from runherald.sinks import migrate as schema
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import Migration, migrate, migrations
from tests.fixtures.chdb import fresh_database
from tests.migration_rules import losses, shapes
from tests.schema_statements import FOLDER, RUN, Insert, Query, Statement, missing, record, recorded

RELEASED = migrations()
STEPS = [(before, after) for before, after in pairwise(RELEASED) if not after.contract_of]
SETS = [migration.name for migration in RELEASED if (FOLDER / f"{migration.name}.json").exists()]
WRITE = "run `python -m tests.schema_statements` and commit what it wrote"

_OTHER_IDS = {"decision_id", "notice_id", "letter_id"}
_OTHER_NUMBERS = {"series_id", "partition"}
_UNKNOWN = {47, 60}  # UNKNOWN_IDENTIFIER, UNKNOWN_TABLE


def at(db: HistoryDatabase, last: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring a database to an earlier version of the schema."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "migrations", lambda: RELEASED[: RELEASED.index(last) + 1])
        migrate(db)


def statements_at(db: HistoryDatabase, last: Migration) -> tuple[list[Insert], list[Query]]:
    """Return what the version of that schema says. For those before the first recorded set: what of that set they have the tables for."""
    sets = [name for name in SETS if name <= last.name]
    said: Sequence[Statement] = recorded(sets[-1] if sets else SETS[0])
    tables = shapes(db)
    inserts = [each for each in said if isinstance(each, Insert) and each.table in tables]
    queries = [each for each in said if isinstance(each, Query)]
    return inserts, queries if sets else [each for each in queries if _is_known(db, each)]


def _is_known(db: HistoryDatabase, query: Query) -> bool:
    try:
        query.ask(db)
    except DatabaseError as error:
        if error.code in _UNKNOWN:
            return False
        raise
    return True


def of_round(insert: Insert, number: int) -> Insert:
    """Return the insert about another run."""
    text = msgspec.json.encode(insert).replace(RUN.encode(), f"flow-{number:04}".encode())
    again = msgspec.json.decode(text, type=Insert)
    for column, values in zip(again.columns, again.values, strict=True):
        if column in _OTHER_IDS:
            values[:] = [f"{value}-{number}" for value in values]
        if column in _OTHER_NUMBERS:
            values[:] = [value + number for value in values]
    again.settings["insert_deduplication_token"] += f"-{number}"
    return again


def counts(db: HistoryDatabase, inserts: Sequence[Insert]) -> Mapping[str, int]:
    """Return how many rows there are of each table that is inserted into, each once."""
    return {table: int(str(db.client().command(f"SELECT count() FROM {table} FINAL"))) for table in {each.table for each in inserts}}


def unfed(db: HistoryDatabase) -> dict[str, int]:
    """Return how many rows the tables lack that materialised views fill, by view."""
    views = db.client().query(
        "SELECT name, as_select, extract(create_table_query, ' TO `?\\w+`?\\.`?(\\w+)`? ') FROM system.tables"
        " WHERE database = currentDatabase() AND engine = 'MaterializedView'"
    )
    lacking = {}
    for name, query, target in views.result_rows:
        made = re.sub(r"\bFROM (\S+)", r"FROM \1 FINAL", query, count=1)
        columns = ", ".join(f"`{column}`" for column, _ in shapes(db)[name].columns)
        # As text: maps are compared by nothing.
        sql = (
            f"SELECT count() FROM (SELECT toString(tuple({columns})) FROM ({made})"
            f" EXCEPT SELECT toString(tuple({columns})) FROM `{target}` FINAL)"
        )
        lacking[name] = int(str(db.client().command(sql)))
    return lacking


class Flow:
    """The old version at work: says all it has to say about one run after another, and asks all it has to ask."""

    def __init__(self, db: HistoryDatabase, inserts: Sequence[Insert], queries: Sequence[Query]) -> None:
        self._db = db
        self._inserts = inserts
        self._queries = queries
        self._stop = threading.Event()
        self._turn = threading.Condition()
        self._faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._write, self._read)]
        self.rounds = 0

    def wait_for(self, rounds: int) -> None:
        """Wait until it has done so many rounds more, or failed."""
        with self._turn:
            wanted = self.rounds + rounds
            assert self._turn.wait_for(lambda: self.rounds >= wanted or self._faults, 60)
        self.check()

    def check(self) -> None:
        """Raise what it met."""
        if self._faults:
            raise self._faults[0]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let it work as long as the block lasts."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def _guarded(self, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                work()
            except BaseException as error:  # the edge of the thread: the test raises it
                with self._turn:
                    self._faults.append(error)
                    self._turn.notify_all()
                return

    def _write(self) -> None:
        for insert in self._inserts:
            of_round(insert, self.rounds + 1).say(self._db)
        with self._turn:
            self.rounds += 1
            self._turn.notify_all()

    def _read(self) -> None:
        for query in self._queries:
            query.ask(self._db)
            if self._stop.is_set():
                return


def test_the_present_statements_are_recorded(history_database: HistoryDatabase) -> None:
    latest = RELEASED[-1].name
    assert latest in SETS, WRITE
    assert [each.shape for each in missing(latest, record(history_database))] == [], WRITE


@pytest.mark.parametrize("name", SETS)
def test_all_that_a_version_ever_said_works_now(history_database: HistoryDatabase, name: str) -> None:
    migrate(history_database)
    said = recorded(name)
    for insert in said:
        if isinstance(insert, Insert):
            insert.say(history_database)
    wrong = [each.shape for each in said if isinstance(each, Query) and each.ask(history_database) != sorted(each.rows, key=repr)]
    assert wrong == []


@pytest.mark.parametrize(("before", "after"), STEPS, ids=[after.name for _, after in STEPS])
def test_a_migration_takes_nothing_from_the_version_before(
    history_database: HistoryDatabase, before: Migration, after: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(history_database, before, monkeypatch)
    known = shapes(history_database)
    at(history_database, after, monkeypatch)
    assert list(losses(known, shapes(history_database))) == []


@pytest.mark.parametrize(("before", "after"), STEPS, ids=[after.name for _, after in STEPS])
def test_a_migration_is_applied_while_the_version_before_works(
    chdb_history: HistoryDatabase, before: Migration, after: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(chdb_history) as alone, fresh_database(chdb_history) as db:
        for each in (alone, db):
            at(each, before, monkeypatch)
        inserts, queries = statements_at(alone, before)
        for insert in inserts:
            of_round(insert, 1).say(alone)
        a_round = counts(alone, inserts)
        assert all(a_round.values())

        flow = Flow(db, inserts, queries)
        with flow.running():
            flow.wait_for(rounds=1)
            at(db, after, monkeypatch)
            flow.wait_for(rounds=2)  # the first may have begun before
        flow.check()

        assert counts(db, inserts) == {table: rows * flow.rounds for table, rows in a_round.items()}
        assert set(unfed(db).values()) <= {0}, unfed(db)


def test_a_migration_that_breaks_the_version_before_is_seen(history_database: HistoryDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking = Migration("9999_break", ("ALTER TABLE $database.run_params $on_cluster DROP COLUMN value_num",), "digest")
    migrate(history_database)
    monkeypatch.setattr(schema, "migrations", lambda: [*RELEASED, breaking])
    flow = Flow(history_database, *statements_at(history_database, RELEASED[-1]))
    with flow.running():
        flow.wait_for(rounds=1)
        migrate(history_database)
        with pytest.raises(ClickHouseError, match="value_num"):
            flow.wait_for(rounds=2)


def test_the_books_see_a_row_that_is_missing(history_database: HistoryDatabase) -> None:
    migrate(history_database)
    inserts = [each for each in recorded(SETS[-1]) if isinstance(each, Insert)]
    for insert in inserts:
        insert.say(history_database)
    whole = counts(history_database, inserts)
    assert unfed(history_database) == {"run_index_feed": 0, "ingest_watermarks_feed": 0}

    for table in ("run_index", "run_params"):
        history_database.client().command(f"TRUNCATE TABLE {table}")
    assert unfed(history_database) == {"run_index_feed": 1, "ingest_watermarks_feed": 0}
    assert counts(history_database, inserts) == {**whole, "run_params": 0}
