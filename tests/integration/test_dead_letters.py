"""Dead letters as an operator meets them, with real processes: what a server refuses, its correction, the replay, the stop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from runherald.events import AmlRunEvent, AmlRunMetricEvent, Data, Event, RunHeader, new_event
from runherald.records import Outgoing
from runherald.streams.log import open_log
from runherald.topics import EVENTS
from runherald.wire import to_outgoing
from tests.server_process import ServerProcess, free_port, wait_until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOTE = "a note of more than ten characters"
STRICT = """\
import runherald.limits
runherald.limits.SERVER_LIMITS = runherald.limits.Limits(tag_value=10, metric_name=10)
"""
"""Started with this, the server is a release whose limits are wrong."""
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def server(tmp_path: Path) -> ServerProcess:
    server = ServerProcess(tmp_path, free_port())
    server.data.mkdir()
    return server


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let servers be of the release whose limits are wrong; undone, they are as they should be."""
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(STRICT)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return monkeypatch


def test_what_a_wrong_release_refused_is_in_history_once_after_its_replay(server: ServerProcess, strict: pytest.MonkeyPatch) -> None:
    fill(
        server,
        to_outgoing(created("kept")),
        to_outgoing(tagged("kept", 1)),  # refused; its producer goes on
        to_outgoing(event("kept", AmlRunEvent(operation="Updated", display_name="later"), 2)),
        to_outgoing(event("lost", AmlRunEvent(operation="Created", header=RunHeader(experiment_name="e", tags={"note": NOTE})))),
        to_outgoing(event("kept", AmlRunMetricEvent(names=("validation_loss",), series=[0], steps=[7], times=[1], values=[0.5]), 3)),
        Outgoing(EVENTS, b"\xff\x00", EVIL.encode(), (("x", b"\xfe"),)),
    )
    with server:
        wait_until("four letters", lambda: server.get("/api/v1/status")["dead_letters"] == 4, 30)
        assert counts(server) == {("history", "data.tags[]"): 1, ("history", "data.header.tags[]"): 1, ("history", "ce_type"): 1} | {
            ("metrics", "data.names[]"): 1
        }
        status, answer = replay(server)
        assert (status, {item["verdict"] for item in answer["items"]}) == (0, {"fails"})
        assert "data.names[0]" in {item["letter"]["processor"]: item["reason"] for item in answer["items"]}["metrics"]
        status, answer = replay(server, "--yes")
        assert (status, sent(answer)) == (1, 0), "what would fail again is not sent"
        server.stop()

    strict.undo()
    with server:
        assert server.get("/api/v1/status")["dead_letters"] == 4, "counts survive a restart"
        status, answer = replay(server)
        verdicts = {item["letter"]["error"]: item["verdict"] for item in answer["items"]}
        assert verdicts == {"data.tags[]": "late", "data.header.tags[]": "good", "data.names[]": "good", "ce_type": "fails"}
        assert (status, sent(answer)) == (0, 0), "nothing is sent without --yes"
        assert events_of(server, "lost") == []

        status, answer = replay(server, "--yes")
        assert (status, sent(answer)) == (1, 2), "two were left, and that is said"
        wait_until("the lost run", lambda: events_of(server, "lost"), 20)
        wait_until("the metric", lambda: points(server), 20)
        assert server.get("/api/v1/runs/lost")["tags"] == {"note": NOTE}

        ids = [item["letter"]["letter_id"] for item in answer["items"] if item["sent"]]
        for again in ((), ids):
            status, answer = replay(server, *again, "--yes")
            assert sent(answer) == 0
        assert (status, {item["verdict"] for item in answer["items"]}) == (0, {"replayed"}), "a command that is repeated finds what it did"
        _, answer = replay(server, ids[0], "--yes", "--again", "--force")
        assert sent(answer) == 1
        position = answer["items"][0]["position"]
        wait_until("history to pass it", lambda: committed(server, position) > position["offset"], 20)
        assert events_of(server, "lost") == ["Created"], "once, however often it is replayed"
        assert points(server) == [[7, 0.5]]

        assert server.get("/api/v1/runs/kept")["tags"] == {}
        status, answer = replay(server, "--error", "data.tags[]", "--yes", "--late")
        assert (status, sent(answer)) == (0, 1)
        wait_until("the late tag", lambda: server.get("/api/v1/runs/kept")["tags"] == {"note": NOTE}, 20)
        assert server.get("/api/v1/runs/kept")["display_name"] == "later"


def test_a_replay_that_fails_again_is_a_new_letter_and_no_loop(server: ServerProcess) -> None:
    fill(server, Outgoing(EVENTS, b"\xff\x00", EVIL.encode(), (("x", b"\xfe"),)))
    with server:
        [first] = wait_until("the letter", lambda: letters(server), 30)
        status, answer = replay(server, first["letter_id"], "--yes", "--force")
        assert (status, sent(answer)) == (0, 1)
        [second] = wait_until("the next letter", lambda: letters(server, "--state", "open"), 20)
        assert second["letter_id"] != first["letter_id"]
        assert second["offset"] > first["offset"]
        detail = command(server, "show", first["letter_id"])[1]
        assert (detail["letter"]["state"], detail["following"]) == ("failed_again", [second["letter_id"]])
        assert [(each["topic"], each["offset"]) for each in detail["replayed"]] == [(EVENTS, second["offset"])]
        detail = command(server, "show", second["letter_id"])[1]
        assert (detail["first_id"], detail["previous_id"]) == (first["letter_id"], first["letter_id"])
        assert (detail["value"]["text"], detail["key"]["hex"]) == (EVIL, "ff00")
        assert detail["headers"] == [["x", {"size": 1, "text": None, "hex": "fe"}]]
        assert len(letters(server, "--state", "all")) == 2

        text = get_text(server, "/metrics")
        assert 'runherald_dead_letters_by_state{processor="history",reason="ce_type",state="failed_again"} 1.0' in text
        assert 'runherald_dead_letters_made_total{processor="history",reason="ce_type"} 2.0' in text
        assert "\nrunherald_dead_letters 1.0\n" in text
        shown = run_cli(server, "status", "-o", "table").stdout
        assert "1 open of 2" in shown
        for path in ("/dead-letters?state=all", f"/dead-letters/{second['letter_id']}"):
            page = get_text(server, path)
            assert EVIL not in page
            assert first["letter_id"] in page
        assert "&lt;script&gt;" in page


def test_a_processor_that_too_many_stopped_says_so_until_it_is_let_go_on(server: ServerProcess) -> None:
    junk = [Outgoing(EVENTS, b"k", b"junk %d" % number) for number in range(700)]
    fill(server, *junk, to_outgoing(created("after")))
    for _ in range(2):  # a restart alone changes nothing
        with server:
            [stop] = wait_until("the stop", lambda: server.get("/api/v1/status")["stops"], 30)
            assert (stop["processor"], stop["topic"], stop["offset"], stop["allowed"]) == ("history", EVENTS, 0, False)
            assert "500 records one after another" in stop["reason"]
            assert server.get("/api/v1/status")["dead_letters"] == 0, "none is published"
            assert "history stopped" in run_cli(server, "status", "-o", "table").stdout
            assert 'runherald_processor_stopped{processor="history"} 1.0' in get_text(server, "/metrics")
            assert "go-on history" in get_text(server, "/dead-letters")
            server.stop()
    log = (server.folder / "server.log").read_text()
    assert "processor=history event=stopped before=runherald.events/0 offset 0 reason=500 records" in log
    assert "dead-letters go-on history" in log

    with server:
        assert run_cli(server, "dead-letters", "go-on", "history", "--allow", "700").returncode == 0
        assert server.get("/api/v1/status")["stops"][0]["allowed"]
        server.stop()
    with server:
        wait_until("the run after the junk", lambda: events_of(server, "after"), 30)
        wait_until("the letters", lambda: server.get("/api/v1/status")["dead_letters"] == 700, 20)
        wait_until("history to have passed the junk", lambda: not server.get("/api/v1/status")["stops"], 20)
        assert len(letters(server, "--limit", "300")) == 300
        assert len(letters(server, "--limit", "1000")) == 700


def fill(server: ServerProcess, *records: Outgoing) -> None:
    """Append to the log of a server that does not run."""
    log = open_log("embedded", folder=server.data)
    log.append(records)
    log.close()


def event(run_id: str, data: Data, sequence: int = 0) -> Event:
    return new_event(data, workspace="default", run_id=run_id, producer=f"of-{run_id}", sequence=sequence, time=NOW)


def created(run_id: str) -> Event:
    return event(run_id, AmlRunEvent(operation="Created", header=RunHeader(experiment_name="e")))


def tagged(run_id: str, sequence: int) -> Event:
    return event(run_id, AmlRunEvent(operation="Updated", tags={"note": NOTE}), sequence)


def run_cli(server: ServerProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runherald", "--url", server.url, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def command(server: ServerProcess, *arguments: str) -> tuple[int, Any]:
    done = run_cli(server, "dead-letters", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def replay(server: ServerProcess, *arguments: str) -> tuple[int, Any]:
    return command(server, "replay", *arguments)


def letters(server: ServerProcess, *arguments: str) -> Sequence[Any]:
    return list(command(server, "list", *arguments)[1])


def sent(answer: Any) -> int:
    return sum(item["sent"] for item in answer["items"])


def counts(server: ServerProcess) -> dict[tuple[str, str], int]:
    return {(count["processor"], count["error"]): count["open"] for count in server.get("/api/v1/status")["letters"]}


def events_of(server: ServerProcess, run_id: str) -> list[str]:
    return [row[0] for row in server.query(f"SELECT OperationName FROM AmlRunEvent WHERE RunId = '{run_id}'")]


def points(server: ServerProcess) -> list[list[Any]]:
    return server.query("SELECT step, value FROM metrics WHERE name = 'validation_loss'")


def committed(server: ServerProcess, position: Any) -> int:
    parts = server.get("/api/v1/status")["partitions"]
    return next(int(part["committed"]) for part in parts if part["processor"] == "history" and part["partition"] == position["partition"])


def get_text(server: ServerProcess, path: str) -> str:
    with urlopen(Request(server.url + path, headers={"Accept": "text/html"}), timeout=30) as reply:
        return str(reply.read().decode())
