"""A measured figure, the machine it was measured on, and the table of figures."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

_PACKAGES = ("runherald", "chdb", "clickhouse-connect", "faust-streaming", "aiokafka", "msgspec", "numpy")


class Figure(Struct, frozen=True):
    """One figure: the median of some rounds.

    Attributes:
        budget: what it should be at most (at least where `more_is_better`), or None where nothing was said.
        low, high: the smallest and the largest round.
    """

    name: str
    value: float
    unit: str
    budget: float | None = None
    note: str = ""
    low: float | None = None
    high: float | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better than the budget: below 1 it is missed."""
        if self.budget is None or not self.value:
            return None
        return self.value / self.budget if self.more_is_better else self.budget / self.value


def of_rounds(
    name: str, rounds: Sequence[float], unit: str, budget: float | None = None, *, note: str = "", more_is_better: bool = False
) -> Figure:
    """Return the figure of some rounds' values."""
    return Figure(name, statistics.median(rounds), unit, budget, note, min(rounds), max(rounds), more_is_better)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of some values by nearest rank."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def machine() -> str:
    """Return what this machine is: processor, cores, memory, load, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = "/".join(f"{each:.1f}" for each in os.getloadavg())
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load}\n"
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}\n{packages}"
    )


def lines(figures: Iterable[Figure]) -> Iterable[str]:
    """Give the lines of the table of figures, in Markdown."""
    yield "| figure | median | min-max | budget | stands at | note |"
    yield "|---|--:|--:|--:|--:|---|"
    for each in figures:
        spread = "" if each.low is None or each.high is None else f"{_short(each.low)}-{_short(each.high)}"
        budget = "" if each.budget is None else f"{'≥' if each.more_is_better else '≤'} {_short(each.budget)}"
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}×"
        yield f"| {each.name} | {_short(each.value)} {each.unit} | {spread} | {budget} | {ratio} | {each.note} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), platform.machine())
