"""Samples the machine now and then for a run, in a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping

from runherald.errors import InvalidInput, RunheraldError
from runherald.producers.machine.readings import Reading, points
from runherald.producers.texts import given_number

INTERVAL_SECONDS = 10.0
_STOP_SECONDS = 1.0

_log = logging.getLogger("runherald.machine")


class MachineSampler:
    """Logs the metrics of a machine until it is stopped. A forked child samples nothing: its parent's thread is not there.

    Args:
        open_reader: returns what reads; called in the thread, for it may take a while. Whatever it or the reader raises ends the sampling,
            told once.
        log: takes the metrics of one sample.
    """

    def __init__(
        self, open_reader: Callable[[], Callable[[], Reading]], log: Callable[[Mapping[str, float]], None], *, every_seconds: float
    ) -> None:
        self._open_reader = open_reader
        self._log_metrics = log
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._pid = os.getpid()
        self._before: Reading | None = None
        self._thread = threading.Thread(target=self._run, name="runherald-machine", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        try:
            self._thread.start()
        except RuntimeError as error:  # the user may have no more threads
            _log.warning("machine_not_sampled reason=%r", str(error))

    def stop(self) -> None:
        """Take a last sample and end the thread; called again, or in a forked child, it does nothing."""
        if self._stopped.is_set() or os.getpid() != self._pid:
            return
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _sample(self, read: Callable[[], Reading]) -> None:
        now = read()
        metrics = points(self._before, now)
        self._before = now
        self._log_metrics(metrics)

    def _run(self) -> None:
        try:
            read = self._open_reader()
            self._sample(read)
            while not self._stopped.wait(self._every_seconds):
                self._sample(read)
            self._sample(read)
        except RunheraldError as error:  # such as a run that has ended meanwhile
            _log.info("machine_not_sampled reason=%r", str(error))
        except Exception:  # the thread's edge: a machine that cannot be read must not disturb a training
            _log.exception("machine_not_sampled")


def check_interval(seconds: object) -> float:
    """Return how often to sample.

    Raises:
        InvalidInput: it is no number from 0.1 to 3,600.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0.1 <= seconds <= 3_600:
        raise InvalidInput(f"every_seconds: is {given_number(seconds)}; pass a number of seconds from 0.1 to 3600")
    return float(seconds)
