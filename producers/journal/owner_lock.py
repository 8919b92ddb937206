"""A lock on a file that the operating system lets go when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


class OwnerLock:
    """Holds a file locked against other processes until it is released or the process ends.

    Args:
        create: make the file if it is not there. Who only looks at a file that its owner may take away is not to bring it back.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be opened, or the file system has no locks.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock(self._descriptor)
        except OSError:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let go. In a forked child this closes the child's copy alone: the parent goes on holding the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # somebody closed all that was open: the lock is gone with it
                os.close(descriptor)


def is_held(path: Path) -> bool:
    """Say whether a living process holds the lock on a file; of one that is not there, or that cannot be locked, nobody does."""
    try:
        OwnerLock(path, create=False).release()
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from None
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
