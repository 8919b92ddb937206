"""A script that waits for other runs needs no slot meanwhile: how it says so to its runner, and how it gets one again.

Files in the job's folder: each wait of the script is one below `waits`, locked while it lasts; `given-up` is there while the runner holds
no slot for the script. The script takes its file away and then looks for `given-up`; the runner makes `given-up` and then looks for
waits. So at least one of them sees the other, and no script goes on without a slot.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

from runherald.producers.jobs.job import JOB_VARIABLE
from runherald.producers.journal.owner_lock import OwnerLock, is_held

LOOK_SECONDS = 0.1
RUNNER_LOCK = "runner.lock"
"""Held by the job's runner as long as it lives."""
_GIVEN_UP = "given-up"


class Waits:
    """The runner's side."""

    def __init__(self, job: Path) -> None:
        self._folder = job / "waits"
        self._given_up = job / _GIVEN_UP

    def has_waiting(self) -> bool:
        """Whether the script waits. A wait whose process died is over."""
        if not self._folder.is_dir():
            return False
        for wait in self._folder.iterdir():
            try:
                lock = OwnerLock(wait)
            except BlockingIOError:
                return True
            wait.unlink(missing_ok=True)
            lock.release()
        return False

    def say_given_up(self) -> None:
        """Say that no slot is held."""
        self._given_up.touch()

    def say_held(self) -> None:
        """Say that a slot is held."""
        self._given_up.unlink(missing_ok=True)


@contextlib.contextmanager
def without_slot(environ: Mapping[str, str] = os.environ, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Give the slot of this script up within the block; at its end wait for one again. Nothing, where the script is no job."""
    job = Path(environ.get(JOB_VARIABLE, ""))
    if not environ.get(JOB_VARIABLE) or not job.is_dir():
        yield
        return
    wait = job / "waits" / f"{os.getpid()}-{uuid4().hex}"
    try:
        wait.parent.mkdir(exist_ok=True)
        lock = _locked(wait)
    except OSError:  # a full disk: the slot is kept meanwhile, which delays others and loses nothing
        yield
        return
    try:
        yield
    finally:
        wait.unlink(missing_ok=True)
        lock.release()
        while (job / _GIVEN_UP).exists() and is_held(job / RUNNER_LOCK):
            sleep(LOOK_SECONDS)


def _locked(path: Path) -> OwnerLock:
    """Make a file that is locked when others first see it: one that is not would pass for a dead process's."""
    hidden = path.parent.with_name(f".{path.name}")
    lock = OwnerLock(hidden)
    try:
        hidden.rename(path)
    except OSError:
        lock.release()
        hidden.unlink(missing_ok=True)
        raise
    return lock
