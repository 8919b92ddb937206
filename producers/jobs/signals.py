"""Signals that ask a process to end, taken by a handler for a while."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_THAT_END = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))


@contextlib.contextmanager
def taken(take: Callable[[int], None]) -> Iterator[None]:
    """Give the numbers of signals that ask for the end to a function, in place of what they do else; those that are ignored stay so.

    In another thread than the main one no signal comes, and nothing is changed.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        take(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _THAT_END}
    ours = [number for number, handler in before.items() if handler is not signal.SIG_IGN and handler is not None]
    try:
        for number in ours:
            signal.signal(number, handle)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
