"""An installation whose parts are replaced one after the other while producers log: nothing is killed, and nothing may come twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.error import URLError

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.local_kafka import LocalKafka
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.streams.log import open_log
from tests.drills.books import Books, check_books, check_fold
from tests.drills.post_office import PostOffice
from tests.drills.producers import Producers
from tests.drills.rest import wait_for_rest
from tests.server_process import ServerProcess, spawn, wait_until

PROCESSORS = 6
"""Of a worker: how many say that they have begun."""
STOP_SECONDS = 75.0
LOOK_SECONDS = 0.25


class Rolling:
    """Kafka, ClickHouse over HTTP, a server, some workers, a mail server and producers, half of which write to Kafka themselves.

    Attributes:
        oldest: the highest age of an unprocessed event that the status showed, in seconds, by processor.
        steps: what was done, and how many seconds it took.
    """

    def __init__(self, folder: Path, ports: tuple[int, int], *, workers: int, producers: int, rate: float) -> None:
        self.oldest: dict[str, float] = {}
        self.steps: list[tuple[str, float]] = []
        self._folder = folder
        self._kafka = LocalKafka(folder / "kafka")
        self._clickhouse = LocalClickHouse(folder / "clickhouse")
        self._post_office = PostOffice(folder / "mails", ports[1])
        self._port = ports[0]
        self._count = workers
        self._load = (producers, rate)
        self._begun = 0
        self._workers: list[tuple[subprocess.Popen[bytes], Path]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start everything and wait until it works; at the end, end what is left."""
        with ExitStack() as stack:
            for part in (self._kafka, self._clickhouse):
                stack.callback(part.stop)
            with ThreadPoolExecutor(2) as pool:
                for started in [pool.submit(part.start) for part in (self._kafka, self._clickhouse)]:
                    started.result()
                connections = ("--log", self._kafka.url, "--history", self._clickhouse.url)
                for made in [
                    pool.submit(_command, "topics", "create", "--log", self._kafka.url),
                    pool.submit(_command, "migrate", "--history", self._clickhouse.url),
                ]:
                    made.result()
            self._post_office.open()
            stack.callback(self._post_office.close)
            self._worker_command = (*connections, "--mail-to", "operator@example.org", "--smtp", self._post_office.url)
            self._server = ServerProcess(self._folder, self._port, *connections, "--query-history", self._clickhouse.url)
            stack.callback(self._kill)
            self._workers = [self._begin_worker() for _ in range(self._count)]
            self._server.start()
            for worker in self._workers:
                self._wait_for(worker)
            over_server = {"RUNHERALD_URL": self._server.url, "RUNHERALD_HOME": str(self._folder / "home")}
            count, rate = self._load
            environments = (over_server, {**over_server, "RUNHERALD_LOG": self._kafka.url})
            self._producers = Producers(self._folder, environments, count=count, rate=rate, seed=1)
            stack.callback(self._producers.close)
            self._producers.start()
            wait_until("mails about the first runs", lambda: any(self._post_office.folder.glob("*.eml")), 60)
            yield

    def replace_worker(self, index: int, *, new_first: bool) -> None:
        """Replace a worker by another: before it is stopped, or after."""
        begun = time.monotonic()
        former = self._workers[index]
        if new_first:
            self._workers[index] = self._begin_worker()
            self._wait_for(self._workers[index])
            self._stop_worker(*former)
        else:
            self._stop_worker(*former)
            self._workers[index] = self._begin_worker()
            self._wait_for(self._workers[index])
        order = "the new one first" if new_first else "the old one first"
        self.steps.append((f"worker {index + 1}, {order}", time.monotonic() - begun))

    def migrate(self) -> None:
        """Bring the schema up to what the migrations of this process say; those of the others are the released ones."""
        begun = time.monotonic()
        history = HistoryDatabase.open(self._clickhouse.url)
        try:
            migrate(history)
        finally:
            history.close()
        self.steps.append(("schema", time.monotonic() - begun))

    def replace_server(self) -> None:
        """Stop the server in order and start it again; it has one address."""
        begun = time.monotonic()
        assert self._server.stop() == 0, "the server did not stop in order"
        self._server.start()
        self.steps.append(("server", time.monotonic() - begun))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take down how old the oldest unprocessed event is, by the status, as long as the block lasts."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(LOOK_SECONDS):
                try:
                    status = self._server.get("/api/v1/status")
                except (URLError, OSError):
                    continue  # the server is being replaced
                for one in status["processors"]:
                    self.oldest[one["processor"]] = max(self.oldest.get(one["processor"], 0.0), one["age_seconds"])

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def books(self, bound: float) -> Books:
        """End the load, wait until nothing is under way, stop everything in order, and check the books: no mail may have come again."""
        self._producers.finish(bound)
        said = self._producers.said()
        wait_for_rest(self._server, said, bound)
        for worker in self._workers:
            self._stop_worker(*worker)
        assert self._server.stop() == 0, "the server did not stop in order"
        history = HistoryDatabase.open(self._clickhouse.url)
        try:
            books = check_books(said, history, self._post_office.folder, killed_producers=0, mails_again_allowed=0)
            with closing(open_log(self._kafka.url)) as log:
                check_fold(books, log, history)
            return books
        finally:
            history.close()

    def _begin_worker(self) -> tuple[subprocess.Popen[bytes], Path]:
        self._begun += 1
        output = self._folder / f"worker-{self._begun}.log"
        return spawn([sys.executable, "-m", "runherald", "worker", *self._worker_command], {}, output), output

    def _wait_for(self, worker: tuple[subprocess.Popen[bytes], Path]) -> None:
        process, output = worker
        ready = lambda: process.poll() is not None or output.read_text().count("event=started") >= PROCESSORS  # noqa: E731
        wait_until("a worker to begin", ready, STOP_SECONDS)
        assert process.poll() is None, f"a worker ended with status {process.returncode}: {output.read_text()[-3000:]}"

    def _stop_worker(self, process: subprocess.Popen[bytes], output: Path) -> None:
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_SECONDS)
        assert status == 0, f"a worker ended with status {status}: {output.read_text()[-3000:]}"

    def _kill(self) -> None:
        for process, _ in self._workers:
            if process.poll() is None:
                process.kill()
                process.wait()
        if self._server.running:
            self._server.kill()


def _command(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "runherald", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
