"""The journal: what a producer said, kept on the disk before anybody else hears of it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count, islice
from pathlib import Path

from runherald.producers.journal.folder import JournalFolder, JournalHead
from runherald.producers.journal.frames import Frame, frame, scan
from runherald.producers.journal.owner_lock import OwnerLock

SEGMENT_BYTES = 8 * 1024 * 1024
BACKLOG_BYTES = 32 * 1024 * 1024
_RETRY_SECONDS = 5.0
_AT_ONCE = 2_000
"""Records of one write."""

_log = logging.getLogger("runherald.journal")


class Journal:
    """Appends records, one `write` each or many with one, to files that outlive the process. Callers hold `lock` around every call; it
    may be taken again by a signal's handler that interrupts its holder.

    When the disk does not take a record (full, read-only) it is kept in memory, up to `backlog_bytes`, and is sent from there; every few
    seconds the disk is tried again, and takes what is in memory first. `problem` says so, once in the program's log as well. What does not
    fit is counted as `lost`. No method raises for a fault of the disk.

    Attributes:
        next_ordinal: how many records were appended: the ordinal of the next.
    """

    def __init__(
        self,
        home: Path,
        head: JournalHead,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        backlog_bytes: int = BACKLOG_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.head = head
        self.folder = JournalFolder.of(home, head)
        self.lock = threading.RLock()
        self.next_ordinal = 0
        self.lost = 0
        self.problem = ""
        self._segment_bytes = segment_bytes
        self._backlog_bytes = backlog_bytes
        self._monotonic = monotonic
        self._retry_at = 0.0
        self._owner: OwnerLock | None = None
        self._descriptor = -1
        self._path = self.folder.path
        self._healthy = False
        self._size = 0
        self._backlog: deque[tuple[int, bytes]] = deque()
        self._backlog_size = 0
        try:
            self._owner = self.folder.create(head)
            self._open_segment()
            self._healthy = True
        except OSError as error:
            self._failed(error)

    @property
    def on_disk(self) -> bool:
        """Whether the last record went to the disk."""
        return self._healthy

    def append(self, payload: bytes) -> None:
        """Keep a record."""
        ordinal = self.next_ordinal
        self.next_ordinal = ordinal + 1  # first of all: a signal's handler may log in the middle of this, and needs a number of its own
        if not self._healthy and not self._recovered(ordinal):
            self._remember(ordinal, payload)
            return
        data = frame(ordinal, payload)
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._failed(error)
            self._remember(ordinal, payload)
            return
        if written != len(data):
            self._cut_off(written)
            self._remember(ordinal, payload)
            return
        self._size += written
        if self._size >= self._segment_bytes:
            self._rotate()

    def extend(self, payloads: Iterable[bytes]) -> None:
        """Keep records, many with one write. A write that fails, or is cut short, is taken back whole, as of a single record."""
        waiting = iter(payloads)
        while part := list(islice(waiting, _AT_ONCE)):
            ordinal = self.next_ordinal
            self.next_ordinal = ordinal + len(part)
            if not self._healthy and not self._recovered(ordinal):
                self._remember_all(ordinal, part)
                continue
            data = b"".join(map(frame, count(ordinal), part))
            try:
                written = os.write(self._descriptor, data)
            except OSError as error:
                self._failed(error)
                self._remember_all(ordinal, part)
                continue
            if written != len(data):
                self._cut_off(written)
                self._remember_all(ordinal, part)
                continue
            self._size += written
            if self._size >= self._segment_bytes:
                self._rotate()

    def backlog(self, start: int) -> list[tuple[int, bytes]]:
        """Return the records from an ordinal on that are in memory only."""
        return [(ordinal, payload) for ordinal, payload in self._backlog if ordinal >= start]

    def forget(self, following: int) -> None:
        """Drop records below an ordinal from memory: they are acknowledged."""
        while self._backlog and self._backlog[0][0] < following:
            self._backlog_size -= len(self._backlog.popleft()[1])

    def rescue(self, following: int) -> None:
        """Take the records from an ordinal on into memory if somebody removed or moved their file: open, it outlives its name."""
        if not self._healthy or self._is_in_place():
            return
        last = [found for found in scan(self._content()) if isinstance(found, Frame)]
        self.lost += max(0, (last[0].ordinal if last else self.next_ordinal) - following)
        for found in last:
            if found.ordinal >= following:
                self._remember(found.ordinal, found.payload)
        self.close()
        self._failed(FileNotFoundError(errno.ENOENT, "the journal was removed while it was written"))

    def unload(self) -> int:
        """Write what is in memory to the disk after all; return how many records it does not take."""
        if not self._backlog:
            return 0
        self._retry_at = self._monotonic() + _RETRY_SECONDS  # a signal's handler that logs meanwhile does not begin the same
        self._close_segment()
        try:
            if self._owner is None:
                self._owner = self.folder.create(self.head)
            self._open_segment(self._backlog[0][0])
            while self._backlog:
                data = frame(*self._backlog[0])
                written = os.write(self._descriptor, data)
                if written != len(data):
                    self._cut_off(written)
                    break
                self._size += written
                self.forget(self._backlog[0][0] + 1)
        except OSError as error:
            self._failed(error)
        return len(self._backlog)

    def close(self) -> None:
        """Close the files and let go of the lock; the journal stays."""
        self._healthy = False
        self._close_segment()
        if self._owner is not None:
            self._owner.release()
            self._owner = None

    def _recovered(self, ordinal: int) -> bool:
        """Say whether the disk may be written to again: some time has passed, it took what is in memory, and the files open."""
        if self._monotonic() < self._retry_at or self.unload() or not self._reopen(ordinal):
            return False
        _log.info("journal_on_disk_again path=%s", self.folder.path)
        self.problem = ""
        self._healthy = True
        return True

    def _reopen(self, ordinal: int) -> bool:
        try:
            if self._owner is None:
                self._owner = self.folder.create(self.head)
            if self._descriptor < 0:
                self._open_segment(ordinal)  # of the record that comes now: what is below a segment's name counts as missing
        except OSError as error:
            self._failed(error)
            return False
        return True

    def _open_segment(self, first: int | None = None) -> None:
        self._path = path = self.folder.segment(self.next_ordinal if first is None else first)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _close_segment(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # a script that makes itself a daemon closes what is open, ours as well
                os.close(descriptor)

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))  # noqa: PTH116
        except FileNotFoundError:
            return False

    def _content(self) -> bytes:
        os.lseek(self._descriptor, 0, os.SEEK_SET)  # writes go to the end all the same
        return b"".join(iter(lambda: os.read(self._descriptor, 1024 * 1024), b""))

    def _rotate(self) -> None:
        full = self._descriptor
        try:
            self._open_segment()
        except OSError as error:
            self._failed(error)
            return
        os.close(full)

    def _cut_off(self, written: int) -> None:
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._size += written
        self._failed(OSError("the disk took a part of a record only"))

    def _remember_all(self, first: int, payloads: Sequence[bytes]) -> None:
        for ordinal, payload in enumerate(payloads, first):
            self._remember(ordinal, payload)

    def _remember(self, ordinal: int, payload: bytes) -> None:
        if self._backlog_size + len(payload) > self._backlog_bytes:
            if not self.lost:
                _log.error("journal_full run=%s kept_bytes=%d: records are lost from here on", self.head.run_id, self._backlog_size)
            self.lost += 1
            return
        self._backlog.append((ordinal, payload))
        self._backlog_size += len(payload)

    def _failed(self, error: OSError) -> None:
        self._healthy = False
        self._retry_at = self._monotonic() + _RETRY_SECONDS
        if not self.problem:
            _log.warning(
                "journal_not_on_disk path=%s reason=%r: kept in memory, which a kill loses; free space, or set RUNHERALD_HOME",
                self.folder.path,
                error.strerror or str(error),
            )
        self.problem = f"{self.folder.path}: {error.strerror or error}; records are kept in memory until the disk takes them"
