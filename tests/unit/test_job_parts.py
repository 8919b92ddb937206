"""The parts of a job: what is written down of it, its variables, its files, the kernel's counters."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald.errors import InvalidInput
from runherald.producers.jobs.console import Console
from runherald.producers.jobs.folder_watch import FolderWatch, LinesFollowed
from runherald.producers.jobs.job import JOB_FILE, Job, job_folder, read_job, write_job
from runherald.producers.jobs.memory import oom_kills
from runherald.producers.jobs.variables import variables_of
from runherald.producers.workspace import Workspace
from tests.server_process import wait_until


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    workspace = Workspace(name="team", url="http://127.0.0.1:9", token="secret")
    yield workspace
    workspace.session.close()


def job(folder: Path, **changes: object) -> Job:
    said = {"run_id": "run-1", "experiment": "digits", "workspace": "team", "command": ("python", "a b.py"), "folder": folder}
    return Job(**{**said, **changes})  # type: ignore[arg-type]  # what is said above


def test_a_job_that_is_written_down_reads_back_and_is_its_owners_alone(tmp_path: Path) -> None:
    written = job(tmp_path, environment={"KEY": "vä lue"}, max_seconds=5.5, logs=Path("l"))
    path = job_folder(tmp_path / "home", "run-1") / JOB_FILE
    write_job(path, written)
    assert read_job(path) == written
    if os.name == "posix":
        assert path.stat().st_mode & 0o077 == 0
    assert [entry.name for entry in path.parent.iterdir()] == [JOB_FILE]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"run_id": "a", "folder": 5}'])
def test_what_is_no_job_is_refused_with_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / JOB_FILE
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"job\.json: is no job .*submit the run again"):
        read_job(path)


def test_the_program_is_told_which_run_it_is_and_the_jobs_variables_do_not_change_that(workspace: Workspace, tmp_path: Path) -> None:
    environ = {"PATH": "/bin", "RUNHERALD_OFFLINE_RUN_ID": "another", "RUNHERALD_CONFIG": "own.toml", "RUNHERALD_LOG": "kafka://old:1"}
    given = {"PATH": "/usr/bin", "RUNHERALD_RUN_ID": "forged", "PYTHONUNBUFFERED": "", "LR": "3"}
    variables = variables_of(job(tmp_path, environment=given), workspace, tmp_path / "job", environ=environ)
    assert variables == {
        "PATH": "/usr/bin",
        "LR": "3",
        "PYTHONUNBUFFERED": "",
        "RUNHERALD_RUN_ID": "run-1",
        "RUNHERALD_EXPERIMENT": "digits",
        "RUNHERALD_WORKSPACE": "team",
        "RUNHERALD_URL": "http://127.0.0.1:9",
        "RUNHERALD_TOKEN": "secret",
        "RUNHERALD_HOME": str(tmp_path / "home"),
        "RUNHERALD_FILES": str(tmp_path / "home" / "files"),
        "RUNHERALD_JOB": str(tmp_path / "job"),
        "RUNHERALD_CONFIG": str(Path("own.toml").absolute()),
    }


def proc(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        ("0::/user/app\n", {"sys/fs/cgroup/user/app/memory.events": "low 0\noom 5\noom_kill 3\noom_group_kill 0\n"}, 3),
        ("0::/user/app\n", {"sys/fs/cgroup/user/memory.events": "oom_kill 2\n", "proc/vmstat": "oom_kill 9\n"}, 2),
        ("0::/\n", {"proc/vmstat": "pgfault 1\noom_kill 9\n"}, 9),
        ("4:memory:/app\n0::/\n", {"sys/fs/cgroup/memory/app/memory.oom_control": "under_oom 0\noom_kill 4\n"}, 4),
        ("4:cpu,memory:/gone\n", {"sys/fs/cgroup/memory/memory.oom_control": "oom_kill 7\n"}, 7),
        ("0::/app\n", {"sys/fs/cgroup/unified/app/memory.events": "oom_kill 1\n"}, 1),
        ("0::/app\n", {"sys/fs/cgroup/app/memory.events": "oom_kill many\n"}, 0),
        ("", {}, 0),
    ],
)
def test_the_nearest_group_with_a_counter_says_who_was_killed(tmp_path: Path, groups: str, files: dict[str, str], count: int) -> None:
    assert oom_kills(proc(tmp_path, groups, files)) == count


def test_without_linux_nobody_is_known_to_be_killed(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) == 0


def test_files_that_lay_there_before_are_not_the_programs_until_it_changes_them(tmp_path: Path) -> None:
    old, touched = tmp_path / "old.bin", tmp_path / "sub" / "touched.bin"
    touched.parent.mkdir()
    old.write_text("old")
    touched.write_text("old")
    watch = FolderWatch(tmp_path)
    assert list(watch.changed()) == []
    touched.write_text("changed")
    (tmp_path / "new.bin").write_text("new")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert [name for name, _ in watch.changed()] == ["new.bin", "sub/touched.bin"]
    assert list(FolderWatch(tmp_path / "nothing").changed()) == []


def test_lines_that_come_to_files_are_followed(tmp_path: Path) -> None:
    told: dict[str, list[str]] = {}
    before = tmp_path / "before.log"
    before.write_text("of an older run\n")
    followed = LinesFollowed(FolderWatch(tmp_path), lambda name, lines: told.setdefault(name, []).extend(lines), monotonic=lambda: 0.0)
    train, binary = tmp_path / "train.log", tmp_path / "events.bin"
    train.write_text("one\ntw")
    binary.write_bytes(b"a\0b\n")
    with before.open("a") as file:
        file.write("of this run\n")
    followed.look()
    assert told == {"train.log": ["one"], "before.log": ["of this run"]}
    with train.open("a") as file:
        file.write("o\r\nthree\nfou")
    followed.look()
    followed.look()
    assert told["train.log"] == ["one", "two", "three"]
    followed.close()
    assert told["train.log"] == ["one", "two", "three", "fou"]
    assert "events.bin" not in told


def test_a_file_that_is_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    told: list[str] = []
    followed = LinesFollowed(FolderWatch(tmp_path), lambda _, lines: told.extend(lines), monotonic=lambda: 0.0)
    file = tmp_path / "rotated.log"
    file.write_text("first\nsecond\n")
    followed.look()
    file.write_text("anew\n")
    followed.look()
    assert told == ["first", "second", "anew"]


def test_a_folder_that_may_be_listed_and_no_more_is_told_at_the_end_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.is_file

    def is_file(path: Path) -> bool:  # as of a folder without the right to search it; the tests' user may have every right
        if path.parent.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    watch = FolderWatch(tmp_path)
    (tmp_path / "closed").mkdir()
    for name in ("closed/a.log", "open.log"):
        (tmp_path / name).write_text("line\n")
    monkeypatch.setattr(Path, "is_file", is_file)
    told: list[str] = []
    unseen: list[OSError] = []
    LinesFollowed(watch, lambda name, _: told.append(name), monotonic=lambda: 0.0).look()
    assert told == ["open.log"]
    assert [name for name, _ in watch.changed(unseen.append)] == ["open.log"]
    assert [error.filename for error in unseen] == [str(tmp_path / "closed" / "a.log")]
    assert list(FolderWatch(tmp_path).changed()) == []


def test_a_file_whose_name_history_does_not_take_is_told_once_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def tell(name: str, lines: list[str]) -> None:
        if not name.isprintable():
            raise InvalidInput("a control character")
        told.extend(lines)

    followed = LinesFollowed(FolderWatch(tmp_path), tell, monotonic=lambda: 0.0)
    odd, plain = tmp_path / "a\nb.log", tmp_path / "plain.log"
    odd.write_text("1\n")
    plain.write_text("2\n")
    followed.look()
    with odd.open("a") as file:
        file.write("3\n4")
    followed.close()
    assert told == ["2"]
    assert caplog.text.count("file_not_followed") == 1


def captured(content: bytes, tmp_path: Path, *, max_file_bytes: int = 1 << 20) -> tuple[list[str], bytes, bytes, str]:
    """Return history's lines, the file, what was passed on, and the tail, of a program that prints so."""
    reading, writing = os.pipe()
    shown, show = os.pipe()
    told: list[str] = []
    file = tmp_path / "logs" / "std_log.txt"
    console = Console(reading, file, tell=told.extend, passed_to=show, max_file_bytes=max_file_bytes)
    console.start()
    os.write(writing, content)
    os.close(writing)
    assert console.wait(10)
    console.close()
    os.close(show)
    with open(shown, "rb") as stream:
        passed = stream.read()
    return told, file.read_bytes(), passed, console.tail()


def test_a_console_is_passed_on_kept_and_told(tmp_path: Path) -> None:
    content = b"one\n\r10%\r20%\rdone\nodd \xff\nprompt> "
    told, file, passed, tail = captured(content, tmp_path)
    assert told == ["one", "done", "odd �", "prompt> "]
    assert file == passed == content
    assert tail == "one\ndone\nodd �\nprompt> \n"


def test_of_a_file_that_grows_too_long_beginning_and_end_are_kept(tmp_path: Path) -> None:
    content = b"".join(b"line %05d\n" % number for number in range(5_000))
    told, file, passed, _ = captured(content, tmp_path, max_file_bytes=1_000)
    assert len(told) == 5_000
    assert passed == content
    assert file[:1_000] == content[:1_000]
    assert b"\n[runherald: 54000 bytes are left out here; the last lines:]\n" in file
    assert file.endswith(b"line 04999\n")


def test_what_waits_for_history_is_bounded_however_fast_a_program_prints(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    sizes: list[int] = []
    console = Console(reading, tmp_path / "std_log.txt", tell=lambda lines: sizes.append(len(lines)))
    console.start()
    for _ in range(40):
        os.write(writing, b"\n" * (1 << 16))
    os.close(writing)
    assert console.wait(20)
    console.close()
    assert max(sizes) <= (1 << 18) + (1 << 16)
    assert sum(sizes) > 1 << 20  # of 2.6 million empty lines as many as a burst holds


def test_a_reader_who_takes_their_time_loses_nothing(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    reading, writing = os.pipe()
    shown, show = os.pipe()
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("pipes cannot be made small here")
    fcntl.fcntl(show, fcntl.F_SETPIPE_SZ, 4096)
    told: list[str] = []
    console = Console(reading, tmp_path / "std_log.txt", tell=told.extend, passed_to=show)
    console.start()
    os.write(writing, b"x" * 20_000 + b"\n")
    os.close(writing)
    wait_until("the reader to be waited for", lambda: console._passing or None, 10)
    assert not console.wait(60, hurried=lambda: True)
    passed: list[bytes] = []

    def read() -> None:
        while sum(map(len, passed)) < 20_001:
            passed.append(os.read(shown, 4096))

    later = threading.Timer(0.4, read)
    later.start()
    assert console.wait(0.2)  # of which none passes while the reader is away
    later.join()
    console.close()
    assert b"".join(passed) == b"x" * 20_000 + b"\n"
    assert [line[:3] for line in told] == ["xxx"]
    for descriptor in (shown, show):
        os.close(descriptor)


def test_where_history_takes_nothing_more_the_program_is_read_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(lines: list[str]) -> None:
        raise InvalidInput("run run-1: has ended")

    reading, writing = os.pipe()
    console = Console(reading, tmp_path / "std_log.txt", tell=refuse)
    console.start()
    for _ in range(12):
        os.write(writing, b"x" * ((1 << 16) - 1) + b"\n")
    os.close(writing)
    assert console.wait(10)
    console.close()
    assert (tmp_path / "std_log.txt").stat().st_size == 12 << 16
    assert [record.getMessage().split()[0] for record in caplog.records] == ["console_not_told"]


def test_a_reader_that_is_gone_and_a_folder_that_cannot_be_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    reading, writing = os.pipe()
    shown, show = os.pipe()
    os.close(shown)
    told: list[str] = []
    console = Console(reading, tmp_path / "file" / "std_log.txt", tell=told.extend, passed_to=show)
    console.start()
    for _ in range(3):
        os.write(writing, b"line\n")
    os.close(writing)
    assert console.wait(10)
    console.close()
    os.close(show)
    assert told == ["line"] * 3
    assert sorted(record.getMessage().split()[0] for record in caplog.records) == ["console_not_kept", "console_not_passed_on"]
