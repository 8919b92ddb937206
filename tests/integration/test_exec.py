"""`runherald exec` with real programs: how they end, what they print, what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from runherald.api import Intake
from runherald.events import AmlRunLogEvent, AmlRunMetricEvent, AmlRunOutputEvent, AmlRunStatusChangedEvent
from runherald.producers.jobs.job import CANCEL_FILE, job_folder
from runherald.producers.journal.folder import journal_folders
from runherald.state import RunState, fold
from runherald.status import Cause, Status
from tests.contract.test_transport import Answer, LoopbackServer
from tests.server_process import wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process groups are POSIX")

RUN = "run-1"
CONSOLE = "user_logs/std_log.txt"


class CancellingServer(LoopbackServer):
    """Says with each answer that the run is to be cancelled, once it was told so."""

    def __init__(self) -> None:
        self.cancelled = False
        super().__init__()

    def accept(self, body: bytes) -> Answer:
        status, content = super().accept(body)
        intake = msgspec.json.decode(content, type=Intake)
        if self.cancelled:
            content = msgspec.json.encode(msgspec.structs.replace(intake, cancel_requested=[RUN]))
        return status, content


@pytest.fixture
def server() -> Iterator[CancellingServer]:
    loopback = CancellingServer()
    yield loopback
    loopback.close()


class Place(NamedTuple):
    """Where a test runs programs: the home of the journals, and a working folder; `started` are ended with the test."""

    home: Path
    work: Path
    url: str
    started: list[subprocess.Popen[bytes]]

    def start(self, command: Sequence[str], *options: str, first: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("RUNHERALD_")}
        line = [sys.executable, "-m", "runherald", "exec", "-e", "digits", "--run-id", RUN, *options, "--", *command]
        process = subprocess.Popen(
            line,
            cwd=self.work,
            env={**settings, "RUNHERALD_HOME": str(self.home), "RUNHERALD_URL": self.url, "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=first,
        )
        self.started.append(process)
        return process

    def run(self, command: Sequence[str], *options: str, bound: float = 60) -> tuple[int, bytes, str]:
        process = self.start(command, *options)
        out, errors = process.communicate(timeout=bound)
        return process.returncode, out, errors.decode()

    def files(self) -> dict[str, bytes]:
        folder = self.home / "files" / RUN
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path, server: CancellingServer) -> Iterator[Place]:
    work = tmp_path / "work"
    work.mkdir()
    place = Place(tmp_path / "home", work, server.url, [])
    yield place
    for process in place.started:
        if process.poll() is None:  # a test that failed leaves nothing behind
            process.terminate()
            process.communicate(timeout=60)


def history(server: LoopbackServer) -> tuple[RunState, list[Status]]:
    """Return what history makes of what was sent, and the statuses that it refuses."""
    known: RunState | None = None
    refused = []
    for event in server.events:
        folded = fold(known, event)
        known = folded.state
        if folded.rejection is not None:
            assert isinstance(event.data, AmlRunStatusChangedEvent)
            refused.append(event.data.status)
    assert known is not None
    return known, refused


def state(server: LoopbackServer) -> RunState:
    known, refused = history(server)
    assert not refused
    return known


def way(known: RunState) -> list[str]:
    return [str(step.status) for step in known.path]


def lines(server: LoopbackServer, file: str = CONSOLE) -> list[str]:
    """Return the lines of a file as history has them: one that is sent again is the same line."""
    found: dict[tuple[str, int], str] = {}
    for event in server.events:
        if isinstance(event.data, AmlRunLogEvent) and event.data.file == file:
            found.update({(event.producer, line.number): line.text for line in event.data.lines})
    return list(found.values())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def test_a_program_that_ends_well_completes_its_run(server: CancellingServer, place: Place) -> None:
    (place.work / "outputs").mkdir()
    (place.work / "outputs" / "of-an-older-run.bin").write_bytes(b"old")
    script = (
        r"printf 'one\n\r10%%\r20%%\n'; echo two >&2; echo model > outputs/model.bin; mkdir logs; echo line > logs/train.log; printf end"
    )
    status, out, errors = place.run(["sh", "-c", script], "--name", "first", "--tag", "kind=test", "--tag", "flag")
    assert (status, out) == (0, b"one\n\r10%\r20%\ntwo\nend")  # as the program printed it
    known = state(server)
    assert way(known) == ["NotStarted", "Preparing", "Running", "Finalizing", "Completed"]
    assert known.evidence is not None
    assert (known.evidence.exit_code, known.cause) == (0, None)
    assert (known.header.display_name, known.header.tags, known.header.script_name) == ("first", {"kind": "test", "flag": None}, "sh")
    assert " -- sh -c " in known.header.properties["runherald.command"]
    assert lines(server) == ["one", "20%", "two", "end"]
    assert lines(server, "logs/train.log") == ["line"]
    assert place.files() == {CONSOLE: out, "outputs/model.bin": b"model\n", "logs/train.log": b"line\n"}
    assert {event.data.path for event in server.events if isinstance(event.data, AmlRunOutputEvent)} == set(place.files())
    assert f"{server.url}/runs/{RUN}" in errors
    assert not list(place.home.glob("jobs/*"))


def test_a_question_without_a_line_end_is_seen_and_can_be_answered(server: CancellingServer, place: Place) -> None:
    process = place.start(["sh", "-c", "printf 'name? '; read name; echo hello $name"])
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 100) == b"name? "
    out, _ = process.communicate(b"Ada\n", timeout=60)
    assert (process.returncode, out) == (0, b"hello Ada\n")
    assert lines(server) == ["name? hello Ada"]


def test_files_of_odd_names_cost_the_program_nothing(server: CancellingServer, place: Place) -> None:
    script = """
import os, time
os.mkdir("logs")
for name in (b"\\xff.log", b"a\\nb.log", b"plain.log"):
    open(b"logs/" + name, "wb").write(b"line\\n")
time.sleep(1.5)  # they are looked at once a second
print("ended by itself")
"""
    status, out, errors = place.run([sys.executable, "-c", script])
    assert (status, out) == (0, b"ended by itself\n")
    assert way(state(server))[-1] == "Completed"
    assert place.files() == {CONSOLE: out, "logs/plain.log": b"line\n"}
    assert errors.count("file_not_followed") == errors.count("file_not_kept") == 2


def test_a_program_that_raises_fails_its_run_with_the_exception(server: CancellingServer, place: Place) -> None:
    status, _, _ = place.run([sys.executable, "-c", "print('epoch 1')\nraise ValueError('boom')"])
    known = state(server)
    assert (status, known.status, known.cause) == (1, Status.FAILED, Cause.CODE_ERROR)
    assert known.message == "User program failed with ValueError: boom"
    assert known.error is not None
    assert known.error.error.debug_info is not None
    assert known.error.error.debug_info.stack_trace.startswith("Traceback (most recent call last):\n")
    assert way(known) == ["NotStarted", "Preparing", "Running", "Failed"]


def test_what_the_script_says_of_its_failure_stays(server: CancellingServer, place: Place) -> None:
    script = (
        "from runherald import Run\nrun = Run.get_context()\nrun.log('loss', 0.5)\nrun.complete()\nwith run:\n    raise KeyError('here')"
    )
    status, _, _ = place.run([sys.executable, "-c", script])
    known = state(server)
    assert (status, known.message) == (1, "User program failed with KeyError: 'here'")
    assert [event.data.names for event in server.events if isinstance(event.data, AmlRunMetricEvent)] == [("loss",)]
    assert way(known).count("Failed") == 1


@pytest.mark.parametrize(
    ("command", "exit_status", "message"),
    [
        (["sh", "-c", "kill -SEGV $$"], 139, "User program was ended by SIGSEGV (segmentation fault)"),
        (["sh", "-c", "echo why; exit 3"], 3, "User program ended with exit status 3; its last line: why"),
        (["no-such-program"], 127, "User program could not be started: no-such-program: command not found"),
        (["./plain.txt"], 126, "User program could not be started: ./plain.txt: cannot be executed (permission denied)"),
    ],
)
def test_how_else_a_program_ends(server: CancellingServer, place: Place, command: list[str], exit_status: int, message: str) -> None:
    (place.work / "plain.txt").write_text("text")
    status, _, errors = place.run(command)
    known = state(server)
    assert (status, known.status, known.cause) == (exit_status, Status.FAILED, Cause.CODE_ERROR)
    assert known.message.startswith(message)
    assert ("runherald: program_not_started" in errors) == (exit_status in (126, 127)), "who called it is told, too"
    assert ("Running" in way(known)) == (exit_status not in (126, 127))


LOGS_AND_DIES = """
import os
from runherald import Run
run = Run.get_context()
for number in range(1000):
    run.log("loss", number)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_program_had_no_time_to_send_comes_before_its_end(server: CancellingServer, place: Place) -> None:
    status, _, _ = place.run([sys.executable, "-c", LOGS_AND_DIES])
    known = state(server)
    assert (status, known.status, known.cause) == (137, Status.FAILED, Cause.UNKNOWN)
    metrics = [at for at, event in enumerate(server.events) if isinstance(event.data, AmlRunMetricEvent)]
    ends = [at for at, event in enumerate(server.events) if getattr(event.data, "status", "") == Status.FAILED]
    points = [point for event in server.events if isinstance(event.data, AmlRunMetricEvent) for point in event.data.values]
    assert sorted(set(points)) == list(range(1_000))  # what was sent and not yet acknowledged comes twice, and is one point in history
    assert max(metrics) < ends[0]
    assert not list(journal_folders(place.home))


SAVES = """
import pathlib, time
from runherald import Run
run = Run.get_context()
print("ready" if not run.cancel_requested else "early")
deadline = time.monotonic() + 60
while not run.cancel_requested and time.monotonic() < deadline:
    time.sleep(0.02)
pathlib.Path("outputs").mkdir()
pathlib.Path("outputs/saved").write_text("all of it")
"""


def test_a_script_that_looks_whether_it_is_cancelled_has_time_to_save(server: CancellingServer, place: Place) -> None:
    process = place.start([sys.executable, "-c", SAVES])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    known = state(server)
    assert (process.returncode, known.cause) == (0, Cause.USER)
    assert way(known)[2:] == ["Running", "CancelRequested", "Canceled"]
    assert known.message == "The runner was told to end by SIGTERM."
    assert place.files()["outputs/saved"] == b"all of it"


SAVES_LONG = """
import signal, sys, time

def save(*_):
    time.sleep(2.8)
    print("saved")
    sys.exit()

signal.signal(signal.SIGTERM, save)
print("ready")
while True:
    time.sleep(1)
"""


def test_a_shell_that_ends_at_once_leaves_its_program_the_grace(server: CancellingServer, place: Place) -> None:
    process = place.start(["sh", "-c", '"$0" -c "$1"; true', sys.executable, SAVES_LONG])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + signal.SIGTERM, b"saved\n")
    assert state(server).status == Status.CANCELED


def test_what_the_script_says_counts_though_it_ends_well(server: CancellingServer, place: Place) -> None:
    (place.work / "mine").write_text("mine")
    script = "from runherald import Run\nrun = Run.get_context()\nrun.upload_file('outputs/mine', 'mine')\nrun.fail('not good enough')\n"
    script += "import os\nos.makedirs('outputs')\nopen('outputs/mine', 'w').write('other')"
    status, _, errors = place.run([sys.executable, "-c", script])
    known, refused = history(server)
    assert (status, known.status, known.message) == (0, Status.FAILED, "not good enough")
    assert refused == [Status.FINALIZING, Status.COMPLETED]  # kept in history, and changing nothing
    assert place.files()["outputs/mine"] == b"mine"
    assert "file_not_kept" not in errors


def test_who_does_not_end_within_its_grace_is_killed(server: CancellingServer, place: Place) -> None:
    script = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    print('on')\n    time.sleep(0.05)"
    process = place.start([sys.executable, "-c", script], "--grace", "0.3")
    wait_until("its first line", lambda: lines(server) or None, 30)
    server.cancelled = True  # the next answer says it
    process.communicate(timeout=60)
    known = state(server)
    assert (process.returncode, known.status, known.cause) == (137, Status.CANCELED, Cause.USER)
    assert known.message == "Canceled on request. It did not end within 0.3 s of that, and was killed."
    assert known.evidence is not None
    assert known.evidence.signal == signal.SIGKILL


def test_a_file_in_the_jobs_folder_cancels_with_its_reason(server: CancellingServer, place: Place) -> None:
    process = place.start(["sh", "-c", "echo ready; exec sleep 60"])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    (job_folder(place.home, RUN) / CANCEL_FILE).write_text("Superseded.")
    process.communicate(timeout=60)
    known = state(server)
    assert (process.returncode, known.status, known.message) == (128 + signal.SIGTERM, Status.CANCELED, "Superseded.")


def test_a_program_that_runs_too_long_is_cancelled_for_that(server: CancellingServer, place: Place) -> None:
    status, _, told = place.run(["sleep", "60"], "--max-seconds", "0.3")
    known = state(server)
    assert (status, known.status, known.cause) == (128 + signal.SIGTERM, Status.CANCELED, Cause.TIME_LIMIT)
    assert known.message == "Ran longer than its limit of 0.3 s."
    assert known.message in told


def test_ctrl_c_reaches_the_program_once(server: CancellingServer, place: Place) -> None:
    script = """
import signal, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
print("ready")
while not heard:
    time.sleep(0.02)
time.sleep(0.3)
print(f"heard {len(heard)}")
raise SystemExit(7)
"""
    process = place.start([sys.executable, "-c", script])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of its foreground
    out, _ = process.communicate(timeout=60)
    known = state(server)
    assert (process.returncode, out, known.status) == (7, b"heard 1\n", Status.CANCELED)
    assert known.message == "Interrupted by the user (Ctrl-C)."


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="elsewhere than on Linux only the program's own session is found")
def test_nothing_that_the_program_started_outlives_it(server: CancellingServer, place: Place) -> None:
    script = """
import os, subprocess
near = subprocess.Popen(["sleep", "300"])
deaf = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 300; done"])
far = subprocess.Popen(["sleep", "300"], start_new_session=True)
own = subprocess.Popen(["sleep", "300"], start_new_session=True, env={"PATH": os.environ["PATH"]})
print(near.pid, deaf.pid, far.pid, own.pid)
"""
    status, out, _ = place.run([sys.executable, "-c", script])
    near, deaf, far, own = map(int, out.split())
    try:
        assert (status, state(server).status) == (0, Status.COMPLETED)
        assert [is_alive(pid) for pid in (near, deaf, far)] == [False, False, False]
        assert is_alive(own)  # what takes the job out of its environment goes its own way
    finally:
        os.kill(own, signal.SIGKILL)


def test_a_run_that_is_being_run_is_not_run_a_second_time(server: CancellingServer, place: Place) -> None:
    first = place.start(["sh", "-c", "echo begun; read line; echo ended"])
    assert first.stdout is not None
    assert first.stdout.readline() == b"begun\n"
    status, out, errors = place.run(["echo", "second"])
    assert (status, out) == (2, b"")
    assert f"--run-id: {RUN}: is being run on this machine" in errors
    out, _ = first.communicate(b"go\n", timeout=60)
    assert (first.returncode, out) == (0, b"ended\n")
    assert way(state(server))[-1] == "Completed"
    assert not list(place.home.glob("jobs/*"))


def test_a_killed_runner_leaves_its_run_to_the_lease(server: CancellingServer, place: Place) -> None:
    process = place.start(["sh", "-c", "echo $$; exec sleep 300"])
    assert process.stdout is not None
    program = int(process.stdout.readline())
    try:
        wait_until(
            "its lease and that it runs", lambda: bool(server.events) and state(server).lease_seconds and len(way(state(server))) == 3, 30
        )
        process.kill()
        process.communicate(timeout=30)
        os.kill(program, 0)  # it lives: nobody watches it
        known = state(server)
        assert (known.status, known.lease_seconds) == (Status.RUNNING, 60.0)
    finally:
        os.kill(program, signal.SIGKILL)


def test_many_lines_at_once_all_come(server: CancellingServer, place: Place) -> None:
    script = "import sys\nsys.stdout.write(''.join(f'line {n}\\n' for n in range(200_000)))"
    status, out, _ = place.run([sys.executable, "-c", script], bound=120)
    assert status == 0
    assert out.count(b"\n") == 200_000
    assert lines(server) == [f"line {number}" for number in range(200_000)]
    assert place.files()[CONSOLE] == out


@pytest.mark.parametrize(
    ("url", "said"), [("http://127.0.0.1:9", "not sent yet (http://127.0.0.1:9 does not answer"), ("offline", "of digits")]
)
def test_without_a_server_the_program_runs_and_its_run_is_kept(place: Place, url: str, said: str) -> None:
    away = place._replace(url=url)
    began = time.monotonic()
    status, out, errors = away.run(["sh", "-c", "echo here; exit 4"])
    assert (status, out) == (4, b"here\n")
    assert errors.count(f"kept in {place.home}") == 1
    assert errors.count(said) == 1
    assert len(errors.splitlines()) <= 2
    assert time.monotonic() - began < 30
    assert [folder.head().run_id for folder in journal_folders(place.home)] == [RUN]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tag", "=x", "--", "true"], "--tag: has no key"),
        (["--max-seconds", "soon", "--", "true"], "--max-seconds: is no time"),
        (["--folder", "nowhere", "--", "true"], "there is no such folder"),
        ([], "say what is to be run"),
    ],
)
def test_a_wrong_option_runs_nothing(place: Place, options: list[str], message: str) -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RUNHERALD_")}
    answer = subprocess.run(
        [sys.executable, "-m", "runherald", "exec", "-e", "digits", *options],
        env={**settings, "RUNHERALD_HOME": str(place.home), "RUNHERALD_URL": place.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 2
    assert message in answer.stderr
    assert not place.home.exists()


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A cgroup of 200 MB below our own; none where this user may make none."""
    listed = Path("/proc/self/cgroup")
    own = dict(line.split(":", 2)[1:] for line in listed.read_text().splitlines()) if listed.exists() else {}
    if "memory" in own:
        group, limit = Path(f"/sys/fs/cgroup/memory{own['memory']}", f"runherald-{os.getpid()}"), "memory.limit_in_bytes"
    else:
        group, limit = Path(f"/sys/fs/cgroup{own.get('', '')}", f"runherald-{os.getpid()}"), "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(200 << 20))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no cgroup with a limit of memory can be made here: {error}")
    yield group
    wait_until("the group to be empty", lambda: not (group / "cgroup.procs").read_text() or None, 10)
    group.rmdir()


def test_a_program_that_the_kernel_kills_for_memory_says_so(server: CancellingServer, place: Place, small_group: Path) -> None:
    eats = "import sys\nprint('eating')\nkept = [bytearray(b'x' * (1 << 24)) for _ in range(64)]"
    process = place.start([sys.executable, "-c", eats], first=lambda: (small_group / "cgroup.procs").write_text(str(os.getpid())))
    process.communicate(timeout=90)
    known = state(server)
    assert (process.returncode, known.status, known.cause) == (137, Status.FAILED, Cause.OUT_OF_MEMORY)
    assert known.message == "User program was killed by the kernel: it ran out of memory (SIGKILL)"
