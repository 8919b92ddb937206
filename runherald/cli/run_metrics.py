"""`runherald run metrics`: what a run measured."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from runherald.cli.grid import Grid, Head
from runherald.cli.options import add_server, client_of
from runherald.cli.output import add_output, print_answer
from runherald.cli.words import brief, number
from runherald.clock import from_micros

if TYPE_CHECKING:
    from runherald.api import MetricSeries
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `metrics`."""
    parser = commands.add_parser(
        "metrics", help="what a run measured", description="Print a run's metrics: a summary as a table, every point in the other formats."
    )
    parser.add_argument("run_id", metavar="RUN", help="id, as `runherald run list` shows it")
    parser.add_argument("name", nargs="?", default="", metavar="METRIC", help="only this one")
    parser.add_argument("-r", "--recursive", action="store_true", help="and those of its children")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=show_metrics)


def show_metrics(args: argparse.Namespace) -> int:
    """Print the metrics of a run."""
    with client_of(args) as client:
        metrics = client.metrics(args.run_id, name=args.name, recursive=args.recursive)
    print_answer(args, list(_points(metrics)), table=lambda: _summary(metrics, with_run=args.recursive))
    return 0


def _points(metrics: Sequence[MetricSeries]) -> Iterator[dict[str, Any]]:
    for series in metrics:
        for step, time, value in zip(series.steps, series.times, series.values, strict=True):
            yield {
                "run_id": series.run_id,
                "name": series.name,
                "kind": series.kind,
                "step": step,
                "time": from_micros(time),
                "value": value,
            }


def _summary(metrics: Sequence[MetricSeries], *, with_run: bool) -> Grid:
    heads = [Head("METRIC"), Head("KIND"), *(Head(name, right=True) for name in ("POINTS", "LAST", "STEP", "LEAST", "MOST"))]
    rows = [_row(series) for series in metrics]
    if with_run:
        heads.insert(0, Head("RUN", keep=True))
        rows = [[series.run_id, *row] for series, row in zip(metrics, rows, strict=True)]
    return Grid(heads=heads, rows=rows, note="" if metrics else "no metrics")


def _row(series: MetricSeries) -> list[str]:
    numbers = [float(value) for value in series.values if isinstance(value, int | float)] if series.kind == "scalar" else []
    return [
        series.name,
        series.kind,
        str(len(series.values)),
        brief(series.values[-1]) if series.values else "",
        str(series.steps[-1]) if series.steps else "",
        number(min(numbers)) if numbers else "",
        number(max(numbers)) if numbers else "",
    ]
