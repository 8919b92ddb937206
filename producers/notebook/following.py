"""Follows a run on a thread of its own: reads it, shows it, waits, until it has ended or nobody looks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from msgspec import Struct

from runherald.errors import RunheraldError, Unreachable
from runherald.producers.errors import NotFound
from runherald.producers.notebook.picture import is_final
from runherald.producers.notebook.reading import Reading
from runherald.status import TERMINAL

_log = logging.getLogger("runherald.notebook")

FIRST_SECONDS = 0.25
"""A run that was just begun is on its way to the server."""
AGAIN_SECONDS = 0.5
EVERY_SECONDS = 1.5
LAST_SECONDS = 15.0
SETTLE_READINGS = 4
"""What a run logged last may reach history a little after its end: it is read so often again."""
_SHARE = 0.1
"""Of the time at the most that the server is kept busy with us."""


class Freshness(Struct, frozen=True, kw_only=True):
    """How fresh the picture is: `live`; `away` while the server does not answer; `final` once nothing follows; `stopped`."""

    state: str
    message: str = ""


class Pace:
    """Says when to read again."""

    def __init__(self) -> None:
        self._failures = 0
        self._final = 0

    def after(self, reading: Reading, took: float) -> float | None:
        """Return the seconds to wait after a reading that took so many; None when it was the last."""
        self._failures = 0
        self._final = self._final + 1 if is_final(reading.view) else 0
        if self._final > SETTLE_READINGS:
            return None
        if reading.view.status in TERMINAL and not self._final:
            return LAST_SECONDS  # a claim, which the run may withdraw
        return min(max(EVERY_SECONDS, took / _SHARE), LAST_SECONDS)

    def after_failure(self) -> float:
        """Return the seconds to wait after a reading that failed: twice as long each time."""
        self._failures += 1
        return float(min(AGAIN_SECONDS * 2 ** min(self._failures - 1, 10), LAST_SECONDS))


class Follower:
    """Reads a run until it has ended or it is stopped; while nobody looks, not at all. Nothing that goes wrong leaves it."""

    def __init__(
        self,
        read: Callable[[], Reading],
        show: Callable[[Reading], None],
        say: Callable[[Freshness], None],
        close: Callable[[], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._read = read
        self._show = show
        self._say = say
        self._close = close
        self._monotonic = monotonic
        self._wake = threading.Event()
        self._wait = wait or self._wake.wait
        self._pace = Pace()
        self._stopped = False
        self._paused = False
        self._thread = threading.Thread(target=self.run, name="runherald-widget", daemon=True)

    @property
    def running(self) -> bool:
        """Whether its thread is."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, on a thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 0.0) -> None:
        """End, and wait for the thread so long."""
        self._stopped = True
        self._wake.set()
        if timeout_seconds and self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def pause(self) -> None:
        """Read nothing any more, until it is resumed."""
        self._paused = True

    def resume(self) -> None:
        """Read on, at once."""
        if self._paused:
            self._paused = False
            self._wake.set()

    def run(self) -> None:
        """Read and show until there is no more to come."""
        try:
            wait: float | None = FIRST_SECONDS
            while wait is not None and self._waited(wait):
                wait = self._turn()
        except Exception as error:  # a notebook must not be littered with our tracebacks
            _log.debug("event=widget_stopped", exc_info=True)
            self._last_word(f"This view stopped: {type(error).__name__}. Run the cell again to follow the run.")
        finally:
            self._close()

    def _turn(self) -> float | None:
        began = self._monotonic()
        try:
            reading = self._read()
        except RunheraldError as error:
            seconds = self._pace.after_failure()
            self._say(Freshness(state="away", message=f"{_in_words(error)}; trying again in {seconds:g} s"))
            return seconds
        wait = self._pace.after(reading, self._monotonic() - began)
        self._show(reading)
        self._say(Freshness(state="final" if is_final(reading.view) else "live"))
        return wait

    def _waited(self, seconds: float) -> bool:
        """Wait, and say whether to go on."""
        self._wait(seconds)
        self._wake.clear()
        while self._paused and not self._stopped:
            self._wake.wait()
            self._wake.clear()
        return not self._stopped

    def _last_word(self, message: str) -> None:
        try:
            self._say(Freshness(state="stopped", message=message))
        except Exception:
            _log.debug("event=widget_gone", exc_info=True)  # the kernel is about to end


def _in_words(error: RunheraldError) -> str:
    if isinstance(error, NotFound):
        return "The server does not know this run yet"
    if isinstance(error, Unreachable):
        return "The server does not answer"
    return str(error)
