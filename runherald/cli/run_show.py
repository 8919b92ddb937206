"""`runherald run show`: all that matters of one run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from runherald.cli.grid import Grid, Head, pairs, text
from runherald.cli.options import add_server, client_of
from runherald.cli.output import add_output, print_answer, to_data
from runherald.cli.run_list import runs_grid
from runherald.cli.words import brief, duration, first_line, local_time

if TYPE_CHECKING:
    from runherald.api import MetricSeries, RunView
    from runherald.cli.options import Commands
    from runherald.events import Evidence, PathStep

TRACEBACK_LINES = 20


def register(commands: Commands) -> None:
    """Add `show`."""
    parser = commands.add_parser("show", help="one run", description="Show a run: status, cause, error, its way, metrics, children.")
    parser.add_argument("run_id", metavar="RUN", help="id, as `runherald run list` shows it")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=show_run)


def show_run(args: argparse.Namespace) -> int:
    """Print a run."""
    with client_of(args) as client:
        run = client.get_run(args.run_id)
        metrics = client.metrics(args.run_id)
        children = client.children(args.run_id)
    answer = {**to_data(run), "metrics": {series.name: last_value(series) for series in metrics}, "children": children}
    print_answer(args, answer, table=lambda: _grids(run, metrics, children))
    return 0


def last_value(series: MetricSeries) -> Any:
    """Return the value that a run logged last under a name."""
    return series.values[-1] if series.values else None


def _grids(run: RunView, metrics: Sequence[MetricSeries], children: Sequence[RunView]) -> list[Grid]:
    grids = [_head(run)]
    if run.error is not None:
        grids.append(_error(run))
    if run.path:
        grids.append(_path(run))
    scalars = [series for series in metrics if series.kind in ("scalar", "text")]
    if scalars:
        grids.append(_metrics(scalars))
    for title, mapping in (("Parameters", run.params), ("Properties", run.properties)):
        if mapping:
            grids.append(pairs(sorted(mapping.items()), title))
    if run.tags:
        grids.append(text([key if value is None else f"{key} = {value}" for key, value in sorted(run.tags.items())], "Tags"))
    if children:
        grids.append(runs_grid(children, "Children"))
    return grids


def _head(run: RunView) -> Grid:
    claimed = "a claim of the watcher: it ends when the run is heard of" if run.claimed else ""
    return pairs(
        [
            ("run", run.run_id),
            ("name", run.display_name),
            ("experiment", run.experiment_name),
            ("status", run.status),
            ("", claimed),
            ("cause", run.cause),
            ("message", run.message),
            ("evidence", _evidence(run.evidence) if run.evidence else ""),
            ("attempt", str(run.attempt) if run.attempt > 1 else ""),
            ("parent", run.parent_run_id),
            ("script", run.script_name),
            ("compute", run.compute_target),
            ("user", run.user),
            ("created", local_time(run.created_time)),
            ("started", local_time(run.start_time)),
            ("ended", local_time(run.end_time)),
            ("duration", duration(run.duration_seconds)),
            ("description", first_line(run.description)),
            ("archived", "" if run.life == "Active" else run.life),
        ]
    )


def _evidence(evidence: Evidence) -> str:
    said = (
        f"exit code {evidence.exit_code}" if evidence.exit_code is not None else "",
        f"signal {evidence.signal}" if evidence.signal is not None else "",
        f"on {evidence.host}" if evidence.host else "",
        f"process {evidence.pid}" if evidence.pid is not None else "",
        f"last seen {local_time(evidence.last_seen)}" if evidence.last_seen else "",
        f"lease of {duration(evidence.lease_seconds)}" if evidence.lease_seconds else "",
    )
    return ", ".join(part for part in said if part)


def _error(run: RunView) -> Grid:
    assert run.error is not None
    error = run.error.error
    kind = error.debug_info.type if error.debug_info and error.debug_info.type else error.code
    lines = [f"{kind}: {first_line(error.message)}", *error.message.strip().splitlines()[1:]]
    trace = error.debug_info.stack_trace.rstrip().splitlines() if error.debug_info else []
    if len(trace) > TRACEBACK_LINES:
        lines.append(f"  … {len(trace) - TRACEBACK_LINES} lines before; -o json shows them")
    lines += [f"  {line}" for line in trace[-TRACEBACK_LINES:]]
    return text(lines, "Error")


def _path(run: RunView) -> Grid:
    attempts = any(step.attempt > 1 for step in run.path)
    rows = [
        [
            local_time(step.time),
            step.status.value,
            duration(_stay(step, following, run.end_time)),
            f"attempt {step.attempt}" if attempts else "",
        ]
        for step, following in zip_longest(run.path, run.path[1:])
    ]
    return Grid(heads=(Head("SINCE", keep=True), Head("STATUS", keep=True), Head("FOR", right=True), Head("")), rows=rows, title="Path")


def _stay(step: PathStep, following: PathStep | None, end: datetime | None) -> float | None:
    """Return for how many seconds a run had a status; nothing for the last."""
    until = following.time if following else end
    if until is None or (following is None and end == step.time):
        return None
    return max(0.0, (until - step.time).total_seconds())


def _metrics(metrics: Sequence[MetricSeries]) -> Grid:
    heads = (Head("METRIC"), Head("LAST", right=True), Head("STEP", right=True), Head("POINTS", right=True))
    rows = [
        (series.name, brief(last_value(series)), str(series.steps[-1]) if series.steps else "", str(len(series.values)))
        for series in metrics
    ]
    return Grid(heads=heads, rows=rows, title="Metrics")
