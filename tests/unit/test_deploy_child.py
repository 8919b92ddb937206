"""A child process ends when it is told to, and does not outlive its owner."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runherald.deploy.child import Child, start_child

WRITE_ID = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()) + chr(10)); time.sleep(120)"
OWNER = """
import sys, time
from pathlib import Path
from runherald.deploy.child import start_child
child = start_child([sys.executable, "-c", sys.argv[1], sys.argv[2]], Path(sys.argv[3]))
time.sleep(120)
"""


def eventually(what: str, holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # Where there is /proc: one that nobody has waited for yet has ended all the same.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def id_in(file: Path) -> int:
    eventually("the child says its id", lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


def start(tmp_path: Path) -> tuple[Child, int]:
    child = start_child([sys.executable, "-c", WRITE_ID, str(tmp_path / "id")], tmp_path / "log")
    return child, id_in(tmp_path / "id")


def test_it_ends_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, WRITE_ID, str(tmp_path / "id"), str(tmp_path / "log")])
    pid = id_in(tmp_path / "id")
    owner.kill()
    owner.wait()
    eventually("the child is gone", lambda: not runs(pid))


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_it_ends_when_it_is_told_to(tmp_path: Path, how: str) -> None:
    child, pid = start(tmp_path)
    assert child.poll() is None
    getattr(child, how)()
    assert child.poll() is not None
    eventually("the child is gone", lambda: not runs(pid))


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WRITE_ID
    child = start_child([sys.executable, "-c", deaf, str(tmp_path / "id")], tmp_path / "log")
    pid = id_in(tmp_path / "id")
    child.stop(timeout=0.2)
    eventually("the child is gone", lambda: not runs(pid))


def test_what_it_prints_is_kept(tmp_path: Path) -> None:
    child = start_child([sys.executable, "-c", "print('said'); raise SystemExit(3)"], tmp_path / "log", {"ANY": "1"})
    eventually("the child ends", lambda: child.poll() is not None)
    assert child.poll() == 3
    assert (tmp_path / "log").read_text() == "said\n"
    child.stop()
