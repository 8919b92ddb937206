"""The SDK in processes of its own: killed, forked, ended at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald.events import AmlRunMetricEvent, AmlRunStatusChangedEvent, Event
from runherald.producers.journal.folder import journal_folders
from runherald.producers.journal.reader import JournalReader
from runherald.producers.shipping.batching import to_events
from runherald.producers.shipping.http_transport import HttpTransport
from runherald.producers.shipping.sync import sync
from runherald.status import Status
from tests.contract.test_transport import LoopbackServer
from tests.server_process import wait_until

BEGIN = """
import os, sys
from runherald import Workspace, Experiment, Run
run = Experiment(Workspace(), "digits").start_logging(run_id="run-1")
"""


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    loopback = LoopbackServer()
    yield loopback
    loopback.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def start(script: str, home: Path, url: str) -> subprocess.Popen[str]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RUNHERALD_")}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + script],
        env={**settings, "RUNHERALD_HOME": str(home), "RUNHERALD_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], bound: float = 40) -> tuple[int, str]:
    """Return exit status and stderr."""
    _, errors = process.communicate(timeout=bound)
    return process.returncode, errors


def in_journals(home: Path) -> list[Event]:
    return [event for folder in journal_folders(home) for event in to_events(JournalReader(folder).read(1_000_000), folder.head()).events]


def values(events: list[Event], name: str = "loss") -> list[float]:
    return [
        value
        for event in events
        if isinstance(event.data, AmlRunMetricEvent)
        for series, value in zip(event.data.series, event.data.values, strict=True)
        if event.data.names[series] == name
    ]


def last_status(events: list[Event]) -> Status:
    return [event.data.status for event in events if isinstance(event.data, AmlRunStatusChangedEvent)][-1]


def test_a_process_killed_after_n_calls_has_left_all_n(home: Path, free_port: int) -> None:
    process = start("for i in range(1000): run.log('loss', i)\nos.kill(os.getpid(), 9)", home, f"http://127.0.0.1:{free_port}")
    assert finish(process)[0] == -signal.SIGKILL
    assert values(in_journals(home)) == [float(index) for index in range(1_000)]


def test_a_process_killed_at_any_moment_has_left_what_it_said_it_logged(home: Path, server: LoopbackServer) -> None:
    script = "i = 0\nwhile True:\n    run.log('loss', i)\n    print(i, flush=True)\n    i += 1"
    process = start(script, home, server.url)
    assert process.stdout is not None
    for _ in range(2_000):
        process.stdout.readline()
    process.kill()
    said = max([1_999, *(int(line) for line in process.stdout.read().splitlines() if line)])
    finish(process)
    transport = HttpTransport(server.url)
    report = sync(home, transport)
    transport.close()
    assert report.complete
    logged = set(values(server.events))
    assert logged >= {float(index) for index in range(said)}
    assert max(logged) <= said + 1
    assert list(journal_folders(home)) == []


def test_what_a_killed_process_left_is_sent_by_the_next_one(home: Path, server: LoopbackServer, free_port: int) -> None:
    finish(start("run.log('loss', 7)\nos.kill(os.getpid(), 9)", home, server.url))
    script = "import time\nfor _ in range(100):\n    time.sleep(0.05)\n    run.log('x', 1)\nrun.complete()"
    with start(script.replace("run-1", "run-2"), home, server.url) as process:
        wait_until("the leftover", lambda: 7.0 in values(server.events), 20)
        process.kill()


def test_a_short_script_delivers_before_it_ends(home: Path, server: LoopbackServer) -> None:
    status, errors = finish(start("run.log('loss', 1)\nrun.complete()", home, server.url))
    assert (status, errors) == (0, "")
    assert values(server.events) == [1.0]
    assert last_status(server.events) is Status.COMPLETED
    assert list(home.glob("journals/*")) == []


def test_a_script_that_forgets_to_complete_delivers_and_stays_running(home: Path, server: LoopbackServer) -> None:
    status, errors = finish(start("run.log('loss', 1)", home, server.url))
    assert (status, errors) == (0, "")
    assert values(server.events) == [1.0]
    assert last_status(server.events) is Status.RUNNING


def test_without_a_server_a_script_ends_soon_and_keeps_its_journal(home: Path, free_port: int) -> None:
    begin = time.monotonic()
    status, errors = finish(start("run.log('loss', 1)\nrun.complete()", home, f"http://127.0.0.1:{free_port}"))
    assert time.monotonic() - begin < 9
    assert status == 0
    assert [line.split()[0] for line in errors.splitlines()] == ["shipper_waits", "records_left"]
    assert "does not answer" in errors
    assert "Traceback" not in errors
    assert last_status(in_journals(home)) is Status.COMPLETED


def test_a_server_in_trouble_gets_everything_once_it_is_well(home: Path, server: LoopbackServer) -> None:
    server.script = [(503, b"{}")] * 2 + ["drop"] * 2
    script = "import time\nrun.log('loss', 1)\ntime.sleep(0.1)\nrun.log('loss', 2)\nrun.flush(30)\nrun.complete()"
    assert finish(start(script, home, server.url))[0] == 0
    assert values(server.events) == [1.0, 2.0]


def test_an_exception_that_ends_the_script_is_reported(home: Path, server: LoopbackServer) -> None:
    status, errors = finish(start("with run:\n    [][1]", home, server.url))
    assert status == 1
    assert "IndexError" in errors
    failed = next(event.data for event in server.events if isinstance(event.data, AmlRunStatusChangedEvent) and event.data.error)
    assert failed.error is not None
    assert failed.error.error.debug_info is not None
    assert "IndexError: list index out of range" in failed.error.error.debug_info.stack_trace


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_a_handler_of_signals_may_log_while_the_loop_logs(home: Path, server: LoopbackServer) -> None:
    script = """
import signal, time
alarms = 0
def alarm(*_):
    global alarms
    alarms += 1
    run.log("alarm", alarms)
signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + 0.4
while time.monotonic() < end:
    run.log("loss", 1)
signal.setitimer(signal.ITIMER_REAL, 0)
run.tag("alarms", alarms)
run.complete()
"""
    status, errors = finish(start(script, home, server.url))
    assert (status, errors) == (0, "")
    alarms = values(server.events, "alarm")
    assert sorted(alarms) == [float(number) for number in range(1, len(alarms) + 1)]
    assert len(alarms) > 20
    assert last_status(server.events) is Status.COMPLETED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_counts_by_itself_and_beats_no_heart(home: Path, server: LoopbackServer) -> None:
    script = """
run.log("loss", 1)
run.flush(30)
pid = os.fork()
if pid == 0:
    run.log("child", 2)
    run.flush(30)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
run.log("loss", 3)
run.complete()
"""
    status, errors = finish(start(script, home, server.url))
    assert (status, errors) == (0, "")
    assert values(server.events) == [1.0, 3.0]
    assert values(server.events, "child") == [2.0]
    child = {event.producer for event in server.events if values([event], "child")}
    parent = {event.producer for event in server.events if values([event])}
    assert len(child) == len(parent) == 1
    assert child != parent
    assert not [event for event in server.events if event.producer in child and event.type == "AmlRunHeartbeatEvent"]
    assert len({event.id for event in server.events}) == len(server.events)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("leave", ["sys.exit(0)", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_a_forked_child_that_leaves_the_block_does_not_end_its_parents_run(home: Path, server: LoopbackServer, leave: str) -> None:
    script = f"""
with run:
    pid = os.fork()
    if pid == 0:
        run.log("child", 2)
        {leave}
    os.waitpid(pid, 0)
    run.log("loss", 3)
"""
    assert finish(start(script, home, server.url))[0] == 0
    ends = [event.data.status for event in server.events if isinstance(event.data, AmlRunStatusChangedEvent)]
    assert ends == [Status.RUNNING, Status.COMPLETED]
    assert values(server.events) == [3.0]
    assert values(server.events, "child") == [2.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_may_log_though_a_thread_was_opening_a_journal_when_it_was_forked(home: Path, server: LoopbackServer) -> None:
    script = """
import threading
held, done = threading.Event(), threading.Event()
def hold():
    with run._session.opening:
        held.set()
        done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
pid = os.fork()
if pid == 0:
    run.log("child", 2)
    run.flush(30)
    os._exit(0)
os.waitpid(pid, 0)
done.set()
run.complete()
"""
    assert finish(start(script, home, server.url))[0] == 0
    assert values(server.events, "child") == [2.0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_deliver_what_they_log(home: Path, server: LoopbackServer, tmp_path: Path, method: str) -> None:
    (tmp_path / "worker.py").write_text(
        "from runherald import Workspace, Experiment, Run\n"
        "def work(number):\n"
        "    Run(Experiment(Workspace(), 'digits'), 'run-1').log('worker', number)\n"
    )
    script = f"""
import multiprocessing
sys.path.insert(0, {str(tmp_path)!r})
import worker
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=worker.work, args=(number,)) for number in range(2)]
    for one in workers: one.start()
    for one in workers: one.join()
    run.complete()
"""
    status, errors = finish(start(script, home, server.url))
    assert (status, errors) == (0, "")
    assert sorted(values(server.events, "worker")) == [0.0, 1.0]


def test_the_import_brings_nothing_that_sends_and_no_server() -> None:
    banned = ["runherald.producers.session", "runherald.settings", "socket", "getpass", "random"]
    banned += ["kafka", "http.client", "ssl", "asyncio", "numpy", "faust", "chdb", "starlette", "yaml", "clickhouse_connect"]
    script = f"import sys\nfrom runherald import Workspace, Experiment, Run\nprint([name for name in {banned} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
