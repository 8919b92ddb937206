"""Offline runs in processes of their own: nothing tries the network, the journal keeps all, and `runherald sync` sends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

from runherald.events import AmlRunEvent, AmlRunMetricEvent, AmlRunOutputEvent, AmlRunStatusChangedEvent
from runherald.producers.journal.folder import journal_folders
from runherald.producers.shipping.http_transport import HttpTransport
from runherald.producers.shipping.sync import SyncReport, sync
from runherald.status import Cause, Status
from tests.contract.test_transport import LoopbackServer
from tests.integration.test_sdk_process import BEGIN, finish, home, in_journals, last_status, server, start, values
from tests.server_process import wait_until

__all__ = ["home", "server"]

EVERY_CALL = """
def loop(i):
    run.log("loss", i)
    run.log("given", i, step=10 * i)
    run.log("text", f"t{i}")
    run.log_list("list", [i, i + 0.5])
    run.log_row("row", a=i, b="b")
    run.log_table("table", {"x": [i, i], "y": [1, 2]})
    run.log_confusion_matrix("matrix", {"schema_type": "confusion_matrix", "schema_version": "v1",
        "data": {"class_labels": ["a", "b"], "matrix": [[i, 0], [0, i]]}})
    run.tag("tag", i)
    run.add_properties({f"p{i}": i})
    run.child_run(f"child {i}").log("in child", i)
    run.upload_file(f"outputs/{i}.txt", "/etc/hostname")
    run.description = f"d{i}"
"""


def environment(home: Path, url: str) -> dict[str, str]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RUNHERALD_")}
    return {**settings, "RUNHERALD_HOME": str(home), "RUNHERALD_URL": url}


def runherald(home: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runherald", *arguments]
    return subprocess.run(command, env=environment(home, url), capture_output=True, text=True, timeout=60, check=False)


def arrived(server: LoopbackServer, value: float) -> bool:
    return value in values(server.events)


def send(home: Path, url: str) -> SyncReport:
    transport = HttpTransport(url)
    with closing(transport):
        return sync(home, transport, destination=url)


def test_offline_nothing_tries_the_network_and_all_is_kept(home: Path, tmp_path: Path) -> None:
    no_network = "import socket\ndef never(*_, **__): raise SystemExit('the network was tried')\nsocket.socket.connect = never\n"
    script = "run.log('loss', 1)\nrun.flush()\nrun.complete()\nprint(run.health.ok, run._session.client)"
    status, errors = finish(start(no_network + script, home, "offline"))
    assert status == 1
    assert errors.strip().splitlines()[-1].startswith("runherald.errors.Unreachable: RUNHERALD_URL is 'offline'")
    assert "the network was tried" not in errors
    assert values(in_journals(home)) == [1.0]
    assert last_status(in_journals(home)) is Status.COMPLETED
    assert [folder.head().destination for folder in journal_folders(home)] == ["offline"]


def test_an_offline_script_ends_as_quietly_and_quickly_as_one_with_a_server(home: Path) -> None:
    assert finish(start("with run:\n    run.log('loss', 1)", home, "offline"), 20) == (0, "")
    assert last_status(in_journals(home)) is Status.COMPLETED


def test_a_process_killed_after_any_kind_of_call_has_left_what_it_said(home: Path) -> None:
    process = start(EVERY_CALL + "for i in range(5): loop(i)\nos.kill(os.getpid(), 9)", home, "offline")
    assert finish(process)[0] == -signal.SIGKILL
    events = in_journals(home)
    mine = [event for event in events if event.run_id == "run-1"]
    metrics = [event.data for event in mine if isinstance(event.data, AmlRunMetricEvent)]
    assert values(mine) == values(mine, "given") == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert values(mine, "list") == [value + half for value in range(5) for half in (0.0, 0.5)]
    assert [text.text for data in metrics for text in data.texts] == [f"t{number}" for number in range(5)]
    assert [one.kind for data in metrics for one in data.objects] == ["row", "table", "confusion_matrix"] * 5
    updates = [event.data for event in mine if isinstance(event.data, AmlRunEvent)]
    assert [one.tags["tag"] for one in updates if one.tags] == [str(number) for number in range(5)]
    assert {f"p{number}" for number in range(5)} <= {key for one in updates for key in one.properties}
    assert [one.description for one in updates if one.description] == [f"d{number}" for number in range(5)]
    assert sum(isinstance(event.data, AmlRunOutputEvent) for event in mine) == 5
    assert values([event for event in events if event.run_id != "run-1"], "in child") == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_what_was_kept_offline_is_sent_to_the_server_that_sync_names_and_nowhere_else(home: Path, server: LoopbackServer) -> None:
    finish(start("run.log('loss', 7)\nos.kill(os.getpid(), 9)", home, "offline"))
    assert "name one with --url" in runherald(home, "offline", "sync").stderr
    done = runherald(home, "offline", "sync", "--url", server.url, "-o", "json")
    assert (done.returncode, [one["state"] for one in json.loads(done.stdout)]) == (0, ["sent"])
    assert values(server.events) == [7.0]
    assert list(journal_folders(home)) == []
    assert send(home, server.url).journals == []


def test_the_process_that_is_found_dead_is_said_to_be_dead_when_its_journal_is_sent(home: Path, server: LoopbackServer) -> None:
    process = start("run.log('loss', 7)\nos._exit(3)", home, "offline")
    pid = process.pid
    finish(process)
    assert send(home, server.url).complete
    claims = [event for event in server.events if isinstance(event.data, AmlRunStatusChangedEvent) and event.data.claim]
    assert len(claims) == 1
    claim = claims[0].data
    assert isinstance(claim, AmlRunStatusChangedEvent)
    assert (claim.status, claim.cause) == (Status.FAILED, Cause.LOST_CONTACT)
    assert f"Process {pid} on" in claim.message
    assert claim.evidence is not None
    assert claim.evidence.pid == pid
    assert server.events[-1] is claims[0], "all that the run itself said comes before"


def test_of_a_run_that_ended_or_is_reported_on_by_another_process_nobody_says_that_it_is_dead(home: Path, server: LoopbackServer) -> None:
    finish(start("run.complete()\nrun2 = run.experiment.start_logging(run_id='run-2')\nos._exit(3)", home, "offline"))
    worker = "Run(run.experiment, 'run-2').log('loss', 1)\nprint('logs', flush=True)\nimport time\ntime.sleep(60)"
    with start(worker, home, "offline") as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert [one.state for one in send(home, server.url).journals] == ["sent", "sent", "live", "live"]
        process.kill()
    assert {event.run_id for event in server.events} == {"run-1", "run-2"}
    claimed = {event.run_id for event in server.events if isinstance(event.data, AmlRunStatusChangedEvent) and event.data.claim}
    assert claimed == set()


def test_a_live_offline_run_is_followed_by_another_process_and_beats_its_heart(home: Path, server: LoopbackServer) -> None:
    script = "import sys\nfor number, _ in enumerate(sys.stdin): run.log('loss', number)\nrun.complete()"
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + script],
        env={**environment(home, "offline"), "RUNHERALD_LEASE_SECONDS": "0.3"},
        stdin=subprocess.PIPE,
        text=True,
    )
    command = [sys.executable, "-m", "runherald", "sync", "--follow", "-o", "jsonl"]
    follower = subprocess.Popen(command, env=environment(home, server.url), stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    try:
        for number in range(3):
            process.stdin.write("\n")
            process.stdin.flush()
            wait_until("the point", partial(arrived, server, float(number)), 20)
        wait_until("heartbeats", lambda: sum(event.type == "AmlRunHeartbeatEvent" for event in server.events) >= 3, 20)
        assert [one.state for one in send(home, server.url).journals] == ["held"], "one sends at a time"
        process.stdin.close()
        assert process.wait(20) == 0
        wait_until("the end", lambda: last_status(server.events) is Status.COMPLETED, 20)
        wait_until("the journal to be gone", lambda: not list(home.glob("journals/*")), 20)
    finally:
        follower.send_signal(signal.SIGINT)
        output, _ = follower.communicate(timeout=20)
        process.kill()
        process.wait()
    assert follower.returncode == 130
    assert {json.loads(line)["state"] for line in output.splitlines()} <= {"live", "sent"}
    assert values(server.events) == [0.0, 1.0, 2.0]
    assert len({event.id for event in server.events}) == len(server.events), "nothing is sent twice"


def test_an_offline_run_of_which_a_part_is_on_a_server_goes_to_no_other(home: Path, server: LoopbackServer, free_port: int) -> None:
    with start("run.log('loss', 7)\nprint('logged', flush=True)\nimport time\ntime.sleep(60)", home, "offline") as process:
        assert process.stdout is not None
        process.stdout.readline()
        away = f"http://127.0.0.1:{free_port}"
        assert [one.state for one in send(home, away).journals] == ["waiting"]
        assert [one.state for one in send(home, server.url).journals] == ["live"], "nothing had come to the one that was away"
        elsewhere = send(home, away).journals
        assert [(one.state, one.reason) for one in elsewhere] == [
            ("elsewhere", f"is meant for {server.url}; `runherald sync --every` sends it here")
        ]
        process.kill()
    assert values(server.events) == [7.0]


def test_offline_threads_and_a_forked_child_keep_all_that_each_logs(home: Path) -> None:
    script = """
import threading
def work(name):
    for number in range(200): run.log(name, number)
threads = [threading.Thread(target=work, args=(f"thread {number % 2}",)) for number in range(4)]
for one in threads: one.start()
pid = os.fork()
if pid == 0:
    run.log("child", 1)
    os._exit(0)
os.waitpid(pid, 0)
for one in threads: one.join()
run.complete()
"""
    assert finish(start(script, home, "offline"), 20) == (0, "")
    events = in_journals(home)
    for name in ("thread 0", "thread 1"):
        assert sorted(values(events, name)) == sorted([float(number) for number in range(200)] * 2)
        steps = [
            step
            for event in events
            if isinstance(event.data, AmlRunMetricEvent)
            for series, step in zip(event.data.series, event.data.steps, strict=True)
            if event.data.names[series] == name
        ]
        assert sorted(steps) == list(range(400)), "no step twice"
    assert values(events, "child") == [1.0]
    assert len(list(journal_folders(home))) == 2, "the child's journal is its own"
