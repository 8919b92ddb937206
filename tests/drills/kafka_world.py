"""A whole installation under drill: Kafka, ClickHouse over HTTP, a server that takes events in, Faust workers, a mail server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.local_kafka import LocalKafka
from runherald.sinks.connection import HistoryDatabase
from runherald.streams.log import open_log
from tests.drills import post_office, producers
from tests.drills.books import Books, check_books, check_fold
from tests.drills.embedded_world import MAILER_BATCH, SERVER_FAULTS
from tests.drills.post_office import REFUSED, PostOffice
from tests.drills.producers import Producers
from tests.drills.rest import wait_for_rest
from tests.drills.schedule import Fault
from tests.server_process import ServerProcess, spawn, wait_until

WORKER_FAULTS = ("worker-kill", "worker-term", "worker-freeze", "worker-joins-and-leaves", "processor-kill")
HISTORY_FAULTS = ("history-away", "history-500", "history-slow", "history-reply-lost")
BROKER_FAULTS = ("broker-restart",)
KINDS = (*SERVER_FAULTS, *WORKER_FAULTS, *HISTORY_FAULTS, *BROKER_FAULTS, *producers.FAULTS, *post_office.FAULTS)

WORKERS = 2
PROCESSORS = 6
"""Of a worker: how many say that they have begun."""
STOP_SECONDS = 75.0


class KafkaWorld:
    """An installation of several processes. A context manager that starts and ends it.

    Half of the producers write to Kafka themselves, the others over the server.

    Attributes:
        kinds: the faults that it can be struck with here.
        revived: how often something had ended by itself, and was started again as a service manager would.
    """

    def __init__(
        self, folder: Path, ports: tuple[int, int], *, brokers: int = 1, count: int = 4, rate: float = 300.0, seed: int = 1
    ) -> None:
        self.kinds: tuple[str, ...] = KINDS
        self.revived = 0
        self._folder = folder
        self._kafka = LocalKafka(folder / "kafka", brokers)
        self._clickhouse = LocalClickHouse(folder / "clickhouse")
        self._post_office = PostOffice(folder / "mails", ports[1])
        self._server_port = ports[0]
        self._load = (count, rate, seed)
        self._upsets = 0
        self._begun = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stack = ExitStack()

    def strike(self, fault: Fault) -> None:
        """Let a fault happen, and return when it is over, or goes over by itself."""
        self._revive()
        match fault.kind.partition("-")[0]:
            case "server":
                self._strike_server(fault)
            case "worker" | "processor":
                self._upsets += 1
                self._strike_worker(fault)
            case "history":
                self._strike_history(fault)
            case "broker":
                node = int(fault.draw * self._kafka.nodes)
                self._kafka.kill(node)
                time.sleep(fault.lasts)
                self._kafka.restart(node)
            case "producer" if fault.kind == "producer-kill":
                self._producers.kill(fault.draw)
            case "producer":
                frozen = self._producers.freeze(fault.draw)
                time.sleep(fault.lasts)
                os.kill(frozen, signal.SIGCONT)
            case _:
                self._post_office.strike(fault.kind, fault.lasts)

    def settle(self, bound: float) -> None:
        """End the load, send what killed producers left, and wait until nothing is under way."""
        self._post_office.heal()
        self._revive()
        self._producers.finish(bound)
        self._producers.sync()
        wait_for_rest(self._server, self._producers.said(), bound, meanwhile=self._revive)

    def books(self) -> Books:
        """Stop everything that writes, and check the books."""
        for worker in self._workers:
            assert _end(worker, signal.SIGTERM) == 0, f"a worker did not stop in order: {self._said()}"
        assert self._server.stop() == 0, "the server did not stop in order"
        history = HistoryDatabase.open(self._clickhouse.url)
        try:
            books = check_books(
                self._producers.said(),
                history,
                self._post_office.folder,
                killed_producers=self._producers.killed,
                mails_again_allowed=self._upsets * MAILER_BATCH + self._post_office.dropped_after,
            )
            with closing(open_log(self._kafka.url)) as log:
                check_fold(books, log, history)
            return books
        finally:
            history.close()

    def _strike_server(self, fault: Fault) -> None:
        match fault.kind:
            case "server-kill":
                self._server.kill()
                self._server.start()
            case "server-term":
                assert self._server.stop() == 0, "the server did not stop in order"
                self._server.start()
            case _:
                self._server.send(signal.SIGSTOP)
                time.sleep(fault.lasts)
                self._server.send(signal.SIGCONT)

    def _strike_worker(self, fault: Fault) -> None:
        index = int(fault.draw * len(self._workers))
        worker = self._workers[index]
        match fault.kind:
            case "worker-kill":
                _end(worker, signal.SIGKILL)
                self._workers[index] = self._begin_worker()
            case "worker-term":
                status = _end(worker, signal.SIGTERM)
                assert status == 0, f"a worker ended with status {status}: {self._said()}"
                self._workers[index] = self._begin_worker()
            case "worker-freeze":
                os.killpg(worker.pid, signal.SIGSTOP)
                time.sleep(fault.lasts)
                os.killpg(worker.pid, signal.SIGCONT)
            case "worker-joins-and-leaves":
                joined = self._begin_worker()
                log = self._folder / f"worker-{self._begun}.log"
                wait_until("a third worker to join", lambda: log.read_text().count("event=started") >= PROCESSORS, STOP_SECONDS)
                time.sleep(fault.lasts)
                status = _end(joined, signal.SIGTERM)
                assert status == 0, f"a worker that left ended with status {status}: {self._said()}"
            case _:
                children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
                if children:
                    os.kill(int(children[int(fault.draw * 1_000) % len(children)]), signal.SIGKILL)
                worker.wait(STOP_SECONDS)
                self._revive()

    def _strike_history(self, fault: Fault) -> None:
        match fault.kind:
            case "history-away":
                self._clickhouse.kill()
                time.sleep(fault.lasts)
                self._clickhouse.start()
            case "history-500":
                self._clickhouse.faults(answer_500=20)
            case "history-slow":
                self._clickhouse.faults(delay_seconds=0.5, delayed=20)
            case _:
                self._clickhouse.faults(lose_reply_after_insert=3)

    def _begin_worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "runherald", "worker", *self._connections, *self._mail]
        self._begun += 1
        return spawn(command, {}, self._folder / f"worker-{self._begun}.log")

    def _revive(self) -> None:
        """Start again what has ended by itself."""
        for index, worker in enumerate(self._workers):
            if worker.poll() is not None:
                self.revived += 1
                self._workers[index] = self._begin_worker()
        self.revived += self._server.revive()

    def _said(self) -> str:
        logs = self._folder.glob("worker-*.log")
        return "\n".join(f"{log.name}: {log.read_text()[-1000:]}" for log in sorted(logs))

    def __enter__(self) -> KafkaWorld:
        with self._stack:
            self._kafka.start()
            self._stack.callback(self._kafka.stop)
            self._clickhouse.start()
            self._stack.callback(self._clickhouse.stop)
            self._connections = ("--log", self._kafka.url, "--history", self._clickhouse.url)
            self._mail = ("--mail-to", "operator@example.org", "--mail-to", REFUSED, "--smtp", self._post_office.url)
            _command("topics", "create", "--log", self._kafka.url)
            _command("migrate", "--history", self._clickhouse.url)
            self._post_office.open()
            self._stack.callback(self._post_office.close)
            arguments = (*self._connections, "--query-history", self._clickhouse.url)
            self._server = ServerProcess(self._folder, self._server_port, *arguments)
            self._stack.callback(self._kill_server)
            self._server.start()
            self._workers = [self._begin_worker() for _ in range(WORKERS)]
            self._stack.callback(self._kill_workers)
            count, rate, seed = self._load
            home = {"RUNHERALD_HOME": str(self._folder / "home"), "RUNHERALD_LEASE_SECONDS": "20"}
            over_server = {**home, "RUNHERALD_URL": self._server.url}
            self._producers = Producers(
                self._folder, (over_server, {**over_server, "RUNHERALD_LOG": self._kafka.url}), count=count, rate=rate, seed=seed
            )
            self._stack.callback(self._producers.close)
            self._producers.start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _kill_server(self) -> None:
        if self._server.running:
            self._server.kill()

    def _kill_workers(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                _end(worker, signal.SIGKILL)


def _end(worker: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send a worker a signal and return its exit status; SIGKILL goes to its processors as well, as when a machine dies."""
    if worker.poll() is None:
        if number is signal.SIGKILL:
            os.killpg(worker.pid, number)
        else:
            worker.send_signal(number)
    return worker.wait(STOP_SECONDS)


def _command(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "runherald", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
