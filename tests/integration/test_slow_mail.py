"""A mail server that takes ten seconds for a mail keeps mails waiting, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from runherald.clock import system_clock
from runherald.deploy.mail_catcher import MailCatcher
from runherald.events import AmlRunEvent, AmlRunStatusChangedEvent, Event, RunHeader, new_event
from runherald.status import Status
from runherald.wire import CONTENT_TYPE, encode_batch
from tests.server_process import ServerProcess, wait_until

MAIL_SECONDS = 10.0
RUNS = 10


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[ServerProcess]:
    over = threading.Event()

    def slowly(stage: str, _address: str) -> None:
        """Take a mail, but not at once."""
        if stage == "MAIL":
            over.wait(MAIL_SECONDS)

    with MailCatcher(tmp_path / "mails", refuse=slowly) as catcher:
        server = ServerProcess(tmp_path, free_port, "--mail-to", "me@example.org", "--smtp", catcher.url)
        with server:
            yield server
            over.set()


def fail_runs(server: ServerProcess, wave: int) -> None:
    events = [event for number in range(RUNS) for event in failed_run(f"run-{wave}-{number}")]
    request = Request(f"{server.url}/api/v1/events", encode_batch(events), {"Content-Type": CONTENT_TYPE})
    with urlopen(request, timeout=30) as reply:
        assert reply.status == 200


def failed_run(run_id: str) -> Iterator[Event]:
    steps = (
        AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits")),
        AmlRunStatusChangedEvent(status=Status.RUNNING),
        AmlRunStatusChangedEvent(status=Status.FAILED),
    )
    for sequence, data in enumerate(steps):
        yield new_event(data, workspace="default", run_id=run_id, producer=f"of-{run_id}", sequence=sequence, time=system_clock())


def failed(server: ServerProcess) -> int:
    return int(server.query("SELECT count() FROM runs WHERE status = 'Failed'")[0][0])


@pytest.mark.timeout(120)
def test_while_mails_wait_for_a_slow_server_history_goes_on_at_once(server: ServerProcess) -> None:
    begun = time.monotonic()
    for wave in range(1, 5):
        fail_runs(server, wave)
        # A machine with much to do takes a second or two; a history that waits for a mail takes ten.
        wait_until("the runs in history", lambda wave=wave: failed(server) == wave * RUNS, 5)  # type: ignore[misc]
        wait_until("history at rest", lambda: lag(server, "history") == lag(server, "alerting") == 0, 5)
    waited = time.monotonic() - begun
    status = server.get("/api/v1/status")
    assert status["balance"]["decided"] == 4 * RUNS
    assert status["notices"].get("accepted", 0) <= waited // MAIL_SECONDS, "the mail server was not slow, so this shows nothing"


def lag(server: ServerProcess, processor: str) -> int:
    return sum(part["lag"] for part in server.get("/api/v1/status")["partitions"] if part["processor"] == processor)
