"""What the serving commands are made of: history and the processors, by the settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta

from runherald.alerts.alerting import alerting_processor
from runherald.alerts.mailer import mailer_processor
from runherald.alerts.rules import Rules, builtin_rules, load_rules
from runherald.clock import system_clock
from runherald.errors import SettingsError
from runherald.records import Processor, TopicPartition
from runherald.settings import Mail, Settings
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.dead_letter_ledger import DeadLetterLedger
from runherald.sinks.migrate import unapplied
from runherald.sinks.queries import HistoryReader
from runherald.status import Status
from runherald.streams.dead_letter_limit import DEFAULT_LIMIT, Counted, Recalled
from runherald.streams.dead_letters import dead_letters_processor
from runherald.streams.history import history_processor
from runherald.streams.leases import ActiveRun, LeasesProcessor
from runherald.streams.limited_processor import LimitedProcessor, Recall
from runherald.streams.logs import logs_processor
from runherald.streams.metrics import metrics_processor

Factory = Callable[[], Processor]

UNLIMITED = frozenset({"leases", "dead-letters"})
"""Processors that make no dead letters."""


def open_history(settings: Settings) -> HistoryDatabase:
    """Open history where the settings say: in the data folder, or on a server."""
    if settings.history == "embedded":
        return HistoryDatabase.open(f"chdb://{settings.data.resolve() / 'history'}", database=settings.database)
    return HistoryDatabase.open(settings.history, database=settings.database)


def check_schema(history: HistoryDatabase) -> None:
    """Raise `SettingsError` unless the schema is this version's: a service never migrates a server that others use."""
    missing = unapplied(history)
    if missing:
        raise SettingsError(
            f"history {history.url_for_humans}: {len(missing)} migrations are not applied ({', '.join(missing)}); "
            "run `runherald migrate --history URL` first"
        )


def rules_of(settings: Settings) -> Rules:
    """Return the built-in rules for whoever gets mail, and those of the files."""
    return load_rules(settings.rules) + builtin_rules(settings.mail.to)


def processors(
    settings: Settings, history: Callable[[], HistoryDatabase], rules: Rules, *, mail: Mail, public_url: str
) -> Mapping[str, Factory]:
    """Return how each processor is made, by name. `history` is asked when one is made, in the process where it will run."""
    grace = timedelta(seconds=settings.leases.grace_seconds)
    max_age = timedelta(hours=mail.max_age_hours)
    return {
        "history": lambda: history_processor(history(), system_clock),
        "metrics": lambda: metrics_processor(history(), system_clock),
        "logs": lambda: logs_processor(history(), system_clock),
        "leases": lambda: LeasesProcessor(_active_runs(HistoryReader(history())), clock=system_clock, grace=grace),
        "alerting": lambda: alerting_processor(history(), rules, system_clock, max_age=max_age),
        "mailer": lambda: mailer_processor(history(), mail, system_clock, public_url=public_url),
        "dead-letters": lambda: dead_letters_processor(history(), system_clock),
    }


def limited(factories: Mapping[str, Factory], history: Callable[[], HistoryDatabase]) -> Mapping[str, Factory]:
    """Return the same processors, each of which stops when too many of its records become dead letters."""

    def factory_of(name: str, factory: Factory) -> Factory:
        return lambda: LimitedProcessor(factory(), _recall(DeadLetterLedger(history(), name)), system_clock)

    return {name: factory if name in UNLIMITED else factory_of(name, factory) for name, factory in factories.items()}


def _recall(ledger: DeadLetterLedger) -> Recall:
    async def recall(partitions: Collection[TopicPartition]) -> Recalled:
        last = await ledger.last(partitions, DEFAULT_LIMIT.window)
        return Recalled([Counted(records, dead) for records, dead in reversed(last.ranges)], last.allowed)

    return recall


def _active_runs(reader: HistoryReader) -> Callable[[Collection[TopicPartition]], Iterable[ActiveRun]]:
    def load(partitions: Collection[TopicPartition]) -> Iterable[ActiveRun]:
        for partition in partitions:
            for state in reader.active_states([partition.partition]):
                if state.status is not None:
                    yield ActiveRun(
                        workspace=state.workspace,
                        run_id=state.run_id,
                        partition=partition,
                        status=state.status,
                        last_seen=state.last_seen,
                        lease_seconds=state.lease_seconds,
                        claimed=state.status_time if state.status is Status.NOT_RESPONDING else None,
                    )

    return load
