"""Lines of consoles and files into history."""

from __future__ import annotations

from collections.abc import Sequence

from runherald.clock import Clock
from runherald.events import AmlRunLogEvent
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.writer import TableWriter
from runherald.streams.columns import ColumnProcessor, Placed
from runherald.topics import LOGS

NAME = "logs"

_COLUMNS = ("workspace", "run_id", "file", "producer", "stream", "number", "time", "text", "_topic", "_partition", "_offset")


def logs_processor(db: HistoryDatabase, clock: Clock, *, writer: TableWriter | None = None) -> ColumnProcessor:
    """Return the processor that writes `log_lines`."""
    return ColumnProcessor(NAME, LOGS, lambda: log_rows, writer or TableWriter(db, NAME, clock))


def log_rows(events: Sequence[Placed]) -> tuple[TableRows, ...]:
    """Return the lines of log events as rows."""
    rows = [
        (
            event.workspace,
            event.run_id,
            event.data.file,
            event.producer,
            event.data.stream,
            line.number,
            line.time,
            line.text,
            record.topic,
            record.partition,
            record.offset,
        )
        for record, event in events
        if isinstance(event.data, AmlRunLogEvent)
        for line in event.data.lines
    ]
    return (table_rows("log_lines", _COLUMNS, rows),) if rows else ()
