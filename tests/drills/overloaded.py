"""Installations under more load than their ClickHouse takes: which processes there are, how full their queues, how far behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self
from urllib.request import urlopen

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.local_kafka import LocalKafka
from tests.drills.resident import children
from tests.server_process import ServerProcess, spawn, wait_until

FED: tuple[str, ...] = ("history", "metrics", "logs")
"""The processors that more comes for than they can store."""
PROCESSORS = (*FED, "leases", "alerting", "mailer")
FOR_EVER = 1_000_000_000
_FIGURE = re.compile(r'^runherald_queue_(items|items_limit|bytes|bytes_limit)\{processor="(.*)",queue="(.*)"\} (\S+)$', re.M)
_STANDING = re.compile(r'^runherald_processor_(lag|committed_offset)\{.*processor="(.*?)".*\} (\S+)$', re.M)
_MARKS = {"ClickHouse": (b"runherald.deploy.gateway", b"--config-file="), "Kafka": (b"kafka.Kafka",)}
_NOBODY = "smtp://127.0.0.1:9"
"""A mail server that is away."""


class Standing(NamedTuple):
    """How far a processor is: records that it has committed, and that wait in the log."""

    committed: int
    lag: int


class Overloaded(ABC):
    """An installation whose ClickHouse can be slowed down, and its load. A context manager that starts and ends it.

    Attributes:
        feed_url: where its load goes.
    """

    feed_url: str

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self._folder = folder
        self._ports = ports
        self._clickhouse = LocalClickHouse(folder / "clickhouse")
        self._server: ServerProcess
        self._feed: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()

    def feed(self, scale: float) -> None:
        """Begin the load."""
        program = [sys.executable, "-m", "tests.drills.overload_feed", self.feed_url, "--scale", str(scale)]
        self._feed = feed = spawn(program, {}, self._folder / "feed.log")
        self._stack.callback(end, feed)

    def slow_down(self, seconds: float) -> None:
        """Let ClickHouse take so many seconds longer for each request from now on; 0 for as before."""
        self._clickhouse.faults(delay_seconds=seconds, delayed=FOR_EVER if seconds else 0)

    def fed(self) -> bool:
        """Say whether the load still comes."""
        return self._feed is not None and self._feed.poll() is None

    def standings(self) -> dict[str, Standing]:
        """Return how far the fed processors are, by the server's figures: they are there however slow history is."""
        found = dict.fromkeys(FED, Standing(0, 0))
        for kind, processor, figure in _STANDING.findall(read(f"{self._server.url}/metrics")):
            if processor in found:
                committed, lag = found[processor]
                number = round(float(figure))
                found[processor] = Standing(committed, lag + number) if kind == "lag" else Standing(committed + number, lag)
        return found

    @abstractmethod
    def processes(self) -> Mapping[str, int]:
        """Return the processes by name: ours, and those that ours are run on."""

    @abstractmethod
    def ours(self) -> frozenset[str]:
        """Return the names of those that must not grow."""

    @abstractmethod
    def fills(self) -> dict[tuple[str, str, str], float]:
        """Return the figures of queues, by processor, queue and kind."""

    @abstractmethod
    def _start(self, stack: ExitStack) -> None:
        """Start everything; the stack takes how each part is ended again."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._clickhouse.start()
            stack.callback(self._clickhouse.stop)
            command("migrate", "--history", self._clickhouse.url)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _server_pid(self) -> int:
        return int(json.loads((self._server.data / "server.json").read_text())["pid"])

    def _start_server(self, stack: ExitStack, *arguments: str) -> None:
        history = ("--history", self._clickhouse.url, "--query-history", self._clickhouse.url)
        self._server = ServerProcess(self._folder, self._ports[0], *history, "--smtp", _NOBODY, *arguments)
        stack.callback(lambda: self._server.kill() if self._server.running else None)
        self._server.start()


class OverloadedServer(Overloaded):
    """The embedded log and runner: one process, with a ClickHouse over HTTP, since the engine in the process cannot be slowed down."""

    def processes(self) -> Mapping[str, int]:
        """Return the server's process, and ClickHouse's."""
        return {"server": self._server_pid(), **_of_others()}

    def ours(self) -> frozenset[str]:
        """Return the server."""
        return frozenset({"server"})

    def fills(self) -> dict[tuple[str, str, str], float]:
        """Return the server's figures."""
        return figures(self.feed_url)

    def _start(self, stack: ExitStack) -> None:
        self.feed_url = f"http://127.0.0.1:{self._ports[0]}"
        self._start_server(stack, "--mail-to", "operator@example.org")


class OverloadedWorker(Overloaded):
    """A Faust worker on Kafka, its processors in a process each, and a server that only looks on."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        super().__init__(folder, ports)
        self._kafka = LocalKafka(folder / "kafka")
        self._worker: subprocess.Popen[bytes]

    def processes(self) -> Mapping[str, int]:
        """Return the worker's processes, the server's, and those of Kafka and ClickHouse."""
        assert self._worker.poll() is None, f"the worker ended: {self._worker_log.read_text()[-2000:]}"
        begun = children(self._worker.pid)
        assert len(begun) == len(PROCESSORS)
        return {**dict(zip(PROCESSORS, begun, strict=True)), "server": self._server_pid(), **_of_others()}

    def ours(self) -> frozenset[str]:
        """Return the processors and the server."""
        return frozenset({*PROCESSORS, "server"})

    def fills(self) -> dict[tuple[str, str, str], float]:
        """Return the worker's figures."""
        return figures(f"http://127.0.0.1:{self._ports[1]}")

    def _start(self, stack: ExitStack) -> None:
        self._kafka.start()
        stack.callback(self._kafka.stop)
        self.feed_url = self._kafka.url
        command("topics", "create", "--log", self._kafka.url)
        self._start_server(stack, "--log", self._kafka.url)
        connections = ("--log", self._kafka.url, "--history", self._clickhouse.url, "--smtp", _NOBODY, "--mail-to", "operator@example.org")
        names = ("--processors", ",".join(PROCESSORS), "--metrics", f"127.0.0.1:{self._ports[1]}")
        self._worker = spawn([sys.executable, "-m", "runherald", "worker", *connections, *names], {}, self._worker_log)
        stack.callback(end, self._worker)
        wait_until("the processors to begin", lambda: self._worker_log.read_text().count("event=started") >= len(PROCESSORS), 60)

    @property
    def _worker_log(self) -> Path:
        return self._folder / "worker.log"


def figures(url: str) -> dict[tuple[str, str, str], float]:
    """Return the figures of queues that a process serves."""
    return {(processor, queue, kind): float(value) for kind, processor, queue, value in _FIGURE.findall(read(f"{url}/metrics"))}


def read(url: str) -> str:
    """Return the text of a page."""
    with urlopen(url, timeout=30) as reply:
        return str(reply.read().decode())


def command(*arguments: str) -> None:
    """Run one of our commands."""
    done = subprocess.run([sys.executable, "-m", "runherald", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"runherald {arguments[0]} ended with status {done.returncode}: {done.stderr[-2000:]}"


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, at once."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(30)


def _below(pid: int) -> list[int]:
    """Return the processes below one, parents before their children."""
    found: list[int] = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            found += [child, *_below(child)]
    return found


def _of_others() -> dict[str, int]:
    """Return the processes below this one that are not ours."""
    found: dict[str, int] = {}
    for pid in _below(os.getpid()):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            found |= {name: pid for name, marks in _MARKS.items() if any(mark in line for mark in marks)}
    return found
