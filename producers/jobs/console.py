"""The console of a program: what it prints, passed on, kept in a file, and told to history line by line."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from runherald.errors import RunheraldError
from runherald.producers.allowed import allowed

from .lines import Allowance, LineSplitter

MAX_FILE_BYTES = 1 << 30
_CHUNK = 1 << 16
_WAIT_SECONDS = 0.05
_HISTORY_BYTES = 1 << 18
"""So much waits for history at most; then the program waits, too."""

_log = logging.getLogger("runherald.jobs")


class Console:
    """Reads what a program prints, in a thread, until the last one that could print is gone.

    What cannot be passed on or written is told once; the program goes on. One that prints faster than all this can take is held up by
    its pipe, as with any reader.

    Args:
        source: the reading end of the program's pipe; closed at the end.
        file: where the bytes are kept, as they came; of more than `max_file_bytes` the beginning and the last lines.
        passed_to: the descriptor that they are passed on to, at once; None for nowhere.
        tell: is given lines for history.
    """

    def __init__(
        self,
        source: int,
        file: Path,
        *,
        tell: Callable[[list[str]], None],
        passed_to: int | None = None,
        max_file_bytes: int = MAX_FILE_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._path = file
        self._tell: Callable[[list[str]], None] | None = tell
        self._passed_to = passed_to
        self._room = max_file_bytes
        self._cut = 0
        self._monotonic = monotonic
        self._splitter = LineSplitter()
        self._allowance = Allowance(monotonic())
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._waiting_size = 0
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._closed = False
        self._passing = False
        self._file = self._opened()
        self._thread = threading.Thread(target=self._read, name="runherald-console", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def flush(self) -> None:
        """Tell history the lines that wait; called several times a second."""
        with self._lock:
            self._flush()

    def wait(self, timeout_seconds: float, *, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the last one that could print is gone, and all is passed on; say whether it is.

        While somebody who reads what is passed on takes their time, the time does not run, unless `hurried`.
        """
        left = timeout_seconds
        while self._thread.is_alive() and left > 0 and not (self._passing and hurried()):
            self._thread.join(_WAIT_SECONDS)
            left -= 0 if self._passing else _WAIT_SECONDS
        return not self._thread.is_alive()

    def close(self) -> None:
        """Tell history the rest, and finish the file. What is printed after this is not kept."""
        with self._lock:
            self._closed = True
            self._take(self._splitter.close())
            self._flush()
            self._tell_history(self._allowance.close())
            if self._cut:
                notice = f"\n[runherald: {self._cut} bytes are left out here; the last lines:]\n"
                self._room = 1 << 20
                self._write((notice + self._joined()).encode("utf-8", "replace"))
            self._close_file()

    def tail(self) -> str:
        """Return the last lines, as many as the trace of an error may have characters."""
        with self._lock:
            return self._joined()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # a terminal's end, or a descriptor that is gone
            while chunk := os.read(self._source, _CHUNK):
                with self._lock:
                    if self._closed:
                        break
                    self._write(chunk)
                    self._take(self._splitter.feed(chunk))
                    if self._waiting_size >= _HISTORY_BYTES:
                        self._flush()
                self._pass_on(chunk)
        os.close(self._source)

    def _pass_on(self, chunk: bytes) -> None:
        self._passing = True
        rest = memoryview(chunk)
        while self._passed_to is not None and rest:
            try:
                rest = rest[os.write(self._passed_to, rest) :]
            except BlockingIOError:  # somebody who shares the terminal made it so
                select.select([], [self._passed_to], [], 1.0)
            except OSError as error:
                self._passed_to = None
                _log.warning("console_not_passed_on reason=%r: the program goes on, and its run keeps what it prints", str(error))
        self._passing = False

    def _write(self, chunk: bytes) -> None:
        if self._file is None:
            return
        kept = chunk[: self._room]
        try:
            rest = memoryview(kept)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            _log.warning("console_not_kept file=%s reason=%r: history has its lines all the same", self._path, str(error))
            self._close_file()
        self._room -= len(kept)
        self._cut += len(chunk) - len(kept)

    def _take(self, lines: list[str]) -> None:
        if not lines:
            return
        size = sum(map(len, lines)) + len(lines)
        self._waiting += lines
        self._waiting_size += size
        self._tail.extend(lines)
        self._tail_size += size
        while self._tail_size > allowed().stack_trace and len(self._tail) > 1:
            self._tail_size -= len(self._tail.popleft()) + 1

    def _flush(self) -> None:
        lines, self._waiting, self._waiting_size = self._waiting, [], 0
        if lines:
            self._tell_history(self._allowance.admit(lines, self._monotonic()))

    def _tell_history(self, lines: list[str]) -> None:
        if not lines or self._tell is None:
            return
        try:
            self._tell(lines)
        except RunheraldError as error:  # the program would wait at its pipe for ever if nobody read it
            self._tell = None
            _log.warning("console_not_told reason=%r: the run's file has it", str(error))

    def _joined(self) -> str:
        return "".join(f"{line}\n" for line in self._tail)

    def _opened(self) -> int | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            _log.warning("console_not_kept file=%s reason=%r: history has its lines all the same", self._path, str(error))
            return None

    def _close_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # the last of it may not have reached a full disk, which was said
                os.close(file)
