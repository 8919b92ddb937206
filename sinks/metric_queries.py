"""Reading metrics: exact series, and curves small enough to draw.

Points are never read with FINAL: exact reads drop repeats with LIMIT BY over the whole key, curves take extremes, which repeats do not
change.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from runherald.api import MetricSeries
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.select import Rows, select

CURVE_BUCKETS = 400
"""A curve of more points than two a bucket is drawn from the least and the greatest of each bucket."""


_STEP_AND_TIME = "toInt128(step) * toInt128('18446744073709551616') + time"
"""One number that is ordered as the two; to compare pairs costs three times as much."""


class Curve(Struct, frozen=True, kw_only=True):
    """A scalar metric for a chart, in order of step; a value that is not finite is None.

    Attributes:
        last: the value of the highest step.
        least, greatest: of the finite values.
        points: how many were logged.
        nonfinite: how many of them are NaN or infinite.
        reduced: not every point is here.
    """

    run_id: str
    name: str
    steps: list[int]
    values: list[float | None]
    last: float | None
    least: float | None
    greatest: float | None
    points: int
    nonfinite: int = 0
    reduced: bool = False


class _Series(NamedTuple):
    run_id: str
    name: str


class _Bounds(NamedTuple):
    first_step: int
    last_step: int
    last: float
    least: float | None
    greatest: float | None
    points: int
    nonfinite: int


class MetricReader:
    """Reads the metrics of runs."""

    def __init__(self, db: HistoryDatabase) -> None:
        self._db = db

    def series(self, run_ids: Sequence[str], name: str = "") -> list[MetricSeries]:
        """Return all that some runs logged, under one name or all, by run in the order given, then by name."""
        parameters = {"runs": list(run_ids), "name": name}
        found = [*self._scalars(parameters), *self._texts_and_objects(parameters)]
        place = {run_id: index for index, run_id in enumerate(run_ids)}
        return sorted(found, key=lambda series: (place[series.run_id], series.name, series.kind))

    def curves(self, run_ids: Sequence[str], buckets: int = CURVE_BUCKETS) -> list[Curve]:
        """Return the scalar metrics of some runs for charts; a long one keeps the least and the greatest value of each bucket of steps."""
        names = self._names({"runs": list(run_ids), "name": ""})
        bounds = {row[0]: _Bounds(*row[1:]) for row in self._bounds(run_ids) if row[0] in names}
        long = [series for series, bound in bounds.items() if bound.points > 2 * buckets]
        points = {
            **self._points([series for series in bounds if series not in set(long)]),
            **self._extremes({series: bounds[series] for series in long}, buckets),
        }
        for series in long:
            last = (bounds[series].last_step, bounds[series].last)
            if points[series][-1:] != [last]:
                points[series].append(last)
        place = {run_id: index for index, run_id in enumerate(run_ids)}
        curves = [
            Curve(
                run_id=names[series].run_id,
                name=names[series].name,
                steps=[step for step, _ in points.get(series, ())],
                values=[_finite(value) for _, value in points.get(series, ())],
                last=_finite(bound.last),
                least=_finite(bound.least),
                greatest=_finite(bound.greatest),
                points=bound.points,
                nonfinite=bound.nonfinite,
                reduced=series in long,
            )
            for series, bound in bounds.items()
        ]
        return sorted(curves, key=lambda curve: (curve.name, place[curve.run_id]))

    def _bounds(self, run_ids: Sequence[str]) -> Rows:
        return select(
            self._db,
            f"SELECT series_id, min(step), max(step), argMax(value, {_STEP_AND_TIME}),"  # noqa: S608 (a constant)
            " minOrNullIf(value, isFinite(value)), maxOrNullIf(value, isFinite(value)), count(), countIf(NOT isFinite(value))"
            " FROM metric_points"
            " WHERE series_id IN (SELECT series_id FROM metric_series WHERE run_id IN {runs:Array(String)}) GROUP BY series_id",
            {"runs": list(run_ids)},
        )

    def _names(self, parameters: Mapping[str, Any]) -> dict[int, _Series]:
        rows = select(
            self._db,
            "SELECT DISTINCT series_id, run_id, name FROM metric_series"
            " WHERE run_id IN {runs:Array(String)} AND ({name:String} = '' OR name = {name:String})",
            parameters,
        )
        return {series: _Series(run_id, name) for series, run_id, name in rows}

    def _scalars(self, parameters: Mapping[str, Any]) -> Iterator[MetricSeries]:
        names = self._names(parameters)
        if not names:
            return
        columns: dict[int, tuple[list[int], list[int], list[Any]]] = defaultdict(lambda: ([], [], []))
        for series, step, time, value in select(
            self._db,
            "SELECT series_id, step, time, value FROM metric_points WHERE series_id IN"
            " (SELECT series_id FROM metric_series WHERE run_id IN {runs:Array(String)} AND ({name:String} = '' OR name = {name:String}))"
            " ORDER BY series_id, step, time LIMIT 1 BY series_id, step, time, value",
            parameters,
        ):
            steps, times, values = columns[series]
            steps.append(step)
            times.append(time)
            values.append(value if math.isfinite(value) else _nonfinite(value))
        for series, (steps, times, values) in columns.items():
            if series in names:
                run_id, name = names[series]
                yield MetricSeries(run_id=run_id, name=name, kind="scalar", steps=steps, times=times, values=values)

    def _texts_and_objects(self, parameters: Mapping[str, Any]) -> Iterator[MetricSeries]:
        rows = select(
            self._db,
            "SELECT run_id, name, kind, step, time, value FROM ("
            "SELECT run_id, name, 'text' AS kind, step, time, text AS value, position FROM metric_texts FINAL"
            " WHERE run_id IN {runs:Array(String)} AND ({name:String} = '' OR name = {name:String})"
            " UNION ALL "
            "SELECT run_id, name, kind, step, time, value, position FROM metric_objects FINAL"
            " WHERE run_id IN {runs:Array(String)} AND ({name:String} = '' OR name = {name:String})"
            ") ORDER BY step, time, position",
            parameters,
        )
        columns: dict[tuple[str, str, str], tuple[list[int], list[int], list[Any]]] = defaultdict(lambda: ([], [], []))
        for run_id, name, kind, step, time, value in rows:
            steps, times, values = columns[run_id, name, kind]
            steps.append(step)
            times.append(time)
            values.append(value if kind == "text" else msgspec.json.decode(value))
        for (run_id, name, kind), (steps, times, values) in columns.items():
            yield MetricSeries(run_id=run_id, name=name, kind=kind, steps=steps, times=times, values=values)

    def _points(self, series: Collection[int]) -> dict[int, list[tuple[int, float]]]:
        points: dict[int, list[tuple[int, float]]] = defaultdict(list)
        if series:
            for one, step, value in select(
                self._db,
                "SELECT series_id, step, value FROM metric_points WHERE series_id IN {series:Array(UInt64)}"
                " ORDER BY series_id, step, time LIMIT 1 BY series_id, step, time, value",
                {"series": list(series)},
            ):
                points[one].append((step, value))
        return points

    def _extremes(self, bounds: Mapping[int, _Bounds], buckets: int) -> dict[int, list[tuple[int, float]]]:
        points: dict[int, list[tuple[int, float]]] = defaultdict(list)
        if bounds:
            # Where a series begins and how wide its buckets are is told by number: a join would cost as much as all else.
            for one, _, least_at, least, greatest_at, greatest in select(
                self._db,
                "WITH transform(series_id, {series:Array(UInt64)}, {first:Array(Float64)}, 0.) AS first,"
                " transform(series_id, {series:Array(UInt64)}, {width:Array(Float64)}, 1.) AS width"
                " SELECT series_id, toInt32(floor((toFloat64(step) - first) / width)) AS bucket,"
                " argMin(step, value), min(value), argMax(step, value), max(value) FROM metric_points"
                " WHERE series_id IN {series:Array(UInt64)} AND isFinite(value) GROUP BY series_id, bucket ORDER BY series_id, bucket",
                {
                    "series": list(bounds),
                    "first": [float(bound.first_step) for bound in bounds.values()],
                    "width": [(float(bound.last_step) - bound.first_step + 1) / buckets for bound in bounds.values()],
                },
            ):
                pair = sorted([(least_at, least), (greatest_at, greatest)])
                points[one] += pair[:1] if pair[0] == pair[1] else pair
        return points


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _nonfinite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
