"""A call that may hang, and a caller who does not wait for ever."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from runherald.errors import Unreachable

T = TypeVar("T")


class Bounded(Generic[T]):
    """Makes a call in a thread of its own, one at a time; whoever comes meanwhile waits for the same answer. Safe between threads.

    The thread stays, since a thread's first question to history is dear. One that hangs at the end of the process does not hold it up.
    """

    def __init__(self, what: str, call: Callable[[], T], seconds: float) -> None:
        self._what = what
        self._call = call
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asked: queue.SimpleQueue[Future[T] | None] = queue.SimpleQueue()
        self._answer: Future[T] | None = None
        self._thread: threading.Thread | None = None

    def __call__(self) -> T:
        """Return what the call returns, or raise what it raises.

        Raises:
            Unreachable: there was no answer in time.
        """
        try:
            return self._next_answer().result(self._seconds)
        except TimeoutError:
            raise Unreachable(f"{self._what}: no answer within {self._seconds:g} s") from None

    def close(self) -> None:
        """Let the thread end, once the call that it makes has returned."""
        with self._lock:
            if self._thread is not None:
                self._asked.put(None)
                self._thread = None

    def _next_answer(self) -> Future[T]:
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer = Future()
                self._asked.put(self._answer)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name=f"runherald-{self._what.replace(' ', '-')}", daemon=True)
                    self._thread.start()
            return self._answer

    def _work(self) -> None:
        while (answer := self._asked.get()) is not None:
            try:
                answer.set_result(self._call())
            except BaseException as error:  # it is raised where the answer is awaited
                answer.set_exception(error)
