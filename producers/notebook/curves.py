"""Curves with fewer points, that still show what the whole ones do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from runherald.charts import ChartCurve


def thinned(curve: ChartCurve, most: int) -> ChartCurve:
    """Return a curve of about `most` points at the most: the first, the last, the least and the greatest of each part between them.

    A part without a finite value stays as one gap.
    """
    count = len(curve.steps)
    if count <= most:
        return curve
    kept = sorted({0, count - 1, *(place for part in _parts(count, max(1, most // 2)) for place in _extremes(curve.values, part))})
    return ChartCurve(
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
