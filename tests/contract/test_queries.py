"""What readers of history are told, on the real engine and through the real processors."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from runherald.errors import InvalidInput
from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunOutputEvent,
    DebugInfo,
    ErrorEnvelope,
    Event,
    LogLine,
    MetricObject,
    RootError,
    TextPoint,
)
from runherald.records import TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.queries import HistoryReader, RunFile, RunFilter
from runherald.status import Cause, Status
from tests.history_feed import NOW, HistoryFeed, Teller

MINUTE = timedelta(minutes=1)


@pytest.fixture
def feed(history_database: HistoryDatabase) -> HistoryFeed:
    return HistoryFeed(history_database)


@pytest.fixture
def reader(history_database: HistoryDatabase) -> HistoryReader:
    return HistoryReader(history_database, clock=lambda: NOW + 10 * MINUTE)


def test_a_run_is_read_whole(feed: HistoryFeed, reader: HistoryReader) -> None:
    run = Teller("r1")
    error = ErrorEnvelope(error=RootError(message="no", debug_info=DebugInfo(type="ValueError", message="no", stack_trace="Traceback …")))
    feed.add(
        run.created(display_name="first", user="ada", tags={"a": "1", "flag": None}, properties={"p": "q"}, params={"lr": "0.1"}),
        run.status(Status.RUNNING, time=NOW + MINUTE),
        run.status(Status.FAILED, time=NOW + 3 * MINUTE, cause=Cause.CODE_ERROR, message="broke", error=error),
    )
    view = reader.run("r1")
    assert view is not None
    assert (view.status, view.cause, view.message, view.display_name, view.user) == ("Failed", "code_error", "broke", "first", "ada")
    assert view.error == error
    assert view.tags == {"a": "1", "flag": None}
    assert (view.properties, view.params) == ({"p": "q"}, {"lr": "0.1"})
    assert [(step.status, step.time) for step in view.path] == [
        (Status.NOT_STARTED, NOW),
        (Status.RUNNING, NOW + MINUTE),
        (Status.FAILED, NOW + 3 * MINUTE),
    ]
    assert (view.start_time, view.end_time, view.duration_seconds) == (NOW + MINUTE, NOW + 3 * MINUTE, 120.0)


def test_a_run_that_goes_on_has_lasted_until_now(feed: HistoryFeed, reader: HistoryReader) -> None:
    run = Teller("r1")
    feed.add(run.created(), run.status(Status.RUNNING, time=NOW + MINUTE))
    [listed] = reader.runs().runs
    assert listed.duration_seconds == 9 * 60
    assert listed.end_time is None


def test_an_unknown_run_is_none(feed: HistoryFeed, reader: HistoryReader) -> None:
    assert reader.run("nobody") is None
    assert reader.transitions("nobody") == []
    assert reader.metrics("nobody") == []
    assert reader.curves(["nobody"]) == []
    assert reader.children("nobody", recursive=True) == []


def test_the_list_is_newest_first_and_pages_meet_without_gap_or_overlap(feed: HistoryFeed, reader: HistoryReader) -> None:
    # Three share a moment, so that a page ends among equals.
    times = [NOW, NOW, NOW, NOW + MINUTE, NOW + 2 * MINUTE, NOW + 3 * MINUTE, NOW - MINUTE]
    feed.add(*(Teller(f"r{number}").created(time=time) for number, time in enumerate(times)))
    seen: list[str] = []
    cursor = ""
    while True:
        page = reader.runs(cursor=cursor, limit=2)
        seen += [run.run_id for run in page.runs]
        cursor = page.next
        if not cursor:
            break
    assert seen == ["r5", "r4", "r3", "r2", "r1", "r0", "r6"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (RunFilter(), ["child", "b", "a"]),
        (RunFilter(experiment="exp-a"), ["child", "a"]),
        (RunFilter(statuses=("Running",)), ["b"]),
        (RunFilter(statuses=("Running", "NotStarted")), ["child", "b", "a"]),
        (RunFilter(parent="a"), ["child"]),
        (RunFilter(root_only=True), ["b", "a"]),
        (RunFilter(tag="team"), ["b", "a"]),
        (RunFilter(tag="team=red"), ["a"]),
        (RunFilter(tag="team="), []),
        (RunFilter(tag="keep"), ["b"]),
        (RunFilter(life="Archived"), ["old"]),
        (RunFilter(life=""), ["old", "child", "b", "a"]),
        (RunFilter(experiment="' OR 1 = 1 --"), []),
    ],
)
def test_the_list_holds_what_the_filter_says(feed: HistoryFeed, reader: HistoryReader, wanted: RunFilter, found: list[str]) -> None:
    a, b, child, old = Teller("a"), Teller("b"), Teller("child"), Teller("old")
    feed.add(
        a.created("exp-a", tags={"team": "red"}),
        b.created("exp-b", time=NOW + MINUTE, tags={"team": "blue", "keep": None}),
        b.status(Status.RUNNING),
        child.created("exp-a", time=NOW + 2 * MINUTE, parent_run_id="a", root_run_id="a"),
        old.created("exp-c", time=NOW + 3 * MINUTE),
        old.event(AmlRunEvent(operation="Archived")),
    )
    assert [run.run_id for run in reader.runs(wanted).runs] == found


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"wanted": RunFilter(statuses=("Exploded",))}, "status"),
        ({"cursor": "x"}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
    ],
)
def test_what_cannot_be_asked_is_named(reader: HistoryReader, arguments: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        reader.runs(**arguments)  # type: ignore[arg-type]


def test_a_refused_report_stands_after_what_it_came_too_late_for(feed: HistoryFeed, reader: HistoryReader) -> None:
    run, user = Teller("r1"), Teller("r1", producer="studio-1")
    feed.add(
        run.created(),
        run.status(Status.RUNNING),
        run.status(Status.COMPLETED, time=NOW + MINUTE),
        user.status(Status.CANCEL_REQUESTED, time=NOW - MINUTE, actor=Actor(kind="user", name="ada")),
    )
    steps = reader.transitions("r1")
    assert [(step.status, step.accepted) for step in steps] == [
        ("NotStarted", True),
        ("Running", True),
        ("Completed", True),
        ("CancelRequested", False),
    ]
    assert "cannot follow Completed" in steps[-1].reason
    assert steps[-1].actor == "user ada"


def test_children_are_found_at_every_level_and_circles_end(feed: HistoryFeed, reader: HistoryReader) -> None:
    feed.add(
        Teller("top").created(parent_run_id="low"),
        Teller("mid").created(parent_run_id="top", time=NOW + MINUTE),
        Teller("mid2").created(parent_run_id="top", time=NOW),
        Teller("low").created(parent_run_id="mid"),
    )
    assert [run.run_id for run in reader.children("top")] == ["mid2", "mid"]
    assert [run.run_id for run in reader.children("top", recursive=True)] == ["mid2", "mid", "low"]


def test_pages_of_a_family_meet_without_gap_or_overlap(feed: HistoryFeed, reader: HistoryReader) -> None:
    def run(run_id: str, parent: str, minutes: int) -> Event:
        return Teller(run_id).created(parent_run_id=parent, time=NOW + minutes * MINUTE)

    gone = Teller("gone")
    feed.add(
        *(run(f"c{number}", "top", number // 2) for number in range(5)),  # some share a moment
        *(run(f"g{number}", "c1", -number) for number in range(3)),
        run("deep", "g1", 9),
        run("top", "deep", 0),  # a circle
        run("last", "c4", 0),
        gone.created(parent_run_id="top"),
        gone.event(AmlRunEvent(operation="Deleted")),
        *(Teller(run_id).points("loss", [1.0]) for run_id in ("top", "g1", "last")),
    )
    family = ["c0", "c1", "g2", "g1", "deep", "g0", "c2", "c3", "c4", "last"]
    assert [each.run_id for each in reader.children("top", recursive=True)] == family
    for limit in (1, 2, 3, 9, 10, 11):
        for recursive, whole in ((True, family), (False, ["c0", "c1", "c2", "c3", "c4"])):
            seen: list[str] = []
            cursor = ""
            while True:
                page = reader.children_page("top", recursive=recursive, cursor=cursor, limit=limit)
                assert len(page.runs) == limit or not page.next
                seen += [each.run_id for each in page.runs]
                cursor = page.next
                if not cursor:
                    break
            assert seen == whole
    first = reader.metrics_page("top", limit=4)
    second = reader.metrics_page("top", cursor=first.next, limit=4)
    third = reader.metrics_page("top", cursor=second.next, limit=4)
    assert [[each.run_id for each in page.series] for page in (first, second, third)] == [["top", "g1"], [], ["last"]]
    assert (bool(first.next), bool(second.next), third.next) == (True, True, "")


def test_a_family_that_is_too_large_for_one_answer_is_asked_for_in_pages(
    feed: HistoryFeed, reader: HistoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.add(*(Teller(f"c{number}").created(parent_run_id="p") for number in range(3)), Teller("g").created(parent_run_id="c0"))
    monkeypatch.setattr("runherald.sinks.queries.MAX_LISTED", 2)
    with pytest.raises(InvalidInput, match="limit: run p has more than 2 runs below it; say how many are to be on a page"):
        reader.children("p")
    monkeypatch.setattr("runherald.sinks.run_tree.MAX_LEVELS", 1)
    with pytest.raises(InvalidInput, match="the runs below p are deeper than 1 levels; ask for those below c0 by themselves"):
        reader.children_page("p", recursive=True)
    for cursor in ("x", "1.a/x", "1.a/2.b"):
        with pytest.raises(InvalidInput, match=r"^cursor: is not the `next` of a page"):
            reader.children_page("p", recursive=True, cursor=cursor)


def test_families_hold_the_first_children_and_count_all(feed: HistoryFeed, reader: HistoryReader) -> None:
    last = Teller("c2")
    feed.add(
        Teller("p").created(),
        Teller("alone").created(),
        *(Teller(f"c{number}").created(parent_run_id="p", time=NOW + number * MINUTE) for number in range(2)),
        last.created(parent_run_id="p", time=NOW + 2 * MINUTE),
        last.status(Status.RUNNING),
    )
    families = reader.families(["p", "alone"], 2)
    assert list(families) == ["p"]
    assert [run.run_id for run in families["p"].first] == ["c0", "c1"]
    assert families["p"].counts == {"NotStarted": 2, "Running": 1}


def test_metrics_come_in_order_of_step_each_point_once(feed: HistoryFeed, reader: HistoryReader) -> None:
    run, again = Teller("r1"), Teller("r1")
    feed.add(run.points("loss", [3.0, 2.0], first=5), run.points("loss", [9.0], first=1), run.points("acc", [0.5]))
    feed.add(again.points("loss", [3.0, 2.0], first=5))
    [acc, loss] = reader.metrics("r1")
    assert (acc.name, acc.kind, acc.values) == ("acc", "scalar", [0.5])
    assert (loss.steps, loss.values) == ([1, 5, 6], [9.0, 3.0, 2.0])
    assert loss.times[0] == (round(NOW.timestamp()) + 1) * 1_000_000
    assert [series.name for series in reader.metrics("r1", name="acc")] == ["acc"]


def test_what_is_not_finite_travels_as_text_and_is_a_gap_in_a_curve(feed: HistoryFeed, reader: HistoryReader) -> None:
    feed.add(Teller("r1").points("loss", [1.0, 0.0, 0.0, 0.0], nonfinite={"1": "NaN", "2": "Infinity", "3": "-Infinity"}))
    [series] = reader.metrics("r1")
    assert series.values == [1.0, "NaN", "Infinity", "-Infinity"]
    [curve] = reader.curves(["r1"])
    assert (curve.values, curve.points, curve.nonfinite) == ([1.0, None, None, None], 4, 3)
    assert (curve.last, curve.least, curve.greatest) == (None, 1.0, 1.0)


def test_texts_and_objects_are_series_of_their_kind(feed: HistoryFeed, reader: HistoryReader) -> None:
    run = Teller("r1")
    data = AmlRunMetricEvent(
        texts=(TextPoint(name="note", step=0, time=1, text="hello"),),
        objects=(MetricObject(name="confusion", kind="table", step=2, time=3, value={"a": [1, 2]}),),
    )
    feed.add(run.event(data))
    assert [(series.name, series.kind, series.values) for series in reader.metrics("r1")] == [
        ("confusion", "table", [{"a": [1, 2]}]),
        ("note", "text", ["hello"]),
    ]


def test_metrics_of_descendants_come_with_their_run(feed: HistoryFeed, reader: HistoryReader) -> None:
    parent, child = Teller("p"), Teller("c")
    feed.add(parent.created(), child.created(parent_run_id="p"), parent.points("loss", [1.0]), child.points("loss", [2.0]))
    assert [(series.run_id, series.values) for series in reader.metrics("p", recursive=True)] == [("p", [1.0]), ("c", [2.0])]


def test_a_long_curve_is_short_and_keeps_its_spikes(feed: HistoryFeed, reader: HistoryReader) -> None:
    values = [math.sin(step / 500) for step in range(20_000)]
    values[7_777], values[12_345] = 50.0, -50.0
    feed.add(Teller("r1").points("loss", values))
    [curve] = reader.curves(["r1"])
    assert curve.reduced
    assert curve.points == 20_000
    assert 400 <= len(curve.steps) <= 800
    assert curve.steps == sorted(curve.steps)
    drawn = dict(zip(curve.steps, curve.values, strict=True))
    assert drawn[7_777] == 50.0
    assert drawn[12_345] == -50.0
    assert (curve.steps[-1], curve.values[-1]) == (19_999, values[-1])
    assert (curve.last, curve.least, curve.greatest) == (values[-1], -50.0, 50.0)


def test_the_last_lines_of_a_log(feed: HistoryFeed, reader: HistoryReader) -> None:
    run = Teller("r1")
    feed.add(run.event(AmlRunLogEvent(lines=tuple(LogLine(number=n, time=10 + n // 2, text=f"line {n}") for n in range(12)))))
    assert [line.text for line in reader.logs("r1", tail=3)] == ["line 9", "line 10", "line 11"]
    assert len(reader.logs("r1")) == 12


def test_the_files_of_a_run_each_once_by_name_and_how_many_there_are(feed: HistoryFeed, reader: HistoryReader) -> None:
    run = Teller("r1")
    told = [run.event(AmlRunOutputEvent(path=f"outputs/{n}.txt", size=n, uri=f"file:///srv/{n}.txt")) for n in (2, 0, 1)]
    feed.add(*told, Teller("r2").event(AmlRunOutputEvent(path="other", size=1)))
    feed.add(told[0])
    assert reader.files("r1", 2) == ([RunFile(f"outputs/{n}.txt", n, f"file:///srv/{n}.txt") for n in (0, 1)], 3)
    assert reader.files("nobody", 2) == ([], 0)


def test_counts_experiments_and_runs_to_cancel(feed: HistoryFeed, reader: HistoryReader) -> None:
    a, b = Teller("a"), Teller("b")
    feed.add(
        a.created("first"),
        b.created("second", time=NOW + MINUTE),
        b.status(Status.RUNNING),
        Teller("b", producer="studio").status(Status.CANCEL_REQUESTED),
    )
    assert reader.status_counts() == {"NotStarted": 1, "CancelRequested": 1}
    assert reader.status_counts("first") == {"NotStarted": 1}
    assert reader.experiments() == ["second", "first"]
    assert reader.runs_to_cancel() == {"b"}
    feed.add(b.status(Status.CANCELED))
    assert reader.runs_to_cancel() == frozenset()


def test_active_states_are_those_that_have_not_ended(feed: HistoryFeed, reader: HistoryReader) -> None:
    a, b = Teller("a"), Teller("b")
    feed.add(a.created(), a.status(Status.RUNNING), b.created(), b.status(Status.FAILED))
    assert [state.run_id for state in reader.active_states()] == ["a"]
    assert [state.run_id for state in reader.active_states([0])] == ["a"]
    assert reader.active_states([1]) == []


def test_watermarks_changes_and_activity_move_with_what_is_stored(feed: HistoryFeed, reader: HistoryReader) -> None:
    run = Teller("r1")
    feed.add(run.created())
    before = reader.activity("r1")
    feed.add(run.points("loss", [1.0, 2.0]), run.status(Status.RUNNING))
    assert reader.watermarks("history") == {TopicPartition("runherald.events", 0): 1}
    assert reader.watermarks("logs") == {}
    assert [(change.run_id, change.version) for change in reader.changed_runs(60.0)] == [("r1", 2)]
    after = reader.activity("r1")
    assert (before.points, after.points) == (0, 2)
    reader.check()
