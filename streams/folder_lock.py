"""A data folder has one server: a lock file, held as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from runherald.streams.errors import FolderHeld

LOCK_FILE = "lock"


class FolderLock:
    """Holds a folder. The kernel lets go when the process dies, however it dies.

    Raises:
        FolderHeld: another process holds it; the message names the folder and that process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise FolderHeld(
                f"data: another server (process {holder}) holds the folder {folder.resolve()}; stop it, or give another folder"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two servers each lock a file of that name."""
        os.close(self._descriptor)
