"""A whole installation under drill: Kafka, ClickHouse over HTTP, a server that takes events in, Faust workers, a mail server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.local_kafka import LocalKafka
from runherald.sinks.connection import HistoryDatabase
from runherald.streams.log import Log, open_log
from tests.drills.partition_moves import move_all
from tests.drills.producers import Producers
from tests.drills.schedule import Fault
from tests.drills.world import World
from tests.server_process import ServerProcess, spawn, wait_until

WORKER_FAULTS = ("worker-kill", "worker-term", "worker-freeze", "worker-joins-and-leaves", "processor-kill")
HISTORY_FAULTS = ("history-away", "history-500", "history-slow", "history-reply-lost")
BROKER_FAULTS = ("broker-restart",)
MOVE_FAULTS = ("broker-partitions-move",)
"""With more than one broker."""

WORKERS = 2
PROCESSORS = 6
"""Of a worker: how many say that they have begun."""
STOP_SECONDS = 75.0


class KafkaWorld(World):
    """An installation of several processes, of which Kafka and ClickHouse have another machine's clock.

    Half of the producers write to Kafka themselves, the others over the server.
    """

    def __init__(
        self, folder: Path, ports: tuple[int, int], *, brokers: int = 1, count: int = 4, rate: float = 300.0, seed: int = 1
    ) -> None:
        moves = MOVE_FAULTS if brokers > 1 else ()
        super().__init__(folder, ports[1], kinds=(*WORKER_FAULTS, *HISTORY_FAULTS, *BROKER_FAULTS, *moves))
        self._kafka = LocalKafka(folder / "kafka", brokers)
        self._clickhouse = LocalClickHouse(folder / "clickhouse")
        self._server_port = ports[0]
        self._load = (count, rate, seed)
        self._begun = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}

    def revive(self) -> None:
        """Start again what has ended by itself."""
        for index, worker in enumerate(self._workers):
            if worker.poll() is not None:
                self.revived += 1
                self._workers[index] = self._begin_worker()
        super().revive()

    def _start(self, stack: ExitStack) -> None:
        self._kafka.start()
        stack.callback(self._kafka.stop)
        self._clickhouse.start()
        stack.callback(self._clickhouse.stop)
        self._connections = ("--log", self._kafka.url, "--history", self._clickhouse.url)
        _command("topics", "create", "--log", self._kafka.url)
        _command("migrate", "--history", self._clickhouse.url)
        self._start_mail(stack)
        arguments = (*self._connections, "--query-history", self._clickhouse.url)
        self._server = ServerProcess(self._folder, self._server_port, *arguments, environment=self.clock.environment)
        self._start_server(stack)
        stack.callback(self._kill_workers)
        self._workers = [self._begin_worker() for _ in range(WORKERS)]
        count, rate, seed = self._load
        home = {**self.clock.environment, "RUNHERALD_HOME": str(self._folder / "home"), "RUNHERALD_LEASE_SECONDS": "20"}
        over_server = {**home, "RUNHERALD_URL": self._server.url}
        environments = (over_server, {**over_server, "RUNHERALD_LOG": self._kafka.url})
        self._producers = Producers(self._folder, environments, count=count, rate=rate, seed=seed)
        self._start_producers(stack)

    def _strike_own(self, fault: Fault) -> None:
        match fault.kind.partition("-")[0]:
            case "worker" | "processor":
                self._mailers_upset += 1
                self._strike_worker(fault)
            case "history":
                self._strike_history(fault)
            case _:
                self._strike_broker(fault)

    def _strike_broker(self, fault: Fault) -> None:
        if fault.kind in MOVE_FAULTS:
            move_all(self._kafka.bootstrap, fault.draw)
            return
        node = int(fault.draw * self._kafka.nodes)
        self._kafka.kill(node)
        time.sleep(fault.lasts)
        self._kafka.restart(node)

    def _strike_worker(self, fault: Fault) -> None:
        index = int(fault.draw * len(self._workers))
        worker = self._workers[index]
        match fault.kind:
            case "worker-kill":
                self.recoveries.struck(fault.kind, self._server)
                _end(worker, signal.SIGKILL)
                self._workers[index] = self._begin_worker()
                self.recoveries.wait(self._server, self.revive)
            case "worker-term":
                self._stop_in_order(worker)
                self._workers[index] = self._begin_worker()
            case "worker-freeze":
                os.killpg(worker.pid, signal.SIGSTOP)
                time.sleep(fault.lasts)
                os.killpg(worker.pid, signal.SIGCONT)
            case "worker-joins-and-leaves":
                joined = self._begin_worker()
                log = self._logs[joined.pid]
                wait_until("a third worker to join", lambda: log.read_text().count("event=started") >= PROCESSORS, STOP_SECONDS)
                time.sleep(fault.lasts)
                self._stop_in_order(joined)
            case _:
                # A worker that has just begun has none of its processors yet.
                wait_until("a worker's processors", lambda: len(_children(worker)) == PROCESSORS or worker.poll() is not None, STOP_SECONDS)
                if children := _children(worker):
                    os.kill(children[int(fault.draw * 1_000) % len(children)], signal.SIGKILL)
                worker.wait(STOP_SECONDS)
                self.revive()

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

    def _stop_own(self) -> None:
        for worker in self._workers:
            self._stop_in_order(worker)

    def _open_history(self) -> HistoryDatabase:
        return HistoryDatabase.open(self._clickhouse.url)

    def _open_log(self) -> Log:
        return open_log(self._kafka.url)

    def _begin_worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "runherald", "worker", *self._connections, *self._mail_options]
        self._begun += 1
        log = self._folder / f"worker-{self._begun}.log"
        worker = spawn(command, self.clock.environment, log)
        self._logs[worker.pid] = log
        return worker

    def _stop_in_order(self, worker: subprocess.Popen[bytes]) -> None:
        status = _end(worker, signal.SIGTERM)
        said = self._logs[worker.pid].read_text()
        # While Python still imports, nobody is there to hear the signal, and nothing is begun that could be ended in order.
        orders = (0, -signal.SIGTERM) if "event=" not in said else (0,)
        assert status in orders or was_cut_off(said), f"a worker ended with status {status}: {self._said()}"

    def _said(self) -> str:
        logs = self._folder.glob("worker-*.log")
        return "\n".join(f"{log.name}: {log.read_text()[-1000:]}" for log in sorted(logs))

    def _kill_workers(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                _end(worker, signal.SIGKILL)


def was_cut_off(said: str) -> bool:
    """Whether a worker was ending by itself, because log or history had been away when it needed them, and for nothing else."""
    ends = [line for line in said.splitlines() if "event=ended error=" in line]
    return bool(ends) and all("error=Unreachable:" in line for line in ends)


def _children(worker: subprocess.Popen[bytes]) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


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
