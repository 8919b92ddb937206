"""Events into the history of runs: folds them, publishes the accepted transitions, stores the rows.

Order of effects: accepted transitions are published, then rows are inserted (the truth first, the runs' states last), then the watermark
is set, then the offsets are committed. Whatever is cut off is done again from the records, and comes out the same: the ids of what is
published are made of the reports' ids, and what a run's stored state has seen already is skipped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence

from runherald.clock import Clock
from runherald.errors import InvalidEvent
from runherald.events import Event
from runherald.limits import SERVER_LIMITS, Limits
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.intake import Intake
from runherald.sinks.retry import Retry
from runherald.sinks.writer import TableWriter
from runherald.state import fold
from runherald.streams.history_rows import HistoryRows, Row, state_row
from runherald.streams.reported_event import reported_event
from runherald.streams.stored_states import Held, RunKey, StoredStates
from runherald.topics import EVENTS, STATUS
from runherald.transitions import accepted_event
from runherald.wire import to_outgoing

NAME = "history"

HELD_STATES = 50_000
"""How many runs' states are kept in memory between flushes: some kilobytes each."""


class HistoryProcessor:
    """The processor `history`: the only place where the state of a run is made."""

    name = NAME
    topics: tuple[str, ...] = (EVENTS,)

    def __init__(
        self, writer: TableWriter, stored: StoredStates, *, limits: Limits = SERVER_LIMITS, held_states: int = HELD_STATES
    ) -> None:
        self._intake = Intake(writer, NAME)
        self._limits = limits
        self._stored = stored
        self._held_states = held_states
        self._states: OrderedDict[RunKey, Held] = OrderedDict()
        self._changed: dict[TopicPartition, set[RunKey]] = {}
        self._rows: dict[TopicPartition, HistoryRows] = {}

    @property
    def pending(self) -> int:
        """How many records were taken in since the last flush."""
        return self._intake.pending

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Read how far these partitions are stored."""
        await self._intake.assigned(end_offsets)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drop the states and rows of these partitions."""
        self._intake.revoked(partitions)
        for partition in partitions:
            self._rows.pop(partition, None)
            self._changed.pop(partition, None)
        for key in [key for key, held in self._states.items() if held.partition in partitions]:
            del self._states[key]

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Fold events in; return the accepted transitions, and dead letters of what cannot be read."""
        outgoing: list[Outgoing] = []
        placed: list[tuple[Record, Event, str]] = []
        for record in await self._intake.take(records):
            try:
                placed.append((record, reported_event(record, self._limits), _text(record)))
            except InvalidEvent as error:
                outgoing.append(self._intake.bury(record, str(error)))
        await self._load((record, event) for record, event, _ in placed)
        for record, event, payload in placed:
            outgoing += self._fold(record, event, payload)
        return outgoing

    async def flush(self) -> Sequence[Outgoing]:
        """Store the rows; what the database does not take is returned as dead letters."""
        tables = {partition: rows.tables(self._state_rows(partition)) for partition, rows in self._rows.items()}
        letters = await self._intake.store(tables)
        self._rows.clear()
        self._changed.clear()
        # Only now is every state a stored one, so that any may go.
        while len(self._states) > self._held_states:
            self._states.popitem(last=False)
        return letters

    async def _load(self, placed: Iterable[tuple[Record, Event]]) -> None:
        partitions = {(event.workspace, event.run_id): record.topic_partition for record, event in placed}
        missing = partitions.keys() - self._states.keys()
        for key, (state, version) in (await self._stored.load(missing)).items():
            self._states[key] = Held(state, version, partitions[key])

    def _fold(self, record: Record, event: Event, payload: str) -> list[Outgoing]:
        key, partition = (event.workspace, event.run_id), record.topic_partition
        held = self._states.get(key)
        rows = self._rows.get(partition)
        if rows is None:
            rows = self._rows[partition] = HistoryRows()
        if held is not None and record.offset < held.version:
            # The stored state has seen it: its rows are stored and its transition is published. The state itself is stored again, with the
            # version that it has: the engine may have died before it had the row in what a view makes of it (`run_index`), too.
            self._changed.setdefault(partition, set()).add(key)
            return []
        before = held.state if held else None
        folded = fold(before, event)
        rows.add(record, event, payload, before, folded)
        if folded.state is not before:
            self._states[key] = Held(folded.state, record.offset + 1, partition)
            self._states.move_to_end(key)
            self._changed.setdefault(partition, set()).add(key)
        return [to_outgoing(accepted_event(folded.transition), STATUS)] if folded.transition else []

    def _state_rows(self, partition: TopicPartition) -> list[Row]:
        changed = [self._states[key] for key in self._changed.get(partition, ())]
        return [state_row(held.state, partition.topic, partition.partition, held.version - 1) for held in changed]


def history_processor(db: HistoryDatabase, clock: Clock, *, retry: Retry | None = None) -> HistoryProcessor:
    """Return the processor that makes the history of runs."""
    retry = retry or Retry()
    return HistoryProcessor(TableWriter(db, NAME, clock, retry=retry), StoredStates(db, retry))


def _text(record: Record) -> str:
    try:
        return record.value.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent("data", f"is not UTF-8 at byte {error.start}") from None
