"""Waiting for a run's end, and its lines as they come: each once, however many there are."""

from __future__ import annotations

import pytest

from runherald.api import LogLineView, RunView
from runherald.errors import RunFailed
from runherald.events import ErrorEnvelope, RootError
from runherald.producers.server.client import ApiClient
from runherald.producers.server.waiting import LineFollower, wait_until_done
from tests.unit.canned_api import CannedApi


def line(number: int, text: str = "", *, file: str = "out.txt", time: int | None = None) -> LogLineView:
    return LogLineView(file=file, number=number, time=number if time is None else time, text=text or str(number))


def run(status: str, message: str = "") -> RunView:
    return RunView(run_id="r", workspace="w", experiment_name="e", status=status, message=message)


def tails(api: CannedApi) -> list[str]:
    return [asked.parameters["tail"] for asked in api.asked if asked.path.endswith("/logs")]


def test_each_line_is_read_once(api: CannedApi, client: ApiClient) -> None:
    first = [line(0, "a"), line(0, "err", file="err.txt", time=5), line(1, "b", time=9)]
    api.answer("/runs/r/logs", [], first, first, [*first, line(2, "c", time=9), line(0, "after a restart", time=20)])
    lines = LineFollower(client, "r")
    assert [lines.following() for _ in range(4)] == [[], ["a", "err", "b"], [], ["c", "after a restart"]]
    assert lines.following() == []
    assert set(tails(api)) == {"1000"}


def test_more_lines_than_are_asked_for_are_asked_for(api: CannedApi, client: ApiClient) -> None:
    everything = [line(number) for number in range(12_000)]
    api.answer("/runs/r/logs", everything[-1_000:], everything[-10_000:], everything)
    lines = LineFollower(client, "r")
    assert lines.following() == [str(number) for number in range(12_000)]
    assert tails(api) == ["1000", "10000", "100000"]
    everything += [line(12_000)]
    api.answer("/runs/r/logs", everything[-1_000:])
    assert lines.following() == ["12000"]
    assert len(tails(api)) == 4


def test_what_was_printed_stands_before_the_status_that_follows(api: CannedApi, client: ApiClient) -> None:
    api.answer("/runs/r", run("Queued"), run("Running"), run("Running"), run("Completed"))
    api.answer("/runs/r/logs", [], [], [line(0, "hello")], [line(0, "hello"), line(1, "bye")])
    shown: list[str] = []
    waits: list[float] = []
    view = wait_until_done(client, "r", output=shown.append, to_the_end=True, raise_on_error=True, sleep=waits.append)
    assert view.status == "Completed"
    assert shown == ["r: Queued\n", "r: Running\n", "hello\n", "bye\n", "r: Completed\n"]
    assert waits == [0.25, 0.375, 0.5625]


def test_a_run_that_is_short_begins_before_it_prints(api: CannedApi, client: ApiClient) -> None:
    api.answer("/runs/r", run("Queued"), run("Running"), run("Failed"))
    api.answer("/runs/r/logs", [], [line(0, "hello")], [line(0, "hello"), line(1, "bye")])
    shown: list[str] = []
    wait_until_done(client, "r", output=shown.append, to_the_end=False, raise_on_error=False, sleep=lambda _: None)
    assert shown == ["r: Queued\n", "r: Running\n", "hello\n", "bye\n", "r: Failed\n"]


@pytest.mark.parametrize(
    ("status", "to_the_end", "asked"),
    [("Finalizing", False, 1), ("CancelRequested", False, 1), ("Finalizing", True, 2), ("Paused", False, 2)],
)
def test_it_ends_with_what_is_left_to_do_unless_that_is_waited_for(
    api: CannedApi, client: ApiClient, status: str, to_the_end: bool, asked: int
) -> None:
    api.answer("/runs/r", run(status), run("Completed"))
    wait_until_done(client, "r", output=None, to_the_end=to_the_end, raise_on_error=True, sleep=lambda _: None)
    assert len(api.asked) == asked


def test_a_failure_says_why(api: CannedApi, client: ApiClient) -> None:
    failed = RunView(
        run_id="r", workspace="w", experiment_name="e", status="Failed", error=ErrorEnvelope(error=RootError(message="no luck"))
    )
    api.answer("/runs/r", failed)
    with pytest.raises(RunFailed, match="run r failed: no luck"):
        wait_until_done(client, "r", output=None, to_the_end=False, raise_on_error=True, sleep=lambda _: None)
    assert wait_until_done(client, "r", output=None, to_the_end=False, raise_on_error=False, sleep=lambda _: None).status == "Failed"
