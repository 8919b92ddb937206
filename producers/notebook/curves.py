"""What the charts of a run's page draw, as the server answers it, and curves with fewer points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct


class DrawnRun(Struct, frozen=True):
    """A run that has a curve somewhere; its place decides the colour."""

    run_id: str
    label: str


class DrawnCurve(Struct, frozen=True, kw_only=True):
    """A metric of one run, in order of step; what is not finite is None."""

    run_id: str
    label: str
    steps: list[int]
    values: list[float | None]


class DrawnChart(Struct, frozen=True, kw_only=True):
    """The curves of one metric. `note` says what is not to be seen."""

    name: str
    curves: list[DrawnCurve]
    note: str = ""


class Figures(Struct, frozen=True, kw_only=True):
    """A metric of the run itself in numbers; None where none is finite."""

    name: str
    last: float | None
    least: float | None
    greatest: float | None
    points: int


class Drawing(Struct, frozen=True):
    """All of it, by name: `GET /runs/{run_id}/charts`. `more` and `more_figures` count what the server left out."""

    runs: list[DrawnRun] = []
    charts: list[DrawnChart] = []
    more: int = 0
    figures: list[Figures] = []
    more_figures: int = 0


def thinned(curve: DrawnCurve, most: int) -> DrawnCurve:
    """Return a curve of about `most` points at the most: the first, the last, the least and the greatest of each part between them.

    A part without a finite value stays as one gap.
    """
    count = len(curve.steps)
    if count <= most:
        return curve
    kept = sorted({0, count - 1, *(place for part in _parts(count, max(1, most // 2)) for place in _extremes(curve.values, part))})
    return DrawnCurve(
        run_id=curve.run_id,
        label=curve.label,
        steps=[curve.steps[place] for place in kept],
        values=[curve.values[place] for place in kept],
    )


def _parts(count: int, parts: int) -> Iterator[range]:
    ends = [count * part // parts for part in range(parts + 1)]
    return (range(first, last) for first, last in pairwise(ends) if first < last)


def _extremes(values: Sequence[float | None], part: range) -> tuple[int, ...]:
    finite = [(value, place) for place in part if (value := values[place]) is not None]
    return (min(finite)[1], max(finite)[1]) if finite else (part.start,)
