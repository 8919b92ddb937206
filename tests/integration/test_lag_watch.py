"""The pipeline watches itself: a real server whose database stands still mails its operator, past the pipeline that lags."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import msgspec
import pytest

from runherald.alerts.lag_incident import Watched
from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.mail_catcher import MailCatcher
from runherald.events import AmlRunEvent, RunHeader, new_event
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.wire import CONTENT_TYPE, encode_batch
from tests.server_process import ServerProcess, free_port, wait_until

LIMIT = 6.0
"""Seconds: well above what a busy machine takes to process one event."""


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[LocalClickHouse]:
    with LocalClickHouse(tmp_path / "clickhouse") as clickhouse:
        with closing(HistoryDatabase.open(clickhouse.url)) as history:
            migrate(history)
        yield clickhouse


def test_one_mail_when_it_lags_and_one_when_it_is_over(
    tmp_path: Path, clickhouse: LocalClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNHERALD_WATCH__LAG_SECONDS", f"{LIMIT:g}")
    port = free_port()
    arguments = ("--history", clickhouse.url, "--query-history", clickhouse.url, "--mail-to", "operator@example.org")
    with (
        MailCatcher(tmp_path / "mails") as catcher,
        ServerProcess(tmp_path, port, *arguments, "--smtp", catcher.url) as server,
    ):
        post(server, "before")
        wait_until("the first event's processing", lambda: figure(server, "runherald_history_up") and age(server) == 0, 30)
        assert catcher.messages() == []

        pause(clickhouse, signal.SIGSTOP)
        try:
            post(server, "meanwhile")
            (begun,) = wait_until("the mail about lag", catcher.messages, 60)
            # That these come shows as well that figures and page do not wait for what hangs.
            wait_until("an event that waits for long", lambda: age(server) > 3 * LIMIT, 60)
            assert figure(server, "runherald_history_up") == 0
            assert figure(server, "runherald_log_up") == 1
            page = text(server, "/status")
            assert "History does not answer" in page
            assert ">lags</span>" in page
            assert [mail.subject for mail in catcher.messages()] == [begun.subject], "one mail for one incident"
        finally:
            pause(clickhouse, signal.SIGCONT)

        _, over = wait_until("the mail that it is over", lambda: catcher.messages()[1:] and catcher.messages(), 90)
        wait_until("the watch's rest", lambda: kept(server) == Watched(), 20)
        assert server.stop() == 0
        assert len(catcher.messages()) == 2
    assert "answered" in begun.subject or "behind" in begun.subject
    assert over.subject.startswith("[runherald] The pipeline is up to date again after")
    assert {begun.recipients, over.recipients} == {"operator@example.org"}
    body = over.path.read_text()
    assert "database: away for" in body
    assert "history: behind by" in body


def post(server: ServerProcess, run: str) -> None:
    header = RunHeader(experiment_name="lag")
    event = new_event(
        AmlRunEvent(operation="Created", header=header), workspace="w", run_id=run, producer="test", sequence=0, time=datetime.now(UTC)
    )
    request = Request(f"{server.url}/api/v1/events", encode_batch([event]), {"Content-Type": CONTENT_TYPE})
    # The answer may wait for history, which is asked for cancellations; the event is in the log.
    with suppress(URLError, TimeoutError), urlopen(request, timeout=5) as reply:
        assert reply.status == 200


def age(server: ServerProcess) -> float:
    return figure(server, 'runherald_processor_oldest_age_seconds{processor="history",topic="runherald.events"}')


def figure(server: ServerProcess, name: str) -> float:
    lines = dict(line.rsplit(" ", 1) for line in text(server, "/metrics").splitlines() if line[0] != "#")
    return float(lines[name])


def text(server: ServerProcess, path: str) -> str:
    with urlopen(f"{server.url}{path}", timeout=20) as reply:
        return str(reply.read().decode())


def kept(server: ServerProcess) -> Watched:
    return msgspec.json.decode((server.data / "watch.json").read_bytes(), type=Watched)


def pause(clickhouse: LocalClickHouse, number: signal.Signals) -> None:
    assert clickhouse._child is not None
    os.killpg(clickhouse._child.pid, number)
