"""What the widget shows of a run, in bounds: made of what was read, without a look at anything else.

A run has no end of points, lines and children; a picture is sent to the browser and kept in the notebook, so it has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from msgspec import Struct

from runherald.api import RunView
from runherald.charts import Chart, ChartRun, Figures
from runherald.durations import short_duration
from runherald.producers.notebook.curves import thinned
from runherald.producers.notebook.reading import CHILDREN, LINES, LoggedObject, Reading
from runherald.producers.texts import cut
from runherald.status import TERMINAL
from runherald.status_words import cause_in_words, status_kind, status_name

CHARTS = 12
POINTS = 24_000
CURVE_POINTS = 400
FIGURES = 60
STEPS = 40
PAIRS = 100
TEXT_LENGTH = 300
LINE_LENGTH = 2_000
TRACE_LENGTH = 16_000


class StatusView(Struct, frozen=True, kw_only=True):
    """A status in words, and its look."""

    kind: str
    words: str


class Step(Struct, frozen=True, kw_only=True):
    """A status on the run's way and when it came, as ISO 8601."""

    status: StatusView
    time: str
    attempt: int


class Verdict(Struct, frozen=True, kw_only=True):
    """Why the run is as it is. `trace` keeps the end when it is cut."""

    why: str
    reason: str
    claimed: bool
    trace: str


class RunPart(Struct, frozen=True, kw_only=True):
    """What the run is and how it is doing. Times are ISO 8601, empty where there is none."""

    run_id: str
    name: str
    page: str
    experiment: str
    experiment_page: str
    description: str
    status: StatusView
    ended: bool
    attempt: int
    started: str
    ended_time: str
    duration: str
    facts: dict[str, str]
    verdict: Verdict | None
    steps: list[Step]
    steps_before: int
    pairs: dict[str, dict[str, str | None]]
    pairs_left: dict[str, int]


class ChartPart(Struct, frozen=True, kw_only=True):
    """The charts, and how many metrics are not drawn."""

    runs: list[ChartRun]
    charts: list[Chart]
    left: int


class FigureRow(Struct, frozen=True, kw_only=True):
    """A metric as a row of texts. `kind` is that of an object; empty for numbers."""

    name: str
    kind: str
    last: str
    least: str
    greatest: str
    times: int


class FigurePart(Struct, frozen=True, kw_only=True):
    """The metrics in figures, and how many are left out."""

    rows: list[FigureRow]
    left: int


class ChildRow(Struct, frozen=True, kw_only=True):
    """A child as a row."""

    name: str
    page: str
    status: StatusView
    started: str
    duration: str
    running: bool
    why: str


class CountedStatus(Struct, frozen=True, kw_only=True):
    """How many children have a status."""

    status: StatusView
    count: int


class ChildPart(Struct, frozen=True, kw_only=True):
    """The newest children, newest first, and all of them by status. `more` is whether there are others; `page` lists them."""

    rows: list[ChildRow]
    counts: list[CountedStatus]
    total: int
    more: bool
    page: str


class LogPart(Struct, frozen=True, kw_only=True):
    """The last lines, each with whether it is of stderr."""

    lines: list[tuple[str, bool]]
    more: bool


class Picture(Struct, frozen=True, kw_only=True):
    """What the widget shows, in parts that change apart from each other."""

    run: RunPart
    charts: ChartPart
    figures: FigurePart
    children: ChildPart
    log: LogPart


def picture_of(reading: Reading, url: str) -> Picture:
    """Return what is to be shown of a reading from the server at `url`."""
    return Picture(
        run=_run(reading.view, url),
        charts=_charts(reading),
        figures=_figures(reading),
        children=_children(reading, url),
        log=LogPart(
            lines=[(cut(line.text, LINE_LENGTH), line.stream == "stderr") for line in reading.lines[-LINES:]],
            more=len(reading.lines) >= LINES,
        ),
    )


def is_final(view: RunView) -> bool:
    """Say whether nothing follows: the run has ended, and that is no claim which the run itself might withdraw."""
    return view.status in TERMINAL and not view.claimed


def page_of(url: str, run_id: str) -> str:
    """Return the address of a run's page."""
    return f"{url}/runs/{quote(run_id, safe='')}"


def _run(view: RunView, url: str) -> RunPart:
    facts = {
        "Attempt": str(view.attempt) if view.attempt > 1 else "",
        "User": view.user,
        "Compute": view.compute_target,
        "Script": view.script_name,
        "Type": view.run_type,
        "Life": view.life if view.life != "Active" else "",
        "Run id": view.run_id,
    }
    pairs: dict[str, Mapping[str, str | None]] = {"Parameters": view.params, "Tags": view.tags, "Properties": view.properties}
    return RunPart(
        run_id=view.run_id,
        name=view.display_name or view.run_id,
        page=page_of(url, view.run_id),
        experiment=view.experiment_name,
        experiment_page=f"{url}/?experiment={quote(view.experiment_name, safe='')}",
        description=cut(view.description, LINE_LENGTH),
        status=_status(view.status),
        ended=view.status in TERMINAL,
        attempt=view.attempt,
        started=_iso(view.start_time or view.created_time),
        ended_time=_iso(view.end_time),
        duration=short_duration(view.duration_seconds) if view.end_time else "",
        facts={name: cut(text, TEXT_LENGTH) for name, text in facts.items() if text},
        verdict=_verdict(view),
        steps=[Step(status=_status(step.status), time=_iso(step.time), attempt=step.attempt) for step in view.path[-STEPS:]],
        steps_before=max(0, len(view.path) - STEPS),
        pairs={title: _pairs(held) for title, held in pairs.items() if held},
        pairs_left={title: len(held) - PAIRS for title, held in pairs.items() if len(held) > PAIRS},
    )


def _verdict(view: RunView) -> Verdict | None:
    error = view.error.error if view.error else None
    if not (error or view.cause or view.claimed or view.message):
        return None
    debug = error.debug_info if error else None
    message = error.message if error else view.message
    reason = f"{debug.type}: {message}" if debug and debug.type and debug.type not in message else message
    return Verdict(
        why=cause_in_words(view.cause),
        reason=cut(reason, LINE_LENGTH),
        claimed=view.claimed,
        trace=debug.stack_trace[-TRACE_LENGTH:] if debug else "",
    )


def _charts(reading: Reading) -> ChartPart:
    drawn = reading.drawing.charts[:CHARTS]
    curves = sum(len(chart.curves) for chart in drawn)
    most = max(2, min(CURVE_POINTS, POINTS // max(1, curves)))
    return ChartPart(
        runs=reading.drawing.runs,
        charts=[Chart(name=one.name, curves=[thinned(curve, most) for curve in one.curves], note=_note(one, most)) for one in drawn],
        left=reading.drawing.more + len(reading.drawing.charts) - len(drawn),
    )


def _note(chart: Chart, most: int) -> str:
    reduced = any(len(curve.steps) > most for curve in chart.curves)
    return chart.note or ("the extremes are drawn" if reduced else "")


def _figures(reading: Reading) -> FigurePart:
    drawing = reading.drawing
    rows = [*map(_number_row, drawing.figures), *map(_object_row, reading.objects)]
    return FigurePart(rows=rows[:FIGURES], left=drawing.more_figures + max(0, len(rows) - FIGURES))


def _number_row(one: Figures) -> FigureRow:
    return FigureRow(
        name=one.name, kind="", last=_number(one.last), least=_number(one.least), greatest=_number(one.greatest), times=one.points
    )


def _object_row(one: LoggedObject) -> FigureRow:
    last = cut(one.last, TEXT_LENGTH) if one.kind == "text" else ""
    return FigureRow(name=one.name, kind=one.kind, last=last, least="", greatest="", times=one.times)


def _children(reading: Reading, url: str) -> ChildPart:
    runs = [run for run in reading.children.runs if run.run_id != reading.view.run_id and run.life != "Deleted"]
    counts = reading.child_counts or Counter(run.status for run in runs)
    return ChildPart(
        rows=[_child(run, url) for run in runs[:CHILDREN]],
        counts=[CountedStatus(status=_status(status), count=count) for status, count in sorted(counts.items(), key=_most_first)],
        total=sum(counts.values()),
        more=bool(reading.children.next) or len(runs) > CHILDREN,
        page=f"{url}/?parent={quote(reading.view.run_id, safe='')}",
    )


def _child(run: RunView, url: str) -> ChildRow:
    error = run.error.error.message if run.error else run.message
    return ChildRow(
        name=run.display_name or run.run_id,
        page=page_of(url, run.run_id),
        status=_status(run.status),
        started=_iso(run.start_time or run.created_time),
        duration=short_duration(run.duration_seconds) if run.end_time else "",
        running=bool(run.start_time) and run.end_time is None and run.status not in TERMINAL,
        why="" if run.status == "Completed" else cut((error or cause_in_words(run.cause)).strip().partition("\n")[0], TEXT_LENGTH),
    )


def _most_first(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]


def _status(status: str) -> StatusView:
    return StatusView(kind=status_kind(status), words=status_name(status))


def _pairs(held: Mapping[str, str | None]) -> dict[str, str | None]:
    first: Sequence[str] = sorted(held)[:PAIRS]
    return {key: None if (text := held[key]) is None else cut(text, TEXT_LENGTH) for key in first}


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.6g}"


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")
