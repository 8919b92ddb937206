"""The Faust runner: processors on Kafka, each in a process and a consumer group of its own, under a small supervisor.

See docs/decisions/faust.md for why a process each.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType

from runherald.records import Processor
from runherald.streams.cycle import DEFAULT_POLICY, FlushPolicy
from runherald.streams.faust_app import SESSION_SECONDS
from runherald.streams.faust_worker import FaustWorker
from runherald.streams.log import bootstrap_servers
from runherald.streams.watchdog import Patience
from runherald.streams.worker_figures import FillBoard, parse_address, serving_figures

logger = logging.getLogger(__name__)

STOP_SECONDS = 30.0
LOOK_SECONDS = 1.0
STOPS = (signal.SIGTERM, signal.SIGINT)
DEFAULT_PATIENCE = Patience()


def run_worker(
    log_url: str,
    processors: Mapping[str, Callable[[], Processor]],
    *,
    policy: FlushPolicy = DEFAULT_POLICY,
    patience: Patience = DEFAULT_PATIENCE,
    stop_seconds: float = STOP_SECONDS,
    session_seconds: float = SESSION_SECONDS,
    metrics: str = "",
) -> int:
    """Run processors on Kafka until SIGTERM or SIGINT; return the exit status.

    0: all flushed, committed and left their groups. Anything else: one ended by itself, and took the others with it; the log says which and
    why. A worker that is killed loses its partitions to others after `session_seconds`. Factories are called in the processors' own
    processes, which are forked: the caller must not have started threads. `metrics` is `HOST:PORT` where Prometheus finds how full their
    queues are; empty for nowhere.

    Raises:
        SettingsError: the URL is none of Kafka.
        InvalidInput: `metrics` is no address, or cannot be listened on.
    """
    servers = bootstrap_servers(log_url)
    if metrics:
        parse_address(metrics)  # before anything is forked
    boards = {name: FillBoard() for name in processors}
    workers = {
        name: FaustWorker(
            name,
            factory,
            servers,
            policy=policy,
            patience=patience,
            stop_seconds=stop_seconds,
            session_seconds=session_seconds,
            board=boards[name],
        )
        for name, factory in processors.items()
    }
    if len(workers) == 1:
        with serving_figures(metrics, boards):
            return next(iter(workers.values())).run()
    return _Supervisor(workers, stop_seconds, lambda: serving_figures(metrics, boards)).run()


class _Supervisor:
    """Runs each worker in a child process. When one ends by itself, all are stopped: half a topology is worse to notice than none."""

    def __init__(
        self, workers: Mapping[str, FaustWorker], stop_seconds: float, serving: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._workers = workers
        self._serving = serving
        # A child flushes, and then Faust leaves the group: each has its own bound.
        self._stop_seconds = 2 * stop_seconds + 5
        self._deadline: float | None = None
        self._children: list[ForkProcess] = []

    def run(self) -> int:
        """Return when all children have ended."""
        if threading.active_count() > 1:
            raise RuntimeError("worker processes are forked: run the worker before anything starts a thread")
        lifeline, held = os.pipe()
        context = multiprocessing.get_context("fork")
        self._children = [
            context.Process(target=_child, args=(worker, lifeline, held), name=name) for name, worker in self._workers.items()
        ]
        # A stop that comes just now waits until somebody can hear it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        for child in self._children:
            child.start()
        os.close(lifeline)
        for number in STOPS:
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        try:
            # Only now: its thread must not be there when processes are forked.
            with self._serving():
                return self._wait()
        finally:
            # Whoever is left hears from it that nobody waits for it.
            os.close(held)

    def _wait(self) -> int:
        status = 0
        while alive := [child for child in self._children if child.exitcode is None]:
            wait([child.sentinel for child in alive], timeout=LOOK_SECONDS)
            if self._deadline is None and (ended := [child for child in self._children if child.exitcode is not None]):
                names = ",".join(child.name for child in ended)
                logger.error("worker=faust event=ended processor=%s; the others are stopped", names)
                status = 1
                self._stop()
            elif self._deadline is not None and time.monotonic() > self._deadline:
                logger.error("worker=faust event=killed late=%s", ",".join(child.name for child in alive))
                for child in alive:
                    child.kill()
        # One that our SIGTERM met before it could listen for it had taken nothing in yet.
        unbegun = -signal.SIGTERM if self._deadline is not None else 0
        failed = [code for child in self._children if (code := child.exitcode) is not None and code not in {0, unbegun}]
        # A child that was killed has the signal's number below zero for its status.
        return next((code for code in failed if code > 0), 1) if failed else status

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._stop_seconds
        for child in self._children:
            if child.exitcode is None:
                child.terminate()


def _child(worker: FaustWorker, lifeline: int, held: int) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    os.close(held)
    threading.Thread(target=_end_with_supervisor, args=(lifeline,), name="runherald-lifeline", daemon=True).start()
    sys.exit(worker.run())


def _end_with_supervisor(lifeline: int) -> None:
    """Stop when the supervisor is gone, however it went: the pipe then has no writer."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
