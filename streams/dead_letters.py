"""The dead letters' topic into history, where operators look."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runherald.clock import Clock, to_micros
from runherald.dead_letters import Letter, Replayed, Stopped, WentOn, read_letter
from runherald.errors import InvalidInput
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.intake import Intake
from runherald.sinks.retry import Retry
from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.writer import TableWriter
from runherald.topics import DEAD_LETTERS

logger = logging.getLogger(__name__)

NAME = "dead-letters"

_PLACE = ("_topic", "_partition", "_offset")
_LETTERS = (
    *("letter_id", "processor", "error", "reason", "topic", "partition", "offset", "timestamp", "has_key", "key", "value"),
    *("header_names", "header_values", "event_type", "event_id", "run_id", "first_id", "previous_id", "replays", "dead_time", *_PLACE),
)
_REPLAYS = ("letter_id", "replay_id", "time", "topic", "partition", "offset", "user", "late", *_PLACE)
_STOPS = ("processor", "kind", "time", "topic", "partition", "offset", "reason", "user", "allow", *_PLACE)
_TABLES = {"dead_letters": _LETTERS, "dead_letter_replays": _REPLAYS, "dead_letter_stops": _STOPS}
_SHORT = 256

Row = tuple[Any, ...]


class DeadLettersProcessor:
    """The processor `dead-letters`. It makes none itself: what it cannot read or store is said in the log, and stays in the topic."""

    name = NAME
    topics: tuple[str, ...] = (DEAD_LETTERS,)

    def __init__(self, writer: TableWriter) -> None:
        self._intake = Intake(writer, NAME)
        self._rows: dict[TopicPartition, dict[str, list[Row]]] = {}

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Read how far these partitions are stored."""
        await self._intake.assigned(end_offsets)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drop what is buffered of these partitions."""
        self._intake.revoked(partitions)
        for partition in partitions:
            self._rows.pop(partition, None)

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Take letters and marks in."""
        for record in await self._intake.take(records):
            try:
                table, row = _row(record)
            except InvalidInput as error:
                logger.warning("processor=%s event=skipped offset=%d reason=%s", NAME, record.offset, error)
                continue
            self._rows.setdefault(record.topic_partition, {}).setdefault(table, []).append(row)
        return ()

    async def flush(self) -> Sequence[Outgoing]:
        """Store the rows."""
        tables: dict[TopicPartition, tuple[TableRows, ...]] = {
            partition: tuple(table_rows(table, _TABLES[table], rows) for table, rows in by_table.items())
            for partition, by_table in self._rows.items()
        }
        refused = await self._intake.store(tables)
        self._rows.clear()
        if refused:
            logger.error("processor=%s event=not_stored letters=%d; they stay in the topic %s", NAME, len(refused), DEAD_LETTERS)
        return ()


def dead_letters_processor(db: HistoryDatabase, clock: Clock, *, retry: Retry | None = None) -> DeadLettersProcessor:
    """Return the processor that stores dead letters."""
    return DeadLettersProcessor(TableWriter(db, NAME, clock, retry=retry))


def _row(record: Record) -> tuple[str, Row]:
    """Return the table and row of a record.

    Raises:
        InvalidInput: it is a mark that this version does not know.
    """
    place = (record.topic, record.partition, record.offset)
    match read_letter(record):
        case Letter() as letter:
            return "dead_letters", (*_letter_row(letter), *place)
        case Replayed() as mark:
            when = to_micros(mark.time)
            row = (mark.letter_id, mark.replay_id, when, mark.topic, mark.partition, mark.offset, mark.user, mark.late)
            return "dead_letter_replays", (*row, *place)
        case Stopped() as mark:
            when = to_micros(mark.time)
            return "dead_letter_stops", (
                *(mark.processor, "stopped", when, mark.topic, mark.partition, mark.offset, mark.reason, "", 0),
                *place,
            )
        case WentOn() as mark:
            return "dead_letter_stops", (mark.processor, "went_on", to_micros(mark.time), "", 0, 0, "", mark.user, mark.allow, *place)


def _letter_row(letter: Letter) -> Row:
    return (
        *(letter.letter_id, letter.processor, letter.error, letter.reason, letter.topic, letter.partition, letter.offset, letter.timestamp),
        *(letter.key is not None, letter.key or b"", letter.value),
        [name for name, _ in letter.headers],
        # As hex: the client writes texts into arrays, and a value may be any bytes.
        [value.hex() for _, value in letter.headers],
        *(letter.text_of(name)[:_SHORT] for name in ("ce_type", "ce_id", "ce_subject")),
        *(letter.first_id, letter.previous_id, letter.replays, to_micros(letter.dead_time)),
    )
