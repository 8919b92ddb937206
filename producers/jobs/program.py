"""The program of a job as processes of the system: started, told to end, and ended with all that it left.

On POSIX it leads a session of its own, so that a signal reaches all of it, and Ctrl-C reaches it once: through the runner. What leaves
that session (`setsid`, daemons) is known by the job's folder in its environment, as far as `/proc` shows it. Windows has neither: there
the program alone is ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .job import JOB_VARIABLE
from .processes import LEFTOVER_SECONDS, carrying, is_readable, pids, session_of_live

SETTLE_SECONDS = 0.5
"""How long what a program left behind has to end by itself."""
_POLL_SECONDS = 0.02
NOT_FOUND = 127
NOT_EXECUTABLE = 126


class NotStarted(Exception):
    """A program that could not be started.

    Attributes:
        exit_status: what a shell says then: 127 where there is no such program, 126 where it cannot be executed.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class Program:
    """A program that runs. `ended` is called in a thread when it has.

    Attributes:
        pid: of the program, and of the group that it leads.
        output: the reading end of the pipe that both its outputs go to.

    Raises:
        NotStarted: it does not.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        reads_input: bool,
        ended: Callable[[], None],
    ) -> None:
        self._job = environment.get(JOB_VARIABLE, "")
        self.output, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=None if reads_input else subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=os.name == "posix",
            )
        except (OSError, ValueError) as error:
            os.close(self.output)
            raise _not_started(command, folder, error) from None
        finally:
            os.close(writing)
        self.pid = self._process.pid
        threading.Thread(target=self._watch, args=(ended,), name="runherald-program", daemon=True).start()

    def send(self, signal_number: int) -> None:
        """Send a signal to the program and all that it started, as far as they are found."""
        if os.name != "posix":
            with contextlib.suppress(OSError):
                self._process.terminate()
            return
        self._signal_group(signal_number)
        for pid in self._strayed():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal_number)

    def finish(self, settle_seconds: float = SETTLE_SECONDS, *, hurried: Callable[[], bool] = lambda: False) -> int:
        """End what the program left behind, once it has ended, and return its exit code; below 0 it is a signal's.

        `settle_seconds`: how long that has to end by itself; no longer where `hurried`.
        """
        if os.name == "posix":
            self._wait_for_leftovers(settle_seconds, hurried)
            for signal_number in (signal.SIGTERM, signal.SIGKILL):
                if self._left():
                    self.send(signal_number)
                    self._wait_for_leftovers(LEFTOVER_SECONDS, lambda: False)
        return self._process.wait()

    def _watch(self, ended: Callable[[], None]) -> None:
        if sys.platform == "linux":  # not reaped yet: its number stays its own while its group is ended
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        ended()

    def _wait_for_leftovers(self, seconds: float, hurried: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while self._left() and time.monotonic() < deadline and not hurried():
            time.sleep(_POLL_SECONDS)

    def _left(self) -> bool:
        """Whether anything that the program started lives."""
        if is_readable():
            return bool(self._group() or self._strayed())
        return self._process.poll() is not None and self._signal_group(0)

    def _signal_group(self, signal_number: int) -> bool:
        if sys.platform == "win32":
            return False
        try:
            os.killpg(self.pid, signal_number)
        except (ProcessLookupError, PermissionError):  # PermissionError: none but zombies, on macOS
            return False
        return True

    def _group(self) -> list[int]:
        """Return the live processes of the program's session, without the program when it is a zombie."""
        return [pid for pid in pids() if session_of_live(pid) == self.pid]

    def _strayed(self) -> list[int]:
        """Return the live processes elsewhere that have the job's folder in their environment."""
        return [pid for pid in carrying(self._job) if session_of_live(pid) != self.pid]


def _not_started(command: Sequence[str], folder: Path, error: OSError | ValueError) -> NotStarted:
    name = command[0] if command else ""
    if not isinstance(error, OSError):
        return NotStarted(
            f"the command cannot be started ({error}); take NUL characters out of its arguments and variables", NOT_EXECUTABLE
        )
    if not folder.is_dir():
        return NotStarted(f"{folder}: there is no such working folder", NOT_EXECUTABLE)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        where = "there is no such file" if "/" in name else "no folder of PATH has such a program"
        return NotStarted(f"{name}: command not found: {where}, or it names an interpreter that is not there", NOT_FOUND)
    if error.errno == errno.ENOEXEC:
        return NotStarted(f"{name}: cannot be executed: it is no program, and has no first line such as #!/bin/sh", NOT_EXECUTABLE)
    if error.errno == errno.EACCES:
        return NotStarted(f"{name}: cannot be executed (permission denied); chmod +x it, or name its interpreter first", NOT_EXECUTABLE)
    return NotStarted(f"{name}: cannot be started: {os.strerror(error.errno or 0)}", NOT_EXECUTABLE)
