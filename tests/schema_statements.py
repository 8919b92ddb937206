"""What a version says to history: its inserts, with the columns that it names, and its queries, with what they answered.

A set of them for each version of the schema stands in `tests/golden/schema`, named as the last migration. It is recorded once, from the
code of that time, and holds for ever: a later migration must let all of it go on. `python -m tests.schema_statements` writes the set of the
last migration, or adds to it what is new; nothing is ever changed or taken out. The first set is of 0008; what is older was not recorded.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from clickhouse_connect.datatypes.registry import get_from_name
from msgspec import Struct

from runherald.dead_letters import Replayed, Stopped, WentOn, mark_record, read_letter
from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunOutputEvent,
    AmlRunStatusChangedEvent,
    Data,
    LogLine,
    MetricObject,
    RunHeader,
    TextPoint,
    new_event,
)
from runherald.letters_api import LetterSelection
from runherald.records import Outgoing, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.dead_letter_ledger import DeadLetterLedger
from runherald.sinks.dead_letters import DeadLetterReader
from runherald.sinks.guard.views import USER_VIEWS
from runherald.sinks.migrate import migrate, migrations
from runherald.sinks.notice_balance import NoticeBalanceReader
from runherald.sinks.queries import HistoryReader
from runherald.sinks.run_context import HistoryRunContext, RunKey
from runherald.sinks.run_list import RunFilter
from runherald.status import Cause, Status
from runherald.topics import EVENTS
from tests.fixtures.live_history import LiveHistory

FOLDER = Path(__file__).parent / "golden" / "schema"
RUN = "upgraded-1"
START = datetime(2090, 11, 1, tzinfo=UTC)
"""Far away: ranges of offsets are forgotten after a month."""
SCRIPT = Actor(kind="run", name="script")

_OURS = ("schema_migrations", "system.")  # asked by migrations, and about them
_HEX, _TIME, _NUMBER, _TUPLE = "$hex", "$time", "$float", "$tuple"


class Insert(Struct, frozen=True, tag="insert"):
    """An insert: the columns that it names, with their types as its writer knows them, and the values of each column."""

    table: str
    columns: list[str]
    types: list[str]
    values: list[list[Any]]
    settings: dict[str, Any]

    @property
    def shape(self) -> str:
        """What is the same of all inserts like it."""
        return f"insert into {self.table} ({', '.join(self.columns)})"

    def say(self, db: HistoryDatabase) -> None:
        """Insert the rows, as the version that it was recorded from."""
        db.client().insert(
            self.table,
            [[_decoded(value) for value in column] for column in self.values],
            column_names=self.columns,
            column_types=[get_from_name(kind) for kind in self.types],
            column_oriented=True,
            settings=self.settings,
        )


class Query(Struct, frozen=True, tag="query"):
    """A query, and the rows that it answered with after all the inserts."""

    sql: str
    parameters: dict[str, Any]
    names: list[str]
    rows: list[list[Any]]

    @property
    def shape(self) -> str:
        """What is the same of all queries like it."""
        return " ".join(self.sql.split())

    def ask(self, db: HistoryDatabase) -> list[list[Any]]:
        """Return what it answers now, of the columns that it had, in any order."""
        answer = db.client().query(self.sql, {name: _decoded(value) for name, value in self.parameters.items()})
        if not answer.result_rows:
            return []  # which has no names either
        places = [answer.column_names.index(name) for name in self.names]
        return sorted(([_encoded(row[place]) for place in places] for row in answer.result_rows), key=repr)


Statement = Insert | Query


def recorded(name: str) -> list[Statement]:
    """Return the statements of a version of the schema."""
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=list[Statement])


def record(db: HistoryDatabase) -> list[Statement]:
    """Return the statements of the present code, made on an empty database: each insert once, and each query."""
    migrate(db)
    recorder = _Recorder(db)
    with tempfile.TemporaryDirectory() as folder:
        _live(recorder, Path(folder))
    asyncio.run(_read(recorder.as_database))
    asked: dict[tuple[str, bytes], Query] = {}
    for sql, parameters in [*recorder.queries, *((f"SELECT * FROM {view}", {}) for view in USER_VIEWS)]:
        if any(word in sql for word in _OURS) or sql.startswith(("DESCRIBE", "EXISTS")):
            continue
        encoded = {name: _encoded(value) for name, value in parameters.items()}
        names = list(db.client().query(sql, parameters).column_names)
        query = Query(sql, encoded, names, [])
        asked.setdefault((query.shape, msgspec.json.encode(encoded)), Query(sql, encoded, names, query.ask(db)))
    return [*recorder.inserts, *asked.values()]


class _Recorder:
    """Stands in for a `HistoryDatabase`, and notes what goes through its clients."""

    def __init__(self, db: HistoryDatabase) -> None:
        self._db = db
        self.inserts: list[Insert] = []
        self.queries: list[tuple[str, dict[str, Any]]] = []

    @property
    def as_database(self) -> HistoryDatabase:
        """This, as what it stands in for."""
        return cast(HistoryDatabase, self)

    def client(self) -> _Client:
        return _Client(self, self._db)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


class _Client:
    def __init__(self, recorder: _Recorder, db: HistoryDatabase) -> None:
        self._recorder = recorder
        self._client = db.client()

    def insert(self, table: str, data: Sequence[Any], **options: Any) -> object:
        if "schema_migrations" not in table:
            types = [kind.name for kind in options["column_types"]]
            values = [[_encoded(value) for value in column] for column in data]
            self._recorder.inserts.append(Insert(table, options["column_names"], types, values, options["settings"]))
        return self._client.insert(table, data, **options)

    def query(self, query: str, parameters: dict[str, Any] | None = None, **options: Any) -> Any:
        self._recorder.queries.append((query, dict(parameters or {})))
        return self._client.query(query, parameters, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def _live(recorder: _Recorder, folder: Path) -> None:
    """Let the processors take a story with something for each table."""
    live = LiveHistory(folder, recorder.as_database, START)
    said: tuple[Data, ...] = (
        AmlRunEvent(
            operation="Created",
            header=RunHeader(experiment_name="digits", tags={"team": "vision", "flag": None}, properties={"git": "abc"}),
            params={"lr": "0.1"},
        ),
        AmlRunStatusChangedEvent(status=Status.RUNNING, actor=SCRIPT),
        AmlRunMetricEvent(
            names=("loss",),
            series=[0, 0],
            steps=[0, 1],
            times=[1_793_491_200_000_000, 1_793_491_201_000_000],
            values=[0.5, 0.25],
            texts=(TextPoint(name="note", step=0, time=1_793_491_200_000_000, text="warm-up"),),
            objects=(MetricObject(name="row", kind="row", step=0, time=1_793_491_200_000_000, value={"a": 1}),),
            descriptions={"loss": "Mean of the batch."},
        ),
        AmlRunLogEvent(lines=(LogLine(number=0, time=1_793_491_200_000_000, text="epoch 1"),)),
        AmlRunOutputEvent(path="model.bin", size=7),
        AmlRunEvent(operation="Updated", tags={"team": "speech"}, tags_removed=("flag",)),
        AmlRunStatusChangedEvent(status=Status.FAILED, actor=SCRIPT, cause=Cause.CODE_ERROR, message="no"),
        AmlRunStatusChangedEvent(status=Status.RUNNING, actor=SCRIPT),  # refused
    )
    try:
        for number, data in enumerate(said):
            when = START + timedelta(seconds=number)
            live.say(new_event(data, workspace="default", run_id=RUN, producer="p", sequence=number, time=when))
        live.say_records([Outgoing(EVENTS, RUN.encode(), b"\xff{", (("ce_type", b"AmlRunEvent"),))])
        live.work()
        consumer = live.log.consumer("letters", ["runherald.dead-letters"], on_assigned=lambda _: None, on_revoked=lambda _: None)
        letter = read_letter(consumer.poll(10, 0)[0])
        consumer.close()
        place = {"topic": EVENTS, "partition": 0, "offset": 9}
        live.say_records(
            [
                mark_record(Replayed(letter_id=letter.letter_id, replay_id="r", time=START, **place)),  # type: ignore[union-attr,arg-type]
                mark_record(Stopped(processor="history", time=START, reason="100 of 100", **place)),  # type: ignore[arg-type]
                mark_record(WentOn(processor="history", time=START, allow=5)),
            ]
        )
        for _ in range(3):  # each attempt to deliver comes back as a record
            live.now += timedelta(hours=1)
            live.work()
    finally:
        live.close()


async def _read(db: HistoryDatabase) -> None:
    """Read as the server, the workers and the mailer do."""
    reader, letters = HistoryReader(db), DeadLetterReader(db)
    reader.run(RUN)
    for wanted in (RunFilter(), RunFilter(experiment="digits", statuses=("Failed",), root_only=True, tag="team=speech", life="Active")):
        reader.runs(wanted)
    reader.runs(cursor=reader.runs(limit=1).next)
    reader.children(RUN)
    reader.families([RUN], 3)
    reader.transitions(RUN)
    reader.metrics(RUN)
    reader.curves([RUN])
    reader.logs(RUN)
    reader.notices(RUN)
    reader.notice_balance()
    reader.status_counts()
    reader.experiments()
    reader.runs_to_cancel()
    reader.active_states([0, 1, 2])
    reader.activity(RUN)
    reader.watermarks("history")
    reader.check()
    NoticeBalanceReader(db)()
    letters.page(LetterSelection(processor="history"))
    (letter,) = letters.oldest(LetterSelection(state="all"), 10)
    letters.whole([letter.letter_id])
    letters.replays(letter.letter_id)
    letters.counts()
    letters.stops()
    await DeadLetterLedger(db, "history").last([TopicPartition(EVENTS, partition) for partition in range(3)], 100)
    context = HistoryRunContext(db)
    await context.revisions([RunKey("default", RUN, "")])
    await context.load([RunKey("default", RUN, "")])


def _encoded(value: Any) -> Any:
    match value:
        case np.generic() | np.ndarray():
            return _encoded(value.tolist())
        case bytes():
            return {_HEX: value.hex()}
        case datetime():
            return {_TIME: value.isoformat()}
        case float() if value != value or value in (float("inf"), float("-inf")):  # NaN alone is not itself
            return {_NUMBER: str(value)}
        case dict():
            return {str(name): _encoded(each) for name, each in value.items()}
        case tuple():
            return {_TUPLE: [_encoded(each) for each in value]}
        case str() | int() | float() | None:
            return str(value) if isinstance(value, str) else value
        case _:
            return [_encoded(each) for each in cast("Collection[Any]", value)]


def _decoded(value: Any) -> Any:
    match value:
        case {"$hex": text}:
            return bytes.fromhex(text)
        case {"$time": text}:
            return datetime.fromisoformat(text)
        case {"$float": text}:
            return float(text)
        case {"$tuple": items}:
            return tuple(_decoded(each) for each in items)
        case dict():
            return {name: _decoded(each) for name, each in value.items()}
        case list():
            return [_decoded(each) for each in value]
        case _:
            return value


def missing(name: str, statements: Sequence[Statement]) -> Iterator[Statement]:
    """Yield those whose like is not in the set of a version."""
    known = {each.shape for each in recorded(name)} if (FOLDER / f"{name}.json").exists() else set()
    yield from (each for each in statements if each.shape not in known)


def main() -> int:
    """Write the set of the last migration, or add to it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    name = migrations()[-1].name
    with tempfile.TemporaryDirectory() as folder:
        db = HistoryDatabase.open(f"chdb://{folder}", database="recorded")
        statements = record(db)
        db.close()
    path = FOLDER / f"{name}.json"
    new = list(missing(name, statements))
    kept = recorded(name) if path.exists() else []
    if not path.exists():
        new = statements
    if new:
        lines = b",\n".join(msgspec.json.encode(each) for each in [*kept, *new])
        path.write_bytes(b"[\n" + lines + b"\n]\n")
    print(f"{path}: {len(kept)} statements, {len(new)} added")
    return 0


if __name__ == "__main__":
    sys.exit(main())
