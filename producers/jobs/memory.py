"""How many processes the kernel has killed around here for lack of memory: what tells such a SIGKILL from anybody else's.

Sources: the kernel's `Documentation/admin-guide/cgroup-v2.rst` (memory.events) and `cgroup-v1/memory.rst` (memory.oom_control).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def oom_kills(root: Path = _ROOT) -> int:
    """Return the counter of the nearest cgroup that has one, of this process's and those above it; else the machine's; else 0.

    A group counts those of the groups below it, too. Farther ones would count the neighbours'.
    """
    for path in _counters(root):
        try:
            content = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            continue
        for line in content.splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.isdigit():
                return int(count)
    return 0


def _counters(root: Path) -> Iterator[Path]:
    try:
        groups = root.joinpath("proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # no Linux
        return
    mounts = root / "sys/fs/cgroup"
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if "memory" in controllers.split(","):
            yield from _upwards(mounts / "memory", path, "memory.oom_control")
        elif not controllers:
            yield from _upwards(mounts, path, "memory.events")
            yield from _upwards(mounts / "unified", path, "memory.events")
    yield root / "proc/vmstat"


def _upwards(mount: Path, path: str, file: str) -> Iterator[Path]:
    group = PurePosixPath(path.lstrip("/"))
    for one in (group, *group.parents):
        yield mount / one / file
