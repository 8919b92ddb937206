"""Which tables are made of which topic, by which processor, and which tables are nobody's to make again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct

from runherald.alerts import alerting, mailer
from runherald.alerts.alerting import TABLE as DECISIONS
from runherald.alerts.alerting import taken_decisions_processor
from runherald.alerts.mailer import MailerProcessor
from runherald.alerts.notice_table import TABLE as NOTICES
from runherald.alerts.notice_table import NoticeTable
from runherald.alerts.outbox import Notice
from runherald.alerts.stages.deliver import Tried
from runherald.clock import EPOCH, Clock
from runherald.records import Processor
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.retry import Retry
from runherald.sinks.writer import TableWriter
from runherald.streams import dead_letters, history, history_rows, logs, metrics
from runherald.streams.dead_letters import dead_letters_processor
from runherald.streams.history import history_processor
from runherald.streams.logs import logs_processor
from runherald.streams.metrics import metrics_processor
from runherald.streams.rebuild.plan import Older
from runherald.topics import ALERTS, DEAD_LETTERS, EVENTS, LOGS, METRICS, STATUS

Make = Callable[[HistoryDatabase, Clock], Processor]


class Derived(Struct, frozen=True, kw_only=True):
    """What one processor makes of one topic.

    Attributes:
        tables: those it writes, in no order.
        make: makes the processor on a database; the live one's code, so that there is no second rule of what a row is.
        older: where rows come from whose records the log no longer holds.
        finished_by: the topic that the processor takes in live, where that is another one: how far it is there says which rows are
            finished, and `topic` is read to its end.
    """

    processor: str
    topic: str
    tables: tuple[str, ...]
    make: Make
    older: Older
    finished_by: str = ""


class Undelivered:
    """Delivers nothing: a rebuild sends no mail."""

    async def deliver(self, notices: Sequence[Notice]) -> Sequence[Tried | None]:
        """Send none."""
        return [None] * len(notices)

    def message_id(self, notice: Notice) -> str:
        """Return nothing that could be sent."""
        raise AssertionError(f"a rebuild sends no mail, and would have sent notice {notice.notice_id}")

    async def rest(self) -> None:
        """Hold nothing."""

    async def close(self) -> None:
        """Hold nothing."""


def derived() -> tuple[Derived, ...]:
    """Return all that is made of the log."""
    return (
        Derived(
            processor=history.NAME,
            topic=EVENTS,
            tables=history_rows.TABLES,
            make=history_processor,
            older="run_events",
        ),
        Derived(
            processor=metrics.NAME,
            topic=METRICS,
            tables=("metric_series", "metric_points", "metric_texts", "metric_objects", "metric_descriptions"),
            make=metrics_processor,
            older="kept",
        ),
        Derived(processor=logs.NAME, topic=LOGS, tables=("log_lines",), make=logs_processor, older="kept"),
        Derived(
            processor=alerting.NAME,
            topic=ALERTS,
            tables=(DECISIONS,),
            make=taken_decisions_processor,
            older="kept",
            finished_by=STATUS,
        ),
        Derived(processor=mailer.NAME, topic=ALERTS, tables=(NOTICES,), make=_silent_mailer, older="kept"),
        Derived(
            processor=dead_letters.NAME,
            topic=DEAD_LETTERS,
            tables=("dead_letters", "dead_letter_replays", "dead_letter_stops"),
            make=dead_letters_processor,
            older="kept",
        ),
    )


LEFT: Mapping[str, str] = MappingProxyType(
    {
        "ingest_batches": "how far the processors are: that is what a rebuild goes by",
        "ingest_watermarks": "how far the processors are: that is what a rebuild goes by",
        "schema_migrations": "what was done to the database",
    }
)
"""Tables that are not made again, and why."""


def unaccounted(tables: Collection[str], fed: Collection[str]) -> set[str]:
    """Return those of the tables that nothing here speaks of; `fed`: those that materialised views fill."""
    return set(tables) - set(fed) - LEFT.keys() - {table for each in derived() for table in each.tables}


def _silent_mailer(db: HistoryDatabase, clock: Clock) -> Processor:
    """Return the mailer that folds what became of notices, and attempts none: at its time no notice is due."""
    retry = Retry()
    return MailerProcessor(Undelivered(), TableWriter(db, mailer.NAME, clock, retry=retry), NoticeTable(db, retry), _long_ago)


def _long_ago() -> datetime:
    return EPOCH
