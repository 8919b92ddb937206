"""How much memory processes hold, over a while, and whether it grows."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

MIB = 1024
"""Kilobytes of one."""
SHARE = 0.05
"""Of what a process holds: a growth below it is its allocator's business."""


class Sample(NamedTuple):
    """What a process held (MiB) so many seconds after the beginning."""

    seconds: float
    resident: float


class Track(Struct):
    """The samples of one process, in their order."""

    name: str
    samples: list[Sample]

    @property
    def second_half(self) -> list[Sample]:
        """The samples of the second half of the time: by then everything is as full as it gets."""
        middle = (self.samples[0].seconds + self.samples[-1].seconds) / 2
        return [sample for sample in self.samples if sample.seconds >= middle]

    @property
    def per_minute(self) -> float:
        """MiB a minute, by the line that fits the second half best."""
        return slope(self.second_half) * 60

    def grows(self, floor: float) -> bool:
        """Say whether the second half brought more than `floor` MiB, and more than the share, by that line."""
        half = self.second_half
        brought = slope(half) * (half[-1].seconds - half[0].seconds)
        return brought > max(floor, SHARE * statistics.median(sample.resident for sample in half))


def slope(samples: Sequence[Sample]) -> float:
    """Return the slope of the line that fits the samples best (least squares), in MiB a second."""
    return statistics.linear_regression([each.seconds for each in samples], [each.resident for each in samples]).slope


def sample(tracks: Mapping[str, Track], processes: Mapping[str, int], seconds: float) -> None:
    """Add what each process holds now; one that has ended adds nothing."""
    for name, pid in processes.items():
        with contextlib.suppress(OSError, StopIteration):
            tracks[name].samples.append(Sample(seconds, resident(pid)))


def resident(pid: int) -> float:
    """Return what a process holds, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / MIB


def children(pid: int) -> list[int]:
    """Return the processes that a process has begun, the oldest first."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def table(tracks: Iterable[Track], floor: float, judged: Iterable[str]) -> list[str]:
    """Return the tracks as lines of a table."""
    lines = ["| process | start | half | end | most (MiB) | slope of the second half (MiB a minute) | |", "|---|---|---|---|---|---|---|"]
    for track in tracks:
        first, half, last = track.samples[0].resident, track.second_half[0].resident, track.samples[-1].resident
        most = max(each.resident for each in track.samples)
        verdict = ("grows" if track.grows(floor) else "flat") if track.name in judged else "not ours"
        lines.append(f"| {track.name} | {first:.0f} | {half:.0f} | {last:.0f} | {most:.0f} | {track.per_minute:+.2f} | {verdict} |")
    return lines
