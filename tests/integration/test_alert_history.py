"""From an accepted transition to a mail, on the real engine and a real SMTP server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runherald.alerts.alerting import alerting_processor
from runherald.alerts.mailer import mailer_processor
from runherald.alerts.notice_table import NoticeTable
from runherald.alerts.rules import builtin_rules
from runherald.clock import system_clock
from runherald.deploy.mail_catcher import MailCatcher
from runherald.events import (
    AmlRunEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunStatusChangedEvent,
    DebugInfo,
    ErrorEnvelope,
    Event,
    LogLine,
    RootError,
    RunHeader,
    new_event,
)
from runherald.records import Outgoing, Processor, Record, TopicPartition
from runherald.settings import Mail
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.sinks.queries import HistoryReader
from runherald.sinks.retry import Retry
from runherald.sinks.run_context import HistoryRunContext, RunContext, RunKey
from runherald.status import Status
from runherald.streams.history import history_processor
from runherald.streams.logs import logs_processor
from runherald.streams.metrics import metrics_processor
from runherald.topics import ALERTS
from runherald.wire import to_outgoing

ME = "me@example.org"
BEGIN = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def history(history_database: HistoryDatabase) -> HistoryDatabase:
    migrate(history_database)
    return history_database


class Topics:
    """A log in memory, a partition a topic; runs one processor over it from where it was committed."""

    def __init__(self) -> None:
        self.records: dict[str, list[Record]] = {}
        self.committed: dict[tuple[str, str], int] = {}

    def append(self, outgoing: Sequence[Outgoing]) -> None:
        for one in outgoing:
            records = self.records.setdefault(one.topic, [])
            records.append(Record(one.topic, 0, len(records), 0, one.key, one.value, one.headers))

    async def run(self, processor: Processor, turns: int = 2) -> None:
        await processor.assigned({TopicPartition(topic, 0): len(self.records.get(topic, ())) for topic in processor.topics})
        for _ in range(turns):
            for topic in processor.topics:
                start = self.committed.get((processor.name, topic), 0)
                records = self.records.get(topic, [])[start:]
                self.append(await processor.process(records))
                self.append(await processor.flush())
                self.committed[processor.name, topic] = start + len(records)
        await processor.revoked([TopicPartition(topic, 0) for topic in processor.topics])


def run_events(run_id: str, *, parent: str = "", name: str = "lr=10", end: Status | None = Status.FAILED) -> list[Event]:
    header = RunHeader(experiment_name="digits", display_name=name, parent_run_id=parent)
    error = ErrorEnvelope(error=RootError(message="boom", debug_info=DebugInfo(type="ValueError", message="boom")))
    said: list[Any] = [AmlRunEvent(operation="Created", header=header), AmlRunStatusChangedEvent(status=Status.RUNNING)]
    said += [AmlRunStatusChangedEvent(status=end, error=error if end is Status.FAILED else None)] if end else []
    return [event(data, run_id, sequence) for sequence, data in enumerate(said)]


def event(data: Any, run_id: str, sequence: int) -> Event:
    return new_event(
        data, workspace="default", run_id=run_id, producer=f"p-{run_id}", sequence=sequence, time=BEGIN + timedelta(seconds=sequence)
    )


def mail(catcher: MailCatcher, **said: Any) -> Mail:
    return Mail(smtp=catcher.url, sender="herald@example.org", timeout_seconds=5.0, **said)


async def test_a_failed_run_is_mailed_with_its_metrics_lines_and_sweep(history: HistoryDatabase, mail_catcher: MailCatcher) -> None:
    topics = Topics()
    series = AmlRunMetricEvent(names=("loss",), series=[0, 0, 0], steps=[0, 1, 2], times=[1, 2, 3], values=[2.0, 0.125, 0.25])
    lines = AmlRunLogEvent(lines=tuple(LogLine(number=number, time=number, text=f"epoch {number}") for number in range(30)))
    everything = [
        *run_events("sweep", name="digits sweep", end=None),
        *run_events("other", parent="sweep", end=Status.COMPLETED),
        *run_events("run-1", parent="sweep"),
        event(series, "run-1", 10),
        event(lines, "run-1", 11),
    ]
    topics.append([to_outgoing(one) for one in everything])
    for make in (history_processor, metrics_processor, logs_processor):
        await topics.run(make(history, system_clock))
    await topics.run(alerting_processor(history, builtin_rules([ME]), system_clock))
    await topics.run(mailer_processor(history, mail(mail_catcher), system_clock, public_url="http://runs.example.org"))

    [caught] = mail_catcher.messages()
    assert (caught.subject, caught.recipients) == ("Failed: digits/lr=10 — ValueError: boom", ME)
    text = caught.path.read_text()
    assert "loss: 0.25 at step 2 (0.125 to 2)" in text
    assert "epoch 29" in text
    assert "epoch 9\n" not in text.replace("\r\n", "\n")
    assert "digits sweep: 2 of 2 runs have ended (1 Completed, 1 Failed)." in text.replace("=\n", "").replace("=\r\n", "")

    [notice] = HistoryReader(history).notices()
    assert (notice.state, notice.attempts, notice.rule, notice.subject) == ("accepted", 1, "run-failed", caught.subject)
    [alert] = history.client().query("SELECT rule, decision, status, notice_ids FROM alerts").result_rows
    assert alert == ("run-failed", "notify", "Failed", [notice.notice_id])
    assert caught.message_id == history.client().query("SELECT message_id FROM notices").result_rows[0][0]


async def test_of_the_pending_notices_the_first_due_are_read_back_and_others_by_their_ids(history: HistoryDatabase, free_port: int) -> None:
    topics = Topics()
    topics.append([to_outgoing(one) for one in run_events("run-1")])
    await topics.run(history_processor(history, system_clock))
    await topics.run(alerting_processor(history, builtin_rules([ME, "you@example.org", "us@example.org"]), system_clock))
    settings = Mail(smtp=f"smtp://127.0.0.1:{free_port}", sender="herald@example.org", timeout_seconds=5.0)
    await topics.run(mailer_processor(history, settings, system_clock))
    table = NoticeTable(history, Retry())
    pending = await table.pending([0], 10)
    assert {notice.recipient for notice in pending} == {ME, "you@example.org", "us@example.org"}
    assert pending == sorted(pending, key=lambda notice: (notice.next_attempt_time, notice.notice_id))
    assert await table.pending([0], 2) == pending[:2]
    assert await table.pending([1], 10) == []
    assert await table.load([pending[2].notice_id, "unknown"]) == pending[2:]


async def test_notices_that_wait_for_the_server_are_sent_after_a_restart(history: HistoryDatabase, tmp_path: Path, free_port: int) -> None:
    topics = Topics()
    topics.append([to_outgoing(one) for one in run_events("run-1")])
    await topics.run(history_processor(history, system_clock))
    await topics.run(alerting_processor(history, builtin_rules([ME, "you@example.org"]), system_clock))
    settings = Mail(smtp=f"smtp://127.0.0.1:{free_port}", sender="herald@example.org", timeout_seconds=5.0)
    await topics.run(mailer_processor(history, settings, system_clock))
    assert {(one.state, one.attempts) for one in HistoryReader(history).notices()} == {("pending", 1)}

    later: Callable[[], datetime] = lambda: system_clock() + timedelta(minutes=1)  # noqa: E731
    with MailCatcher(tmp_path / "mails", port=free_port) as catcher:
        for _ in range(2):
            await topics.run(mailer_processor(history, settings, later))
        assert sorted(one.recipients for one in catcher.messages()) == [ME, "you@example.org"]
        assert {(one.state, one.attempts) for one in HistoryReader(history).notices()} == {("accepted", 2)}
        # The whole alerts topic again, as after a lost offset or with history rebuilt from elsewhere.
        topics.committed.clear()
        topics.append(topics_again(topics))
        await topics.run(mailer_processor(history, settings, later))
        assert len(catcher.messages()) == 2
    assert HistoryReader(history).notice_balance() == {"accepted": 2}


def topics_again(topics: Topics) -> list[Outgoing]:
    return [Outgoing(record.topic, record.key, record.value, record.headers) for record in topics.records[ALERTS]]


async def test_without_a_server_each_notice_says_so(history: HistoryDatabase) -> None:
    topics = Topics()
    topics.append([to_outgoing(one) for one in run_events("run-1")])
    await topics.run(history_processor(history, system_clock))
    await topics.run(alerting_processor(history, builtin_rules([ME]), system_clock))
    await topics.run(mailer_processor(history, Mail(), system_clock))
    [notice] = HistoryReader(history).notices()
    assert (notice.state, notice.reason) == ("refused", "no_server: mail.smtp is not set, so no mail can leave")


async def test_a_mail_does_not_wait_for_history(history: HistoryDatabase, caplog: pytest.LogCaptureFixture) -> None:
    assert await HistoryRunContext(history, wait=0.0).load([RunKey("default", "run-1", "")]) == {}
    assert "mails go without metrics and log lines mails=1 run=run-1" in caplog.text
    assert await HistoryRunContext(history, wait=0.0).revisions([RunKey("default", "run-1", "")]) == {}


async def test_a_run_that_history_has_not_seen_yet_has_an_empty_context(history: HistoryDatabase) -> None:
    key = RunKey("default", "run-1", "sweep")
    [(found, context)] = (await HistoryRunContext(history, wait=10.0).load([key])).items()
    assert found == key
    assert context == RunContext()
