"""A child process that does not outlive its owner."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Runs the command as its own child and ends it when its standard input, a pipe held by the owner, closes: the owner may die of SIGKILL and
# have no chance to say anything. Works on every Unix; Linux's parent-death signal would be bound to the thread that started the child.
_WATCH = """
import os, signal, subprocess, sys, threading
asked = []
child = None
def end(number, frame):
    asked.append(number)
    if child is not None:
        child.send_signal(number)
signal.signal(signal.SIGTERM, end)
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
if asked:
    child.terminate()
def watch():
    os.read(0, 1)
    child.kill()
threading.Thread(target=watch, daemon=True).start()
sys.exit(child.wait() & 0xFF)
"""


class Child:
    """A process started by `start_child`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The id of the process that watches over the command; the command is in its session."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Send SIGTERM and do not wait."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self, timeout: float = 15.0) -> None:
        """Ask it to end, and kill it when it does not."""
        if self._process.poll() is None:
            self.ask_to_end()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._close()

    def kill(self) -> None:
        """End it and its watcher with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def start_child(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Child:
    """Start a command in a session of its own, its output appended to a file; it ends when this process does."""
    with log.open("ab") as output:
        return Child(
            subprocess.Popen(
                [sys.executable, "-c", _WATCH, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=None if environment is None else {**os.environ, **environment},
                start_new_session=True,
            )
        )
