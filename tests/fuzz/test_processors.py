"""Odd records in the log: the processors that make history take them or bury them, and store the good ones beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runherald.dead_letters import WentOn, mark_record
from runherald.events import AmlRunEvent, AmlRunMetricEvent, MetricObject, RunHeader, new_event
from runherald.records import Outgoing, Processor, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.sinks.queries import HistoryReader
from runherald.streams.dead_letters import dead_letters_processor
from runherald.streams.history import history_processor
from runherald.streams.logs import logs_processor
from runherald.streams.metrics import metrics_processor
from runherald.studio.answers import json_answer
from runherald.wire import to_outgoing
from tests.fixtures.chdb import fresh_database
from tests.fuzz.decoders import record_of
from tests.fuzz.odd import ODD_JSON, ODD_TEXTS
from tests.fuzz.seeds import SEEDS
from tests.fuzz.test_decoders import odd_records
from tests.unit.golden_events import TIME

FIXED = settings(derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MARK = mark_record(WentOn(processor="history", time=datetime(2026, 11, 21, tzinfo=UTC), allow=7))
LETTER = record_of(SEEDS["letter"][0])


class Taker:
    """Gives records to the processors, as if each topic had one partition."""

    def __init__(self, db: HistoryDatabase) -> None:
        migrate(db)
        makers = (history_processor, metrics_processor, logs_processor, dead_letters_processor)
        self._processors: list[Processor] = [make(db, lambda: TIME) for make in makers]
        self._offset = 0
        for processor in self._processors:
            asyncio.run(processor.assigned({TopicPartition(processor.topics[0], 0): 0}))

    def take(self, records: Sequence[Outgoing], timestamp: int = 1_795_262_400_000) -> None:
        """Process and store them."""
        placed = []
        for record in records:
            placed.append(Record(record.topic, 0, self._offset, timestamp, record.key, record.value, record.headers))
            self._offset += 1
        for processor in self._processors:
            asyncio.run(self._take(processor, [record for record in placed if record.topic in processor.topics]))

    async def _take(self, processor: Processor, records: Sequence[Record]) -> None:
        await processor.process(records)
        await processor.flush()


@pytest.fixture(scope="module")
def database(chdb_history: HistoryDatabase) -> Iterator[HistoryDatabase]:
    with fresh_database(chdb_history) as history:
        yield history


@pytest.fixture(scope="module")
def taker(database: HistoryDatabase) -> Taker:
    return Taker(database)


@given(st.lists(odd_records().map(record_of), min_size=20, max_size=40), st.uuids())
@settings(FIXED, max_examples=6)
def test_the_good_beside_the_odd(taker: Taker, database: HistoryDatabase, odd: list[Outgoing], run_id: object) -> None:
    good = created(str(run_id))
    taker.take([*odd[:10], good, *odd[10:]])
    assert HistoryReader(database).run(str(run_id)) is not None


def odd_letters() -> list[Outgoing]:
    """Return letters and marks with an odd value in one place each."""
    found: list[Outgoing] = []
    for index, (name, _) in enumerate(LETTER.headers):
        for odd in (*ODD_TEXTS, b"9" * 18, b"100000000000000000", b"4294967296"):
            headers = (*LETTER.headers[:index], (name, odd), *LETTER.headers[index + 1 :])
            found.append(replace(LETTER, headers=headers))
    mark = msgspec.json.decode(MARK.value)
    for name in (*mark, "ext"):
        for odd in ODD_JSON:
            value = msgspec.json.encode({**mark, name: "odd"}).replace(b'"odd"', odd)
            found.append(replace(MARK, value=value))
    return found


def test_odd_letters_and_marks(taker: Taker, database: HistoryDatabase) -> None:
    taker.take([*odd_letters(), replace(record_of(SEEDS["letter"][1]), value=b"the good one")])
    found = database.client().query("SELECT count() FROM dead_letters FINAL WHERE value = 'the good one'").result_rows
    assert found[0][0] == 1


@pytest.mark.parametrize("timestamp", [-1, 0, 10**14, 2**62, 2**63 - 1])
def test_a_letter_that_was_appended_at_no_time(taker: Taker, timestamp: int) -> None:
    taker.take([LETTER, MARK], timestamp)


def test_an_object_that_was_taken_can_be_read_however_deep(taker: Taker, database: HistoryDatabase) -> None:
    for depth in (1, 90, 100, 101, 500, *range(900, 1_000, 12)):
        objects = (MetricObject(name=f"depth {depth}", kind="list", step=0, time=0, value=msgspec.Raw(b"[" * depth + b"]" * depth)),)
        event = new_event(AmlRunMetricEvent(objects=objects), workspace="w", run_id="deep", producer="p", sequence=depth, time=TIME)
        taker.take([to_outgoing(event)])
    found = HistoryReader(database).metrics("deep")
    json_answer(found)
    assert {series.name for series in found} == {"depth 1", "depth 90", "depth 100"}


def created(run_id: str) -> Outgoing:
    """Return the creation of a run."""
    data = AmlRunEvent(operation="Created", header=RunHeader(experiment_name="odd"))
    return to_outgoing(new_event(data, workspace="default", run_id=run_id, producer="p", sequence=0, time=TIME))
