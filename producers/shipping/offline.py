"""What stands in for the shipper where nothing is to be sent: `RUNHERALD_URL=offline`."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from runherald.errors import RunheraldError
from runherald.producers.shipping.send_queue import SendQueue

LOOK_SECONDS = 1.0
"""How often it is looked for what `runherald sync` has sent meanwhile."""

_log = logging.getLogger("runherald.shipper")


class OfflineShipper:
    """Keeps journals and sends nothing; no call waits for anybody.

    `runherald sync` sends them to a server that is named then, perhaps while the run goes on: what it has sent, it marks in the journal.
    Heartbeats are journalled as with a server: the next when the last one is acknowledged, so that one at most waits while nobody sends.

    Attributes:
        last_error: always None: where nothing is sent, nothing fails.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._live: list[SendQueue] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self.last_error: RunheraldError | None = None

    def add(self, queue: SendQueue) -> None:
        """Keep a live journal."""
        with self._changed:
            self._live.append(queue)
            self._begin()

    def hurry(self) -> None:
        """Do nothing: nobody is told."""

    def flush(self, queue: SendQueue, timeout_seconds: float, *, give_up: bool = False) -> bool:
        """Return at once: what was logged stands in the journal. One that is closed is let go of, so that others may send it."""
        del timeout_seconds, give_up
        with self._changed:
            if queue.may_wait and queue in self._live:
                self._live.remove(queue)
                queue.finish()
        return True

    def settle(self, timeout_seconds: float) -> bool:
        """Return at once."""
        del timeout_seconds
        return True

    def drain(self, timeout_seconds: float) -> int:
        """Return at once: nothing is left over that was meant to be sent."""
        del timeout_seconds
        return 0

    def stop(self) -> None:
        """End the thread and let go of the journals."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        for queue in self._live:
            queue.save()
            queue.finish()
        self._live = []

    def abandon(self) -> None:
        """In a forked child: forget the parent's journals. Its thread is not here."""
        self._stopped = True
        self._live, self._thread = [], None
        self._changed = threading.Condition()

    def step(self) -> None:
        """Look how far each journal was sent by others, and let each run that beats its heart do so."""
        now = self._monotonic()
        for queue in self._live:
            queue.acknowledged = queue.folder.acknowledged()
            if queue.beat is not None:
                queue.beat(now, queue.acknowledged)

    def _begin(self) -> None:
        if self._thread is not None or self._stopped:
            return
        thread = threading.Thread(target=self._run, name="runherald-offline", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the user may have no more threads, or the interpreter is about to end
            _log.warning("offline_without_heartbeats reason=%r", str(error))
            return
        self._thread = thread

    def _run(self) -> None:
        pid = os.getpid()
        while os.getpid() == pid:
            with self._changed:
                if self._stopped:
                    return
                self.step()
                self._changed.wait(LOOK_SECONDS)
