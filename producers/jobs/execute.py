"""Runs the program of a job to its end, and says of its run how it goes.

The runner and the program are two producers of one run. The runner holds the lease, so that a program in any language counts as alive; it
says when the program runs and how it ended. A runner that is killed says nothing: the lease does.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import tempfile
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from runherald.clock import system_clock
from runherald.errors import RunheraldError
from runherald.events import Evidence
from runherald.producers.origin import host_name
from runherald.status import Cause, Status

from ..run.ending import END_SECONDS
from .console import Console
from .folder_watch import FolderWatch, LinesFollowed
from .job import CANCEL_FILE, CONSOLE_FILE, Job, Slot, job_folder
from .left_behind import send_left_behind
from .memory import oom_kills
from .program import SETTLE_SECONDS, NotStarted, Program
from .signals import taken
from .stopping import KILL, Stopping
from .variables import variables_of
from .verdict import Ending, Stopped, Verdict, cancelled_before, refused, signal_name, verdict

if TYPE_CHECKING:
    from ..run.run import Run

TICK_SECONDS = 0.25
LOOK_SECONDS = 1.0
"""How often files of lines are looked at."""
_DRAIN_SECONDS = 2.0
"""How long the console is read after the last process that is known of has ended: what holds it open then is not known of."""
_ENDED = 0
_OUTPUT = 1
_ON_REQUEST = "Canceled on request."

_log = logging.getLogger("runherald.jobs")


def execute(job: Job, run: Run, *, slot: Slot | None = None) -> int:
    """Run a job's program to its end; return the exit status to end with: the program's own, 128 and the signal's number where one ended
    it, 127 or 126 where it could not be started.

    The run is one that has not begun to run: whoever prepared it has said so. It says Running when the program starts, Finalizing when that
    ended well, and in the end Completed, Failed or Canceled, with cause, message, error and evidence. In the main thread, SIGINT, SIGTERM
    and SIGHUP cancel the job meanwhile, as do a request to the server and a file `cancel` in the job's folder.
    """
    return _Execution(job, run, slot).run()


class _Execution:
    def __init__(self, job: Job, run: Run, slot: Slot | None) -> None:
        self._job = job
        self._run = run
        self._writer = run._writer  # the runner speaks as the run itself
        self._slot = slot
        self._inbox: SimpleQueue[int] = SimpleQueue()
        self._host = host_name()
        self._folder = _made(job_folder(run.experiment.workspace.session.destination.home, job.run_id))
        self._outputs = FolderWatch(job.folder / job.outputs)
        self._logs = FolderWatch(job.folder / job.logs)
        self._followed = LinesFollowed(self._logs, self._tell_of_file)
        self._interrupted = False

    def run(self) -> int:
        with taken(self._inbox.put):
            end = self._run_program()
            send_left_behind(self._run.experiment.workspace.session, self._job.run_id)
            if end.status is Status.COMPLETED:
                self._writer.report(Status.FINALIZING, evidence=end.evidence)
            self._keep_files()
            self._say_end(end)
        self._tidy()
        return end.exit_status

    def _run_program(self) -> Verdict:
        if (reason := self._request()) is not None:
            return cancelled_before(Stopped(cause=Cause.USER, reason=reason), host=self._host)
        before = oom_kills()
        try:
            program = Program(
                self._job.command,
                folder=self._job.folder,
                environment=variables_of(self._job, self._run.experiment.workspace, self._folder),
                reads_input=self._job.is_terminal,
                ended=lambda: self._inbox.put(_ENDED),
            )
        except NotStarted as error:
            _log.warning("program_not_started run=%s: %s", self._job.run_id, error)
            return refused(str(error), error.exit_status, host=self._host, now=system_clock())
        console = Console(
            program.output,
            self._folder / CONSOLE_FILE,
            tell=lambda lines: self._writer.log_lines(CONSOLE_FILE, lines, "stdout"),
            passed_to=_OUTPUT if self._job.is_terminal else None,
        )
        stopping = Stopping(time.monotonic(), max_seconds=self._job.max_seconds, grace_seconds=self._job.grace_seconds)
        try:
            console.start()
            self._writer.report(Status.RUNNING, evidence=self._evidence(program))
            self._supervise(program, console, stopping)
        except BaseException:  # whatever it is, the program is not left without anybody who watches it
            program.send(KILL)
            raise
        # A shell that started the program ends at once, and leaves the program its grace.
        settle_seconds = max(SETTLE_SECONDS, stopping.grace_left(time.monotonic()))
        exit_code = program.finish(settle_seconds, hurried=self._is_hurried)
        if not console.wait(_DRAIN_SECONDS, hurried=self._is_hurried):
            _log.warning("console_still_open run=%s: what a process that went its own way prints is not kept", self._job.run_id)
        console.close()
        self._followed.close()
        return verdict(
            Ending(
                exit_code=exit_code,
                console=console.tail(),
                stopped=stopping.asked,
                oom_kills=oom_kills() - before,
                host=self._host,
                pid=program.pid,
            ),
            now=system_clock(),
        )

    def _supervise(self, program: Program, console: Console, stopping: Stopping) -> None:
        """Wait for the program's end; see to it that it comes when it is asked for."""
        looked = time.monotonic()
        while (message := self._next_message()) != _ENDED:
            now = time.monotonic()
            before = stopping.asked
            number = self._asked_for(message, stopping, now) or stopping.due(now)
            if number is not None:
                if before is None:
                    self._announce(stopping)
                program.send(number)
            console.flush()
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._followed.look()
            if self._slot is not None:
                self._slot.tend()

    def _is_hurried(self) -> bool:
        """Whether another signal came after the program had ended: then what is left is not waited for."""
        return not self._inbox.empty()

    def _next_message(self) -> int | None:
        try:
            return self._inbox.get(timeout=TICK_SECONDS)
        except Empty:
            return None

    def _asked_for(self, message: int | None, stopping: Stopping, now: float) -> int | None:
        """Return the signal that what was asked leads to, if anything was asked."""
        if message == signal.SIGINT:
            return stopping.interrupt(now)
        if message is not None:
            return stopping.cancel(f"The runner was told to end by {signal_name(message)}.", now)
        if stopping.asked is not None:
            return None
        reason = self._request()
        return None if reason is None else stopping.cancel(reason, now)

    def _request(self) -> str | None:
        """Return why the job is to be cancelled; None while it is not."""
        if self._writer.cancel_requested:
            return _ON_REQUEST
        try:
            reason = self._folder.joinpath(CANCEL_FILE).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        return reason.strip() or _ON_REQUEST

    def _announce(self, stopping: Stopping) -> None:
        """Say that the program is about to be told to end: to who waits, to history, and to a program that looks at `cancel_requested`."""
        assert stopping.asked is not None
        # On a terminal somebody waits for the end. A runner's log is kept when there is something in it: this is nothing to look into.
        level = logging.WARNING if self._job.is_terminal else logging.INFO
        _log.log(level, "program_told_to_end run=%s: %s", self._job.run_id, stopping.asked.reason)
        if not self._writer.cancel_requested:  # else it is known, with who asked for it
            self._writer.report(Status.CANCEL_REQUESTED, cause=stopping.asked.cause, message=stopping.asked.reason)
        with contextlib.suppress(OSError):  # then only those are told that handle the signal
            self._folder.joinpath(CANCEL_FILE).touch()

    def _tell_of_file(self, name: str, lines: list[str]) -> None:
        self._writer.log_lines(f"{self._job.logs.as_posix()}/{name}", lines, "file")

    def _evidence(self, program: Program) -> Evidence:
        return Evidence(host=self._host, pid=program.pid, lease_seconds=self._run._lease_seconds or None)

    def _keep_files(self) -> None:
        console = self._folder / CONSOLE_FILE
        self._keep(CONSOLE_FILE, console)
        for watch, folder in ((self._outputs, self._job.outputs), (self._logs, self._job.logs)):
            for name, path in watch.changed(self._say_unseen):
                self._keep(f"{folder.as_posix()}/{name}", path)

    def _keep(self, name: str, path: Path) -> None:
        """Keep a file of the run. Whatever hinders it is said, and changes nothing of how the run ended."""
        if self._is_hurried():
            if not self._interrupted:
                self._interrupted = True
                _log.warning("files_left run=%s from=%r: keeping them was interrupted", self._job.run_id, name)
            return
        try:
            if path.is_file():
                self._run.upload_file(name, path)
        except (RunheraldError, OSError) as error:
            if not self._is_kept(name):
                _log.warning("file_not_kept run=%s file=%r reason=%r", self._job.run_id, name, str(error))

    def _say_unseen(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            _log.warning("file_not_kept run=%s file=%r reason=%r", self._job.run_id, error.filename, error.strerror or str(error))

    def _is_kept(self, name: str) -> bool:
        """Whether the program kept the file itself."""
        with contextlib.suppress(RunheraldError, OSError):
            content = self._run.experiment.workspace.files.open(self._job.run_id, name)
            if content is not None:
                content.close()
                return True
        return False

    def _say_end(self, end: Verdict) -> None:
        self._writer.end(
            end.status,
            timeout_seconds=END_SECONDS,
            cause=end.cause,
            message=end.message,
            error=end.error,
            evidence=end.evidence,
        )

    def _tidy(self) -> None:
        """Remove what the job's folder held for the program. The folder itself goes if nothing else is in it."""
        shutil.rmtree(self._folder / Path(CONSOLE_FILE).parts[0], ignore_errors=True)
        self._folder.joinpath(CANCEL_FILE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def _made(folder: Path) -> Path:
    """Return the job's folder, or one elsewhere where it cannot be made: the program is run all the same."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        instead = Path(tempfile.mkdtemp(prefix="runherald-job-"))
        _log.warning("job_folder_not_made path=%s reason=%r instead=%s", folder, str(error), instead)
        return instead
    return folder
