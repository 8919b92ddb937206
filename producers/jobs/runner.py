"""The process of a submitted run: waits for a slot, unpacks the code, runs the program, and goes.

    python -m runherald.producers.jobs.runner FOLDER

It is the job's runner as long as it holds the lock in the job's folder. What it has to say to an operator goes to `runner.log` there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
import zipfile
from pathlib import Path

import msgspec

from runherald.clock import system_clock
from runherald.errors import RunheraldError
from runherald.events import ErrorEnvelope, RootError
from runherald.producers.jobs.slots import SlotQueue
from runherald.producers.jobs.waits import RUNNER_LOCK, Waits
from runherald.producers.journal.owner_lock import OwnerLock
from runherald.producers.origin import host_evidence
from runherald.status import Cause, Status

from ..experiment import Experiment
from ..run.ending import END_SECONDS
from ..run.run import Run
from ..workspace import Workspace
from .execute import execute
from .job import CANCEL_FILE, JOB_FILE, Job, read_job
from .signals import taken
from .submission import CODE_FILE, LOG_FILE, QUEUE_FILE, Queued

LOOK_SECONDS = 0.2
"""How often it looks for a slot."""
FAILED = 1

_log = logging.getLogger("runherald.jobs")


def main(folder: Path) -> int:
    """Run the job of a folder; return its program's exit status.

    Raises:
        BlockingIOError: the job has a runner.
        RunheraldError, OSError: what is said about the job cannot be read.
    """
    lock = OwnerLock(folder / RUNNER_LOCK)
    job = read_job(folder / JOB_FILE)
    queued = msgspec.json.decode(folder.joinpath(QUEUE_FILE).read_bytes(), type=Queued)
    workspace = Workspace(name=job.workspace)
    run = Run(Experiment(workspace, job.experiment), job.run_id, _lease_seconds=workspace.lease_seconds)
    queue = SlotQueue(Path(queued.target), queued.slots, job.run_id, Path(queued.place), Waits(folder))
    try:
        status = _Runner(folder, job, run, queue).run()
    finally:
        queue.leave()
        lock.release()
    _tidy(folder)
    return status


class _Runner:
    def __init__(self, folder: Path, job: Job, run: Run, queue: SlotQueue) -> None:
        self._folder = folder
        self._job = job
        self._run = run
        self._queue = queue
        self._writer = run._writer  # the runner speaks as the run itself
        self._told = threading.Event()
        self._signal = ""

    def run(self) -> int:
        # Said again, so that heartbeats go out from here on.
        lease = self._run.experiment.workspace.lease_seconds
        self._writer.report(Status.QUEUED, evidence=host_evidence(lease))
        with taken(self._end):
            if (reason := self._wait_for_slot()) is not None:
                self._writer.end(Status.CANCELED, timeout_seconds=END_SECONDS, cause=Cause.USER, message=reason)
                return FAILED
        self._writer.report(Status.PREPARING, evidence=host_evidence(lease))
        try:
            _unpack(self._folder / CODE_FILE, self._job.folder)
        except (OSError, zipfile.BadZipFile) as error:
            message = f"The copy of the code could not be unpacked: {error}."
            envelope = ErrorEnvelope(error=RootError(code="ServiceError", message=message), time=system_clock())
            self._writer.end(Status.FAILED, timeout_seconds=END_SECONDS, cause=Cause.UNKNOWN, message=message, error=envelope)
            return FAILED
        return execute(self._job, self._run, slot=self._queue)

    def _wait_for_slot(self) -> str | None:
        """Wait for a slot; return why there is no need of one any more, if so."""
        while not self._queue.try_take():
            if self._told.wait(LOOK_SECONDS):
                return f"The runner was told to end by {self._signal} while the run was queued."
            if self._writer.cancel_requested:
                return "Canceled on request while it was queued."
            with contextlib.suppress(OSError):
                return self._folder.joinpath(CANCEL_FILE).read_text(encoding="utf-8").strip() or "Canceled on request."
        return None

    def _end(self, number: int) -> None:
        self._signal = signal.Signals(number).name
        self._told.set()


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive) as code:
        code.extractall(folder)
    archive.unlink()


def _tidy(folder: Path) -> None:
    """Remove the job's folder, but for what its runner had to say."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name == LOG_FILE and path.stat().st_size:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        sys.exit(main(Path(sys.argv[1])))
    except (RunheraldError, OSError, msgspec.DecodeError) as error:
        _log.error("runner_ended folder=%s pid=%d reason=%r", sys.argv[1], os.getpid(), str(error))
        sys.exit(FAILED)
