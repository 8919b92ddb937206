"""The processes of a job, as `/proc` shows them: those that have the job's folder in their environment. Elsewhere than on Linux, none."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from .job import JOB_VARIABLE

LEFTOVER_SECONDS = 2.0
"""How long what nobody watches any more has to end, between SIGTERM and SIGKILL."""
_POLL_SECONDS = 0.02
_PROC = Path("/proc")


def is_readable() -> bool:
    """Say whether processes can be seen here."""
    return _PROC.joinpath("self/stat").exists()


def pids() -> list[int]:
    """Return the numbers of all processes."""
    try:
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    except OSError:  # no Linux
        return []


def session_of_live(pid: int) -> int:
    """Return the session of a process; 0 where it is a zombie or gone."""
    try:
        fields = _PROC.joinpath(str(pid), "stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[3])
    except (OSError, IndexError, ValueError):
        return 0


def carrying(job: str) -> list[int]:
    """Return the live processes that have a job's folder in their environment, without this one."""
    cookie = os.fsencode(f"{JOB_VARIABLE}={job}")
    found = []
    for pid in pids():
        if pid == os.getpid():
            continue
        try:
            variables = _PROC.joinpath(str(pid), "environ").read_bytes()
        except OSError:  # it is gone, a zombie, or another user's
            continue
        if cookie in variables.split(b"\0") and session_of_live(pid):
            found.append(pid)
    return found


def end_all(
    job: Path, *, seconds: float = LEFTOVER_SECONDS, sleep: Callable[[float], None] = time.sleep, now: Callable[[], float] = time.monotonic
) -> None:
    """End the processes of a job: each is told to, and what still lives after some seconds is killed."""
    deadline = now() + seconds
    _send(carrying(str(job)), signal.SIGTERM)
    while left := carrying(str(job)):
        if now() >= deadline:
            _send(left, getattr(signal, "SIGKILL", signal.SIGTERM))
            return
        sleep(_POLL_SECONDS)


def _send(processes: list[int], number: int) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
