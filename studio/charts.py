"""What a run's page draws: a chart for each metric, a curve for each run."""

from __future__ import annotations

from collections.abc import Sequence

from runherald.api import RunView
from runherald.charts import Chart, ChartCurve, ChartRun, Charts, Figures
from runherald.sinks.metric_queries import Curve
from runherald.studio.words import run_name

MAX_CHARTS = 60
MAX_FIGURES = 500


def charts_of(runs: Sequence[RunView], curves: Sequence[Curve]) -> Charts:
    """Return the charts of a run, which stands first, and its children. A metric with a single point each is a number and no chart."""
    labels = {run.run_id: run_name(run) for run in runs}
    by_name: dict[str, list[Curve]] = {}
    for curve in curves:
        by_name.setdefault(curve.name, []).append(curve)
    drawn = [_chart(name, own, labels) for name, own in sorted(by_name.items()) if any(curve.points > 1 for curve in own)]
    shown = {curve.run_id for chart in drawn for curve in chart.curves}
    figures = [_figures(curve) for curve in curves if runs and curve.run_id == runs[0].run_id]
    return Charts(
        [ChartRun(run_id, label) for run_id, label in labels.items() if run_id in shown],
        drawn[:MAX_CHARTS],
        max(0, len(drawn) - MAX_CHARTS),
        figures[:MAX_FIGURES],
        max(0, len(figures) - MAX_FIGURES),
    )


def _figures(curve: Curve) -> Figures:
    return Figures(name=curve.name, last=curve.last, least=curve.least, greatest=curve.greatest, points=curve.points)


def _chart(name: str, curves: Sequence[Curve], labels: dict[str, str]) -> Chart:
    notes = []
    nonfinite = sum(curve.nonfinite for curve in curves)
    if nonfinite:
        notes.append(f"{nonfinite} {'point is' if nonfinite == 1 else 'points are'} NaN or infinite")
    if any(curve.reduced for curve in curves):
        notes.append(f"{sum(curve.points for curve in curves):,} points; the extremes are drawn")
    return Chart(
        name=name,
        curves=[ChartCurve(run_id=curve.run_id, label=labels[curve.run_id], steps=curve.steps, values=curve.values) for curve in curves],
        note="; ".join(notes),
    )
