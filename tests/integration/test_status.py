"""How far a real server says it is: over HTTP, on the page, in the figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runherald.errors import Unreachable
from runherald.sinks.connection import HistoryDatabase
from tests.history_feed import Teller
from tests.server_process import ServerProcess, wait_until
from tests.studio_server import StudioServer


def test_what_waits_is_said_with_its_age_and_partition(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path / "log", processing=False, lag_seconds=0.001) as server:
        server.post([Teller("waits").created()])
        # Nothing processes here; what is old grows old.
        wait_until("an age", lambda: by_name(server, "history")["age_seconds"] > 0.01, 10)
        status = server.get("/api/v1/status")
        (part,) = [each for each in status["partitions"] if each["processor"] == "history"]
        assert (part["committed"], part["end"], part["lag"]) == (0, 1, 1)
        assert part["oldest_time"] == by_name(server, "history")["oldest_time"]
        assert by_name(server, "metrics")["age_seconds"] == 0
        assert status["balance"]["difference"] == 0
        page = server.http.get("/status").text
        assert page.count(">lags</span>") == 1
        assert page.count(">up to date</span>") == 3
        assert 'runherald_processor_lag{partition="0",processor="history",topic="runherald.events"} 1.0' in server.http.get("/metrics").text


def test_what_is_processed_does_not_wait_and_every_page_leads_there(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path / "log") as server:
        taken = server.post([Teller("done").created()])
        server.get("/api/v1/runs/done", after=taken)
        wait_until("no lag", lambda: by_name(server, "history")["lag"] == 0, 10)
        assert by_name(server, "history")["age_seconds"] == 0
        assert ">lags</span>" not in server.http.get("/status").text
        for path in ("/", "/dead-letters", "/query", "/runs/done"):
            assert '<a href="/status"' in server.http.get(path, headers={"Accept": "text/html"}).text


@pytest.mark.timeout(120)
def test_parts_that_could_not_be_read_are_said_everywhere(tmp_path: Path, free_port: int) -> None:
    with ServerProcess(tmp_path, free_port) as server:
        assert server.get("/api/v1/status")["set_aside"] == {}
        assert server.stop() == 0
        # What the engine leaves of a part that it could not attach (`system.detached_parts`).
        [table, *_] = server.data.glob("history/store/*/*/detached")
        (table / "broken-on-start_all_1_1_0").mkdir()
        server.start()
        [(name, parts)] = server.get("/api/v1/status")["set_aside"].items()
        assert parts == 1
        assert f"1 part of the table {name} could not be read" in server.text("/status")
        assert f'runherald_history_parts_set_aside{{table="{name}"}} 1.0' in server.text("/metrics")
        said = subprocess.run(
            [sys.executable, "-m", "runherald", "status", "-o", "table", "--url", server.url], capture_output=True, text=True, check=True
        )
        assert f"{name} damaged" in said.stdout
        assert "runherald rebuild" in said.stdout


@pytest.mark.parametrize("away", ["log", "history"])
def test_what_is_away_is_said_and_the_rest_is_shown(
    history_database: HistoryDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    def break_down(*_: object) -> None:
        raise Unreachable("it is away <b>")

    with StudioServer(history_database, tmp_path / "log", processing=False) as server:
        server.post([Teller("waits").created()])
        if away == "log":
            monkeypatch.setattr(server.log, "end_offsets", break_down)
        else:
            monkeypatch.setattr(server.parts.letters, "counts", break_down)
        page = server.http.get("/status")
        figures = server.http.get("/metrics").text
        assert page.status_code == 200
        assert "it is away &lt;b&gt;" in page.text
        assert (">Processors</h2>" in page.text) == (away != "log")
        assert (">Notices</h2>" in page.text) == (away != "history")
        assert f"runherald_{away}_up 0.0" in figures
        assert ("runherald_processor_lag{" in figures) == (away != "log")
        assert ("runherald_notices_decided" in figures) == (away != "history")
        assert server.http.get("/api/v1/status").status_code == 503
        monkeypatch.undo()


def by_name(server: StudioServer, processor: str) -> dict[str, float]:
    return next(each for each in server.get("/api/v1/status")["processors"] if each["processor"] == processor)
