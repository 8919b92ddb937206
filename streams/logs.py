"""Lines of consoles and files into history."""

from __future__ import annotations

from typing import Any

from runherald.clock import Clock
from runherald.events import AmlRunLogEvent, Event
from runherald.records import Record
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.retry import Retry
from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.writer import TableWriter
from runherald.streams.columns import ColumnProcessor
from runherald.topics import LOGS

NAME = "logs"

_COLUMNS = ("workspace", "run_id", "file", "producer", "stream", "number", "time", "text", "_topic", "_partition", "_offset")


def logs_processor(db: HistoryDatabase, clock: Clock, *, retry: Retry | None = None) -> ColumnProcessor:
    """Return the processor that writes `log_lines`."""
    return ColumnProcessor(NAME, LOGS, LogProjection, TableWriter(db, NAME, clock, retry=retry))


class LogProjection:
    """Turns log events into rows, a line each."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def add(self, record: Record, event: Event) -> None:
        """Take the lines of an event in."""
        assert isinstance(event.data, AmlRunLogEvent)  # the topic's only type
        head = (event.workspace, event.run_id, event.data.file, event.producer, event.data.stream)
        place = (record.topic, record.partition, record.offset)
        self._rows += [(*head, line.number, line.time, line.text, *place) for line in event.data.lines]

    def drain(self) -> tuple[TableRows, ...]:
        """Return the lines since the last drain."""
        rows, self._rows = self._rows, []
        return (table_rows("log_lines", _COLUMNS, rows),) if rows else ()
