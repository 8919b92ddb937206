"""A server as a process of its own, to be killed and started again on the same data."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

T = TypeVar("T")


RESTARTS = 20
"""How often a service manager starts what ends by itself because a part that it needs is away."""
_RESTART_SECONDS = 1.0


class ServerProcess:
    """`runherald up` on one data folder and one port; may be killed and started any number of times."""

    def __init__(self, folder: Path, port: int, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = ("--data", str(self.data), "--port", str(port), *arguments)
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, restarts: int = 0) -> int:
        """Start the server and wait for its first answer; start it again when it ends instead, up to so often, and return how often.

        Raises:
            AssertionError: it ended once more than that, or did not answer in time.
        """
        for ended in range(restarts + 1):
            self._process = spawn([sys.executable, "-m", "runherald", "up", *self._arguments], self._environment, self._log)
            wait_until("the server's first answer", lambda: self._answers() or self._ended, 60)
            if not self._ended:
                return ended
            time.sleep(_RESTART_SECONDS if ended < restarts else 0)
        raise AssertionError(f"the server ended with status {self._process and self._process.returncode}:\n{self._log.read_text()[-3000:]}")

    def kill(self) -> None:
        """Kill it as the machine would: no chance to say anything."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        return self._end(signal.SIGTERM)

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped here since."""
        return self._process is not None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def revive(self) -> bool:
        """Start it again if it has ended by itself, as a service manager would, and say whether it had."""
        if not self._ended:
            return False
        self.start(restarts=RESTARTS)
        return True

    def get(self, path: str) -> Any:
        """Return the JSON answer to a GET."""
        with urlopen(f"{self.url}{path}", timeout=30) as reply:
            return json.load(reply)

    def text(self, path: str) -> str:
        """Return the page, or whatever else, that a GET answers."""
        with urlopen(Request(f"{self.url}{path}", headers={"Accept": "text/html"}), timeout=30) as reply:
            return str(reply.read().decode())

    def query(self, sql: str) -> list[list[Any]]:
        """Return the rows of a user's query."""
        request = Request(f"{self.url}/api/v1/query", json.dumps({"query": sql}).encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as reply:
            return list(json.load(reply)["rows"])

    def mails(self) -> list[Message]:
        """Return the messages that its mail catcher took."""
        return [message_from_bytes(path.read_bytes()) for path in sorted((self.data / "mails").glob("*.eml"))]

    def _end(self, signal_number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal_number)
        status = self._process.wait(30)
        self._process = None
        return status

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    @property
    def _ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def _answers(self) -> bool:
        """Whether it answers at all: one with a processor that was stopped before is not well, and up."""
        try:
            with urlopen(f"{self.url}/healthz", timeout=5):
                return True
        except HTTPError:
            return True
        except (URLError, OSError):
            return False

    def __enter__(self) -> ServerProcess:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()


def spawn(arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to a file."""
    with output.open("ab") as file:
        return subprocess.Popen(list(arguments), env={**os.environ, **environment}, stdout=file, stderr=file, start_new_session=True)


def wait_until(what: str, probe: Callable[[], T | None], bound: float) -> T:
    """Return the first true answer of a probe; fail after so many seconds."""
    deadline = time.monotonic() + bound
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {bound:.0f} s for {what}")


def free_port() -> int:
    """Return a loopback port that nobody holds at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
