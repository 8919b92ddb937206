"""What the widget shows of a run: bounded, whatever a run holds, and the same words as the run's page."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from runherald import status_words
from runherald.api import LogLineView, RunPage, RunView
from runherald.charts import Chart, ChartCurve, ChartRun, Charts, Figures
from runherald.events import DebugInfo, ErrorEnvelope, PathStep, RootError
from runherald.producers.notebook import picture as bounds
from runherald.producers.notebook.curves import thinned
from runherald.producers.notebook.picture import is_final, picture_of
from runherald.producers.notebook.reading import LINES, LoggedObject, Reading
from runherald.producers.notebook.summary import summary_of
from runherald.sinks.metric_queries import Curve
from runherald.status import Cause, Status
from runherald.studio.charts import charts_of

URL = "http://127.0.0.1:7460"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def run(status: str = "Running", run_id: str = "r1", **more: object) -> RunView:
    view = RunView(run_id=run_id, workspace="w", experiment_name="digits & more", status=status, start_time=START)
    return replace(view, **more)


def curve(values: list[float | None], run_id: str = "r1") -> ChartCurve:
    return ChartCurve(run_id=run_id, label=run_id, steps=list(range(len(values))), values=values)


def figures(name: str, last: float | None = 1.0) -> Figures:
    return Figures(name=name, last=last, least=last, greatest=last, points=1)


def test_a_run_is_told_with_links_times_and_what_it_carries() -> None:
    view = run(display_name="first", params={"lr": "0.1"}, tags={"team": "red", "flag": None}, attempt=2, script_name="train.py")
    shown = picture_of(Reading(view=view), URL).run
    assert (shown.name, shown.status.words, shown.status.kind, shown.ended) == ("first", "Running", "running", False)
    assert (shown.page, shown.experiment_page) == (f"{URL}/runs/r1", f"{URL}/?experiment=digits%20%26%20more")
    assert (shown.started, shown.ended_time, shown.duration) == ("2026-03-01T12:00:00.000+00:00", "", "")
    assert shown.facts == {"Attempt": "2", "Script": "train.py", "Run id": "r1"}
    assert shown.pairs == {"Parameters": {"lr": "0.1"}, "Tags": {"flag": None, "team": "red"}}
    assert shown.verdict is None


def test_while_nothing_happens_the_picture_of_a_running_run_stays_the_same() -> None:
    now = Reading(view=run(duration_seconds=10.0, last_seen=START))
    later = Reading(view=run(duration_seconds=11.5, last_seen=START + timedelta(seconds=1.5)))
    assert picture_of(now, URL) == picture_of(later, URL)


def test_a_failure_is_told_with_its_traceback() -> None:
    debug = DebugInfo(type="ValueError", message="no", stack_trace="first\n" + "x" * bounds.TRACE_LENGTH + "\nlast")
    error = ErrorEnvelope(error=RootError(message="no such shape", debug_info=debug))
    verdict = picture_of(Reading(view=run("Failed", error=error, cause="code_error", claimed=True)), URL).run.verdict
    assert verdict is not None
    assert (verdict.why, verdict.reason, verdict.claimed) == ("an error in its code", "ValueError: no such shape", True)
    assert verdict.trace.endswith("last")
    assert len(verdict.trace) == bounds.TRACE_LENGTH


def test_however_much_a_run_holds_its_picture_is_bounded_and_says_what_is_left_out() -> None:
    long = curve([math.sin(step / 50) for step in range(800)])
    charts = [Chart(name=f"m{number}", curves=[replace(long, run_id=f"c{run}") for run in range(13)]) for number in range(60)]
    drawing = Charts([ChartRun("r1", "r1")], charts, 7, [figures(f"m{number}") for number in range(500)], 3)
    view = run(
        tags={f"t{number:03}": "x" * 1_000 for number in range(150)},
        path=[PathStep(status=Status.RUNNING, time=START) for _ in range(1_000)],
        description="d" * 5_000,
    )
    children = RunPage(runs=[run(run_id=f"c{number}", message="m" * 3_000) for number in range(100)], next="more")
    lines = [LogLineView(file="f", number=number, time=number, text="y" * 100_000) for number in range(LINES)]
    reading = Reading(view=view, drawing=drawing, children=children, child_counts={"Running": 9_000}, lines=lines)
    shown = picture_of(reading, URL)
    assert (len(shown.charts.charts), shown.charts.left) == (bounds.CHARTS, 48 + 7)
    points = sum(len(one.steps) for chart in shown.charts.charts for one in chart.curves)
    assert points <= bounds.POINTS + 2 * 13 * bounds.CHARTS
    assert {chart.note for chart in shown.charts.charts} == {"the extremes are drawn"}
    assert (len(shown.figures.rows), shown.figures.left) == (bounds.FIGURES, 500 - bounds.FIGURES + 3)
    assert (len(shown.run.pairs["Tags"]), shown.run.pairs_left) == (bounds.PAIRS, {"Tags": 50})
    assert (len(shown.run.steps), shown.run.steps_before) == (bounds.STEPS, 1_000 - bounds.STEPS)
    assert (len(shown.children.rows), shown.children.total, shown.children.more) == (100, 9_000, True)
    assert len(shown.log.lines) == LINES
    assert len(msgspec.json.encode(shown)) < 1_500_000


def test_thinning_keeps_ends_extremes_and_gaps() -> None:
    values: list[float | None] = [0.0] * 10_000
    values[1_234], values[7_777], values[-1] = 99.0, -99.0, 5.0
    values[4_000:6_000] = [None] * 2_000
    drawn = thinned(curve(values), 100)
    assert len(drawn.steps) == len(drawn.values) <= 102
    assert (drawn.steps[0], drawn.steps[-1], drawn.values[-1]) == (0, 9_999, 5.0)
    assert dict(zip(drawn.steps, drawn.values, strict=True)).items() >= {1_234: 99.0, 7_777: -99.0}.items()
    assert drawn.steps == sorted(drawn.steps)
    assert None in drawn.values
    assert thinned(drawn, 200) is drawn


def test_children_are_counted_by_status_without_the_run_itself_and_deleted_ones() -> None:
    failed = run("Failed", "c2", message="no memory\nat all", end_time=START + timedelta(seconds=65), duration_seconds=65.0)
    runs = [run(run_id="c3"), failed, run("Completed", "c1", message="well done"), run(), run(run_id="c0", life="Deleted")]
    shown = picture_of(Reading(view=run(), children=RunPage(runs=runs)), URL).children
    assert [(child.name, child.why, child.duration, child.running) for child in shown.rows] == [
        ("c3", "", "", True),
        ("c2", "no memory", "1m 05s", False),
        ("c1", "", "", False),
    ]
    assert shown.total == 3
    assert {one.status.words: one.count for one in shown.counts} == {"Running": 1, "Failed": 1, "Completed": 1}
    assert not shown.more


def test_numbers_and_texts_stand_in_one_table() -> None:
    drawing = Charts(figures=[figures("loss", 0.123456789), figures("broken", None)])
    objects = [LoggedObject("note", "text", 2, "fine"), LoggedObject("cm", "confusion_matrix", 1, "{...}")]
    rows = picture_of(Reading(view=run(), drawing=drawing, objects=objects), URL).figures.rows
    assert [(row.name, row.kind, row.last) for row in rows] == [
        ("loss", "", "0.123457"),
        ("broken", "", "–"),
        ("note", "text", "fine"),
        ("cm", "confusion_matrix", ""),
    ]


def test_what_the_server_draws_is_what_the_widget_reads() -> None:
    found = Curve(run_id="r1", name="loss", steps=[0, 1], values=[2.0, None], last=None, least=2.0, greatest=2.0, points=2, nonfinite=1)
    single = Curve(run_id="r1", name="best", steps=[0], values=[0.9], last=0.9, least=0.9, greatest=0.9, points=1)
    other = replace(single, run_id="child")
    charts = charts_of([run(), run(run_id="child")], [found, single, other])
    drawing = msgspec.json.decode(msgspec.json.encode(charts), type=Charts)
    assert msgspec.to_builtins(drawing) == msgspec.to_builtins(charts)
    assert [(one.name, one.last, one.points) for one in drawing.figures] == [("loss", None, 2), ("best", 0.9, 1)]


@pytest.mark.parametrize("status", ["", *Status, "Another"])
def test_a_status_has_the_words_and_the_look_of_the_pages(status: str) -> None:
    shown = picture_of(Reading(view=run(status)), URL).run.status
    assert (shown.words, shown.kind) == (status_words.status_name(status), status_words.status_kind(status))


@pytest.mark.parametrize("cause", [*Cause, "some_other"])
def test_a_cause_has_the_words_of_the_pages(cause: str) -> None:
    verdict = picture_of(Reading(view=run("Failed", cause=cause)), URL).run.verdict
    assert verdict is not None
    assert verdict.why == status_words.cause_in_words(cause) != ""


def test_a_claim_is_not_final() -> None:
    assert is_final(run("Failed"))
    assert not is_final(run("Failed", claimed=True))
    assert not is_final(run("CancelRequested"))


def test_a_summary_for_a_terminal() -> None:
    view = run("Failed", display_name="first", message="no memory", cause="out_of_memory", end_time=START, duration_seconds=65.0)
    children = RunPage(runs=[run("Completed", "c1", end_time=START, duration_seconds=3.0)])
    loss = Figures(name="loss", last=0.5, least=0.25, greatest=2.0, points=1_000)
    objects = [LoggedObject("note", "text", 1, "fine")]
    reading = Reading(view=view, drawing=Charts(figures=[loss, figures("best", 0.9)]), children=children, objects=objects)
    assert summary_of(picture_of(reading, URL)).splitlines() == [
        "first (digits & more): Failed, 1m 05s",
        "  it ran out of memory: no memory",
        "  loss: 0.5 (least 0.25, greatest 2, 1,000 points)",
        "  best: 0.9",
        "  note: fine",
        "  1 children: 1 completed",
        "    c1: Completed 3.00 s",
        f"  {URL}/runs/r1",
    ]
