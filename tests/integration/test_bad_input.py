"""The table of docs/bad-input.md, row by row, against real processes."""

from __future__ import annotations

import json
import math
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from runherald.errors import InvalidInput
from runherald.events import AmlRunEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, Data, Event, RunHeader, new_event
from runherald.status import Status
from runherald.wire import CONTENT_TYPE, encode_batch
from tests.server_process import ServerProcess, free_port, wait_until

TABLE = Path(__file__).parents[2] / "docs" / "bad-input.md"
# The real clock: the server has no other, and tells nobody of what happened long ago.
NOW = datetime.now(UTC).replace(microsecond=0)


def test_every_row_of_the_table_is_a_test() -> None:
    named = set(re.findall(r"`(test_\w+)`", TABLE.read_text()))
    here = {name for name in globals() if name.startswith("test_")} - {"test_every_row_of_the_table_is_a_test"}
    assert named == here


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    # Nothing listens on port 9 (discard): mail cannot be delivered, and history must not care.
    with ServerProcess(folder, free_port(), "--mail-to", "somebody@example.org", "--smtp", "smtp://127.0.0.1:9") as running:
        yield running


def test_a_malformed_event_is_named_and_the_rest_is_taken(server: ServerProcess) -> None:
    run_id = new_run_id()
    good = json.loads(encode_batch([created(run_id)]))[0]
    answer = post(server, json.dumps([{**good, "time": "yesterday"}, good, {"specversion": "1.0"}]).encode())
    assert answer["accepted"] == 1
    assert [(item["index"], item["field"]) for item in answer["rejected"]] == [(0, "time"), (2, "id")]
    assert run(server, run_id)["status"] == "NotStarted"


def test_an_unknown_status_is_refused(server: ServerProcess) -> None:
    event = json.loads(encode_batch([status(new_run_id(), Status.RUNNING)]))[0]
    event["data"]["status"] = "Exploded"
    [rejected] = post(server, json.dumps([event]).encode())["rejected"]
    assert rejected["field"] == "data.status"


def test_an_illegal_transition_is_kept_as_rejected(server: ServerProcess) -> None:
    run_id = new_run_id()
    events = [
        created(run_id),
        *(status(run_id, step, number) for number, step in enumerate((Status.RUNNING, Status.COMPLETED, Status.RUNNING), 1)),
    ]
    answer = post(server, encode_batch(events))
    assert answer["accepted"] == 4
    assert run(server, run_id, answer)["status"] == "Completed"
    transitions = get(server, f"/api/v1/runs/{run_id}/transitions")
    assert [(step["status"], step["accepted"]) for step in transitions] == [
        ("NotStarted", True),
        ("Running", True),
        ("Completed", True),
        ("Running", False),
    ]
    assert "cannot follow Completed" in transitions[-1]["reason"]


def test_a_tag_of_two_megabytes_is_refused(server: ServerProcess, sdk: Any) -> None:
    text = "x" * 2_000_000
    with sdk.start_logging() as started, pytest.raises(InvalidInput, match=r"(?s)tag.*2000000 characters"):
        started.tag("notes", text)
    event = new_event(AmlRunEvent(operation="Updated", tags={"notes": "x" * 200_000}), **identity(new_run_id()))
    [rejected] = post(server, encode_batch([event]))["rejected"]
    assert rejected["field"] == "data.tags[notes]"


def test_a_metric_name_with_control_characters_is_refused(server: ServerProcess, sdk: Any) -> None:
    with sdk.start_logging() as started, pytest.raises(InvalidInput, match=r"U\+000A"):
        started.log("loss\nX-Injected: 1", 1.0)
    data = AmlRunMetricEvent(names=("loss\x00",), series=[0], steps=[0], times=[0], values=[1.0])
    [rejected] = post(server, encode_batch([new_event(data, **identity(new_run_id()))]))["rejected"]
    assert rejected["field"] == "data.names[0]"


def test_nan_and_infinities_are_kept(sdk: Any) -> None:
    with sdk.start_logging() as started:
        for step, value in enumerate((1.0, math.nan, math.inf, -math.inf)):
            started.log("loss", value, step=step)
        values = started.get_metrics("loss")["loss"]
    assert values[0] == 1.0
    assert math.isnan(values[1])
    assert values[2:] == [math.inf, -math.inf]


def test_a_record_that_is_no_event_becomes_a_dead_letter(tmp_path: Path) -> None:
    from runherald.records import Outgoing
    from runherald.streams.log import open_log
    from runherald.topics import DEAD_LETTERS, EVENTS
    from runherald.wire import to_outgoing

    run_id = new_run_id()
    server = ServerProcess(tmp_path, free_port())
    server.data.mkdir()
    log = open_log("embedded", folder=server.data)
    log.append([Outgoing(EVENTS, b"x", b"no event"), to_outgoing(created(run_id))])
    log.close()
    with server:
        assert wait_until("the good record in history", lambda: run_or_none(server, run_id), 30)["status"] == "NotStarted"
        assert wait_until("the dead letter", lambda: get(server, "/api/v1/status")["dead_letters"], 30) == 1
        server.stop()
    log = open_log("embedded", folder=server.data)
    consumer = log.consumer("test", [DEAD_LETTERS], on_assigned=lambda _: None, on_revoked=lambda _: None)
    [letter] = wait_until("the dead letter", lambda: list(consumer.poll(10, 1.0)), 10)
    headers = dict(letter.headers)
    assert letter.value == b"no event"
    assert (headers["rh_origin_topic"], headers["rh_origin_offset"]) == (EVENTS.encode(), b"0")
    assert b"ce_" in headers["rh_reason"]
    consumer.close()
    log.close()


def test_a_rule_file_with_a_wrong_key_names_file_and_line(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - name: mine\n    statuss: [Failed]\n    receivers: [a@example.org]\n")
    for command in (("rules", "check", str(rules)), ("up", "--data", str(tmp_path / "data"), "--port", "0", "--rules", str(rules))):
        done = runherald(*command)
        assert done.returncode == 2, done.stderr
        assert f"{rules}:3" in done.stderr
        assert "statuss" in done.stderr
        assert "status" in done.stderr.replace("statuss", "")


def test_a_refusing_smtp_server_ends_the_notice_not_the_history(tmp_path: Path) -> None:
    from runherald.deploy.mail_catcher import MailCatcher

    catcher = MailCatcher(tmp_path / "caught", refuse=lambda stage, _: "550 5.1.1 no such user" if stage == "RCPT" else None)
    catcher.start()
    try:
        with ServerProcess(
            tmp_path, free_port(), "--mail-to", "nobody@example.org", "--smtp", f"smtp://127.0.0.1:{catcher.port}"
        ) as server:
            run_id = new_run_id()
            answer = post(server, encode_batch([created(run_id), status(run_id, Status.RUNNING, 1), status(run_id, Status.FAILED, 2)]))
            assert run(server, run_id, answer)["status"] == "Failed"
            [notice] = wait_until("the notice", lambda: [n for n in get(server, "/api/v1/notices") if n["state"] != "pending"], 30)
            assert notice["state"] == "refused"
            assert "550" in notice["reason"]
            assert get(server, "/healthz", parse=False) == "ok"
    finally:
        catcher.stop()


def test_a_broker_that_is_away_is_named(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    for command in (("worker",), ("up", "--data", str(tmp_path), "--port", "0")):
        done = runherald(*command, "--log", f"kafka://{address}", "--history", "http://127.0.0.1:9")
        assert done.returncode == 3, done.stderr
        assert address in done.stderr or "127.0.0.1:9" in done.stderr


def test_a_data_folder_that_is_held_is_named(server: ServerProcess) -> None:
    done = runherald("up", "--data", str(server.data), "--port", "0")
    assert done.returncode == 2, done.stderr
    assert str(server.data) in done.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        done = runherald("up", "--data", str(tmp_path), "--port", str(port))
    assert done.returncode == 2, done.stderr
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


@pytest.fixture
def sdk(server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An experiment of the SDK on the server."""
    from runherald import Experiment, Workspace

    monkeypatch.setenv("RUNHERALD_URL", server.url)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    return Experiment(Workspace(), "bad-input")


def identity(run_id: str, sequence: int = 0) -> dict[str, Any]:
    return {"workspace": "default", "run_id": run_id, "producer": f"test-{run_id}", "sequence": sequence, "time": NOW}


def created(run_id: str) -> Event:
    data: Data = AmlRunEvent(operation="Created", header=RunHeader(experiment_name="bad-input"))
    return new_event(data, **identity(run_id))


def status(run_id: str, to: Status, sequence: int = 0) -> Event:
    return new_event(AmlRunStatusChangedEvent(status=to), **identity(run_id, sequence))


def new_run_id() -> str:
    return uuid4().hex


def post(server: ServerProcess, body: bytes) -> Any:
    with urlopen(Request(f"{server.url}/api/v1/events", body, {"Content-Type": CONTENT_TYPE}), timeout=30) as reply:
        return json.load(reply)


def get(server: ServerProcess, path: str, *, positions: str = "", parse: bool = True) -> Any:
    with urlopen(Request(f"{server.url}{path}", headers={"Runherald-Position": positions} if positions else {}), timeout=30) as reply:
        return json.load(reply) if parse else reply.read().decode()


def run(server: ServerProcess, run_id: str, written: Any = None) -> Any:
    positions = ",".join(f"{p['topic']}/{p['partition']}/{p['offset']}" for p in (written or {}).get("positions", []))
    return wait_until(f"run {run_id}", lambda: run_or_none(server, run_id, positions), 30)


def run_or_none(server: ServerProcess, run_id: str, positions: str = "") -> Any:
    try:
        return get(server, f"/api/v1/runs/{run_id}", positions=positions)
    except HTTPError as error:
        error.close()
        if error.code != 404:
            raise
        return None


def runherald(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "runherald", *arguments], capture_output=True, text=True, timeout=90, check=False)
