"""Where a script runs: folders that move or vanish, few files and threads, addresses and tokens that cannot be."""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald import Experiment, Workspace
from runherald.errors import InvalidInput
from runherald.producers.journal.folder import journal_folders
from runherald.producers.server.connection import Connection
from runherald.status import Status
from tests.contract.test_transport import LoopbackServer
from tests.integration.test_sdk_process import last_status, values
from tests.server_process import wait_until
from tests.unit.test_sdk_run import points, statuses


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    loopback = LoopbackServer()
    yield loopback
    loopback.close()


@pytest.fixture
def home(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_relative_home_stays_where_it_was_when_the_script_goes_elsewhere(
    home: Path, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUNHERALD_HOME", "home")
    workspace = Workspace(url=server.url)
    with Experiment(workspace, "digits").start_logging() as run:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        run.log("loss", 1.0)
    workspace.session.close()
    assert values(server.events) == [1.0]
    assert last_status(server.events) is Status.COMPLETED
    assert home.is_dir()


@pytest.mark.parametrize("how", ["removed", "moved", "emptied"])
def test_what_was_recorded_arrives_though_its_folder_is_gone(home: Path, server: LoopbackServer, tmp_path: Path, how: str) -> None:
    workspace = Workspace(url=server.url)
    run = Experiment(workspace, "digits").start_logging()
    run.log("loss", 0.0)
    run.flush(30)
    match how:
        case "removed":
            shutil.rmtree(home)
        case "moved":
            home.rename(tmp_path / "moved")
        case _:
            for file in home.glob("journals/*/*.seg"):
                file.unlink()
    for number in range(1, 10):
        run.log("loss", float(number))
    run.flush(30)
    assert "removed while it was written" in run.health.disk
    assert run.health.lost == 0
    run.complete()
    workspace.session.close()
    assert values(server.events) == [float(number) for number in range(10)]
    assert last_status(server.events) is Status.COMPLETED


def test_a_connection_that_the_script_closed_is_let_go(server: LoopbackServer) -> None:
    connection = Connection(server.url)
    connection._open = connection._connect()
    connection._open.connect()
    os.close(connection._open.sock.fileno())  # as a script does that makes itself a daemon
    connection.close()
    assert connection._open is None


def test_many_ended_runs_leave_the_script_its_files(home: Path) -> None:
    workspace = Workspace()
    experiment = Experiment(workspace, "digits")
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(60):
        with experiment.start_logging(run_id=f"run-{number}") as run:
            run.log("loss", 1.0)
    # Another thread puts the journals of ended runs aside; a busy machine lets it do so when it can.
    wait_until("journals to be put aside", lambda: len(list(Path("/proc/self/fd").iterdir())) - open_before < 50, 20)
    workspace.session.close()
    assert len(list(journal_folders(home))) == 60


def test_what_was_put_aside_is_sent_once_the_server_is_there(home: Path, free_port: int, server: LoopbackServer) -> None:
    server.script = ["drop"] * 200
    workspace = Workspace(url=server.url)
    for number in range(40):
        with Experiment(workspace, "digits").start_logging(run_id=f"run-{number}") as run:
            run.log("loss", float(number))
    server.script = []
    last = Experiment(workspace, "digits").start_logging()
    for _ in range(300):
        if len(values(server.events)) == 40:
            break
        last.flush(0.1)
        threading.Event().wait(0.1)
    workspace.session.close()
    assert sorted(values(server.events)) == [float(number) for number in range(40)]
    assert list(journal_folders(home)) == []


def test_without_a_thread_all_stays_in_the_journal_and_the_script_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    workspace = Workspace()
    with caplog.at_level(logging.WARNING), Experiment(workspace, "digits").start_logging() as run:
        run.log("loss", 1.0)
    workspace.session.close()
    assert points(home, run) == [("loss", 0, 1.0)]
    assert statuses(home, run)[-1].status is Status.COMPLETED
    assert [record.getMessage().split()[0] for record in caplog.records] == ["shipper_waits", "records_left"]
    assert "can't start new thread" in caplog.text
    assert "runherald sync" in caplog.text


def test_an_answer_that_accounts_for_too_few_events_acknowledges_nothing(home: Path, server: LoopbackServer) -> None:
    server.script = [(200, b'{"accepted":0}')]
    workspace = Workspace(url=server.url)
    with Experiment(workspace, "digits").start_logging() as run:
        run.log("loss", 1.0)
        run.flush(30)
    workspace.session.close()
    assert values(server.events) == [1.0]


@pytest.mark.parametrize("token", ["secret\n", "secret\r", "sec ret", "sécret", "secret\ud800"])
def test_a_token_that_no_header_takes_is_refused_and_not_shown(home: Path, token: str) -> None:
    with pytest.raises(InvalidInput, match=r"(?i)token: (its|has) character") as caught:
        Workspace(token=token)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "h\ud800"])
def test_a_host_that_is_no_name_is_refused(home: Path, host: str) -> None:
    with pytest.raises(InvalidInput, match="RUNHERALD_URL: its host is no name"):
        Workspace(url=f"http://{host}:7460")


def test_every_row_of_the_page_is_a_test() -> None:
    root = Path(__file__).parents[2]
    named = set(re.findall(r"`(test_\w+)`", (root / "docs" / "training-script.md").read_text()))
    files = [
        *(root / "tests" / "unit").glob("test_[rs]*.py"),
        *(root / "tests" / "contract").glob("test_[fs]*.py"),
        root / "tests" / "integration" / "test_sdk_process.py",
    ]
    assert named <= set(re.findall(r"def (test_\w+)\(", "".join(file.read_text() for file in files)))
