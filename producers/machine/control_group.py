"""What the control group of this process may use and uses, on Linux: a container's limits, which the machine's own figures do not show.

Source: the kernel's documentation of cgroup v2 (`cpu.max`, `cpu.stat`, `memory.max`, `memory.current`, `memory.stat`) and v1
(`cpu.cfs_quota_us`, `cpuacct.usage`, `memory.limit_in_bytes`, `memory.usage_in_bytes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

_NO_LIMIT = 2**60
"""What v1 says where there is none is a number close to 2**63."""


class ControlGroup(Struct, frozen=True, kw_only=True):
    """Limits and use; None where there is no limit, or it cannot be read. The use is of the group that has the limit."""

    cores: float | None = None
    cpu_seconds: float | None = None
    memory_limit: int | None = None
    memory_used: int | None = None


def read_control_group(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> ControlGroup:
    """Return the narrowest limits of this process's groups and those above them."""
    try:
        lines = [line.split(":", 2) for line in proc.read_text().splitlines() if line.count(":") >= 2]
    except OSError:
        return ControlGroup()
    for _, controllers, path in lines:
        if controllers == "" and (root / "cgroup.controllers").exists():
            return _second(list(_upwards(root, path)))
    paths = {name: path for _, controllers, path in lines for name in controllers.split(",")}
    return _first(root, paths)


def _second(groups: list[Path]) -> ControlGroup:
    cores, cpu_group = _narrowest((_quota(_words(group / "cpu.max")), group) for group in groups)
    memory, memory_group = _narrowest((_number(group / "memory.max"), group) for group in groups)
    usage = _statistic(cpu_group / "cpu.stat", "usage_usec") if cpu_group is not None else None
    used = _number(memory_group / "memory.current") if memory_group is not None else None
    cached = _statistic(memory_group / "memory.stat", "inactive_file") if memory_group is not None else None
    return ControlGroup(
        cores=cores,
        cpu_seconds=None if usage is None else usage / 1e6,
        memory_limit=None if memory is None else int(memory),
        memory_used=None if used is None else max(0, int(used) - (cached or 0)),  # what the kernel gives up when asked counts as free
    )


def _first(root: Path, paths: dict[str, str]) -> ControlGroup:
    cores, cpu_group = _narrowest((_first_quota(group), group) for group in _upwards(root / "cpu", paths.get("cpu", "/")))
    memory, memory_group = _narrowest(
        (_below(_number(group / "memory.limit_in_bytes")), group) for group in _upwards(root / "memory", paths.get("memory", "/"))
    )
    usage = _number(root / "cpuacct" / cpu_group.relative_to(root / "cpu") / "cpuacct.usage") if cpu_group is not None else None
    used = _number(memory_group / "memory.usage_in_bytes") if memory_group is not None else None
    cached = _statistic(memory_group / "memory.stat", "total_inactive_file") if memory_group is not None else None
    return ControlGroup(
        cores=cores,
        cpu_seconds=None if usage is None else usage / 1e9,
        memory_limit=None if memory is None else int(memory),
        memory_used=None if used is None else max(0, int(used) - (cached or 0)),
    )


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """Go from a group to the topmost; within a container the path may be the host's, and then only the top is there."""
    group = root / path.lstrip("/")
    while group != root and root in group.parents:
        yield group
        group = group.parent
    yield root


def _narrowest(limits: Iterator[tuple[float | None, Path]]) -> tuple[float | None, Path | None]:
    found = [(limit, group) for limit, group in limits if limit is not None]
    return min(found, key=lambda pair: pair[0]) if found else (None, None)


def _quota(words: list[str]) -> float | None:
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _first_quota(group: Path) -> float | None:
    return _quota([*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")])


def _below(limit: float | None) -> float | None:
    return limit if limit is not None and limit < _NO_LIMIT else None


def _number(path: Path) -> float | None:
    words = _words(path)
    return int(words[0]) if len(words) == 1 and words[0].isdecimal() else None


def _statistic(path: Path, name: str) -> int | None:
    words = _words(path)
    return next((int(value) for key, value in zip(words[::2], words[1::2], strict=False) if key == name and value.isdecimal()), None)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
