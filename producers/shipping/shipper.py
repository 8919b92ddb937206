"""The shipper: one thread that sends what journals hold, and marks what was acknowledged."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from runherald.errors import InvalidInput, RunheraldError
from runherald.events import Event
from runherald.producers.journal.folder import journal_folders
from runherald.producers.shipping.batching import MAX_POINTS
from runherald.producers.shipping.send_queue import SendQueue, share
from runherald.producers.shipping.transport import Sent, Transport
from runherald.records import Position

LINGER_SECONDS = 0.2
BACKOFF_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 30.0
ADOPT_SECONDS = 30.0
HELD_UP_SECONDS = 10.0
"""An attempt that takes so long is not waited for where a script ends a run or itself."""
MAX_EVENTS = 500
THREAD_NAME = "runherald-shipper"
_ADOPTED_AT_ONCE = 4
_ENDED_OPEN = 16

_log = logging.getLogger("runherald.shipper")


def _chance() -> float:
    """Return a number from 0 to 1: not of the module `random`, whose generator is the training script's."""
    return os.urandom(1)[0] / 255


class Shipper:
    """Sends the events of the journals it is given, and what dead processes left under `home`.

    What dead processes left is sent in the room that live journals leave. `step` does one round; the thread calls it every 200 ms while
    a journal is open, and at once when it is urgent. A fault of the transport is told once, waited out with back-off and jitter, and
    raised to nobody.

    Args:
        home: where dead journals are looked for; None for nowhere.
        destination: only dead journals meant for it are sent.
        saw: told where acknowledged events stand.
        monotonic: seconds that never go back.
        jitter: a number from 0 to 1.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        home: Path | None = None,
        destination: str = "",
        saw: Callable[[Sequence[Position]], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = _chance,
    ) -> None:
        self._transport = transport
        self._home = home
        self._destination = destination
        self._saw = saw
        self._monotonic = monotonic
        self._jitter = jitter
        self._live: list[SendQueue] = []
        self._adopted: list[SendQueue] = []
        self._adopt_at = monotonic()
        self._sick: set[Path] = set()
        self._failures = 0
        self._retry_at = 0.0
        self._changed = threading.Condition()
        self._urgent = False
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._sending_since: float | None = None
        self.attempts_failed = 0
        self.delivered = 0
        self.last_error: RunheraldError | None = None

    def add(self, queue: SendQueue) -> None:
        """Send a live journal's events from now on."""
        with self._changed:
            self._live.append(queue)
            self._begin()
            self._changed.notify_all()

    def hurry(self) -> None:
        """Send now: neither the linger nor the back-off is waited for."""
        with self._changed:
            self._urgent = True
            self._begin()
            self._changed.notify_all()

    def flush(self, queue: SendQueue, timeout_seconds: float, *, give_up: bool = False) -> bool:
        """Wait until all that a queue's journal holds now is acknowledged; say whether it is.

        `give_up`: stop waiting at the first attempt that fails, too, and do not wait for a server that keeps an attempt waiting.
        """
        return self._wait([queue], timeout_seconds, give_up=give_up)

    def settle(self, timeout_seconds: float) -> bool:
        """Wait until all that this process said so far is acknowledged; say whether it is.

        Where nobody was ever reached, the first attempt that fails is the answer. Who was reached before is waited for: it may be
        restarting.
        """
        return self._wait(list(self._live), timeout_seconds, give_up=not self.delivered)

    def drain(self, timeout_seconds: float) -> int:
        """Wait until the live journals are sent and return how many records are not. Where nobody was ever reached, one attempt is all."""
        queues = list(self._live)
        if not self._is_held_up():
            self._wait(queues, timeout_seconds, give_up=not self.delivered)
        return sum(queue.behind for queue in queues)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the thread, close the transport and let go of the journals; what is not sent stays in them."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(0 if self._is_held_up() else timeout_seconds)
        for queue in self._live:
            queue.save()
        if self._thread is not None and self._thread.is_alive():
            return  # still in a call of the transport: the process ends around it
        for queue in [*self._live, *self._adopted]:
            queue.finish()
        self._live, self._adopted = [], []
        self._transport.close()

    def abandon(self) -> None:
        """In a forked child: forget the parent's journals. Its thread is not here."""
        self._stopped = True
        self._live, self._adopted, self._thread = [], [], None
        self._changed = threading.Condition()

    def step(self, *, urgent: bool = False) -> float | None:
        """Do one round: heartbeats, one batch, acknowledgements. Return after how many seconds the next is due; None for not by itself."""
        now = self._monotonic()
        for queue in self._live:
            if queue.beat is not None:
                queue.beat(now, queue.acknowledged)
        if now < self._retry_at and not urgent:
            return self._retry_at - now
        batch = self._gather()
        if batch and not self._send(batch):
            self._put_aside()
            return self._retry_at - now
        self._let_go()
        self._adopt(now)
        if self._adopted or any(queue.behind >= MAX_POINTS for queue in self._live):
            return 0.0
        return LINGER_SECONDS if self._live else None

    def _begin(self) -> None:
        if self._thread is not None or self._stopped:
            return
        thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the user may have no more threads, or the interpreter is about to end
            self._failed(RunheraldError(f"{error}; `runherald sync` sends what is in the journal"))
            return
        self._thread = thread

    def _run(self) -> None:
        pid = os.getpid()
        delay: float | None = 0.0
        while os.getpid() == pid:
            with self._changed:
                if not self._stopped and not self._urgent and delay != 0.0:
                    self._changed.wait(delay)
                if self._stopped:
                    return
                urgent, self._urgent = self._urgent, False
            try:
                delay = self.step(urgent=urgent)
            except Exception as error:  # the thread's edge: whatever it is, the training goes on and the journal keeps its records
                stumble = RunheraldError(f"the shipper stumbled: {type(error).__name__}: {error}")
                if str(self.last_error) != str(stumble):
                    _log.exception("shipper_error")
                self._failed(stumble)
                delay = max(self._retry_at - self._monotonic(), LINGER_SECONDS)
            with self._changed:
                self._changed.notify_all()

    def _gather(self) -> list[tuple[SendQueue, list[Event]]]:
        """Return the next batch: of the live journals, and where these leave room, of what dead processes left."""
        batch: list[tuple[SendQueue, list[Event]]] = []
        room = MAX_EVENTS
        for queue in [*self._live, *self._adopted]:
            events = self._pending(queue) if room > 0 else []
            if events:
                batch.append((queue, events))
                room -= len(events)
        return batch

    def _pending(self, queue: SendQueue) -> list[Event]:
        try:
            return queue.pending()
        except OSError as error:
            if queue.folder.path not in self._sick:
                self._sick.add(queue.folder.path)
                _log.warning("journal_unreadable path=%s reason=%r", queue.folder.path, str(error))
            return []

    def _send(self, batch: list[tuple[SendQueue, list[Event]]]) -> bool:
        self._sending_since = self._monotonic()
        try:
            sent = self._transport.send([event for _, events in batch for event in events])
        except RunheraldError as error:
            self._failed(error)
            return False
        finally:
            self._sending_since = None
        if self._failures:
            _log.info("shipper_reached_again after_attempts=%d", self._failures)
        self._failures, self._retry_at, self.last_error = 0, 0.0, None
        self.delivered += sum(len(events) for _, events in batch)
        self._acknowledge(batch, sent)
        return True

    def _acknowledge(self, batch: list[tuple[SendQueue, list[Event]]], sent: Sent) -> None:
        if self._saw is not None and sent.positions:
            self._saw(sent.positions)
        first = 0
        for queue, events in batch:
            queue.acknowledge(share(list(sent.rejected), first, len(events)))
            first += len(events)
        asked = set(sent.cancel_requested)
        for queue in self._live:
            if queue.head.run_id in asked:
                queue.cancel_requested = True

    def _failed(self, error: RunheraldError) -> None:
        self.attempts_failed += 1
        self._failures += 1
        wait = min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2 ** min(self._failures - 1, 10))
        self._retry_at = self._monotonic() + wait * (0.5 + self._jitter() / 2)
        if self.last_error is None or type(self.last_error) is not type(error):
            _log.warning("shipper_waits reason=%r: what is logged is kept and sent later", str(error))
        self.last_error = error

    def _let_go(self) -> None:
        for queues in (self._live, self._adopted):
            for queue in [one for one in queues if one.closed and not one.behind]:
                if queue.journal is None and queue.folder.path not in self._sick and self._pending(queue):
                    continue
                queue.finish()
                queues.remove(queue)

    def _put_aside(self) -> None:
        """Close the journals of runs that ended, but for the last few, lest they use up the files that the script may open. They are
        adopted later."""
        ended = [queue for queue in self._live if queue.may_wait]
        for queue in ended[:-_ENDED_OPEN]:
            queue.finish()
            self._live.remove(queue)

    def _adopt(self, now: float) -> None:
        """Take on some journals of dead processes, if it is time to look."""
        if self._home is None or self._adopted or now < self._adopt_at:
            return
        self._adopt_at = now + ADOPT_SECONDS
        ours = {queue.folder.path for queue in self._live}
        for folder in journal_folders(self._home):
            if folder.path in ours or folder.path in self._sick:
                continue
            try:
                if folder.head().destination != self._destination:
                    continue
                self._adopted.append(SendQueue.adopt(folder))
            except (BlockingIOError, FileNotFoundError):
                continue  # its owner lives, or has just sent all of it
            except PermissionError:
                self._sick.add(folder.path)
                _log.info("journal_of_another_user path=%s", folder.path)
            except (OSError, InvalidInput) as error:
                self._sick.add(folder.path)
                _log.warning("journal_unreadable path=%s reason=%r", folder.path, str(error))
            if len(self._adopted) >= _ADOPTED_AT_ONCE:
                self._adopt_at = now
                return

    def _is_held_up(self) -> bool:
        began = self._sending_since
        return began is not None and self._monotonic() - began >= HELD_UP_SECONDS

    def _wait(self, queues: Sequence[SendQueue], timeout_seconds: float, *, give_up: bool) -> bool:
        targets = [(queue, queue.acknowledged + queue.behind) for queue in queues]
        deadline = self._monotonic() + timeout_seconds
        failed = self.attempts_failed
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            while any(queue.acknowledged < target for queue, target in targets):
                left = deadline - self._monotonic()
                if (
                    left <= 0
                    or self._stopped
                    or self._thread is None
                    or (give_up and (self.attempts_failed > failed or self._is_held_up()))
                ):
                    return False
                self._changed.wait(min(left, 1.0))
        return True
