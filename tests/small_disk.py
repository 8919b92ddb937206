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
        self.mounted = not _refusal(mount, "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(self.folder))
        return self.mounted

    def fill(self) -> None:
        """Shrink it to what it holds."""
        refusal = ""
        for _ in range(_TRIES):
            held = os.statvfs(self.folder)
            # It may grow between our look and the mount, which then says no.
            # No size at all would be no limit at all to tmpfs.
            refusal = self._resize(max(1, held.f_blocks - held.f_bfree) * held.f_frsize)
            if not refusal:
                return
        raise AssertionError(f"{self.folder} cannot be made full: {refusal}")

    def empty(self) -> None:
        """Make room again."""
        refusal = self._resize(_SIZE)
        assert not refusal, f"{self.folder} cannot be made larger again: {refusal}"

    def unmount(self) -> None:
        """Take it away, with all that is on it."""
        if self.mounted:
            _refusal("umount", "--lazy", str(self.folder))
            self.mounted = False

    def _resize(self, size: int) -> str:
        return _refusal("mount", "-o", f"remount,size={size}", str(self.folder))


def _refusal(*command: str) -> str:
    """Run a command, and return why it failed; nothing when it did not."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"status {done.returncode}: {done.stderr.strip()}"
