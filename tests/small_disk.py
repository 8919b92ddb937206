"""A disk of its own for a drill, that can be made full at a moment: a tmpfs, where this process may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_SIZE = 4 * 2**30
_TRIES = 100


class SmallDisk:
    """A folder on a tmpfs. `fill` leaves no byte free; `empty` gives the room back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    def mount(self) -> bool:
        """Mount it, and say whether that could be done: it takes root and `mount`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mount = shutil.which("mount")
        if mount is None or os.geteuid() != 0:
            return False
        self.mounted = _run(mount, "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(self.folder))
        return self.mounted

    def fill(self) -> None:
        """Shrink it to what it holds."""
        for _ in range(_TRIES):
            held = os.statvfs(self.folder)
            # It may grow between our look and the mount, which then says no.
            if self._resize((held.f_blocks - held.f_bfree) * held.f_frsize):
                return
        raise AssertionError(f"{self.folder} grows too fast to be made full")

    def empty(self) -> None:
        """Make room again."""
        assert self._resize(_SIZE), f"{self.folder} cannot be made larger again"

    def unmount(self) -> None:
        """Take it away, with all that is on it."""
        if self.mounted:
            _run("umount", "--lazy", str(self.folder))
            self.mounted = False

    def _resize(self, size: int) -> bool:
        return _run("mount", "-o", f"remount,size={size}", str(self.folder))


def _run(*arguments: str) -> bool:
    return subprocess.run(arguments, check=False, capture_output=True).returncode == 0
