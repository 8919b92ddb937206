"""How the widget follows a run: when it reads again, when it stops, and what it says while the server is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from runherald.api import LogLineView, QueryAnswer, RunPage, RunView
from runherald.charts import Charts, Figures
from runherald.errors import Unreachable
from runherald.producers.errors import NotFound, Unauthorized
from runherald.producers.notebook.following import EVERY_SECONDS, LAST_SECONDS, SETTLE_READINGS, Follower, Freshness
from runherald.producers.notebook.reading import LINES, Reading, RunReader
from runherald.producers.server.client import ApiClient
from runherald.producers.server.connection import Connection
from tests.unit.canned_api import CannedApi, canned_api


def run(status: str = "Running", *, claimed: bool = False) -> RunView:
    return RunView(run_id="r1", workspace="w", experiment_name="e", status=status, claimed=claimed)


class Followed:
    """A follower of a script of readings and faults, with waits that take no time; after the last of them it is stopped."""

    def __init__(self, *answers: RunView | Exception, took: float = 0.0) -> None:
        self.waits: list[float] = []
        self.shown: list[str] = []
        self.said: list[Freshness] = []
        self.closed = 0
        self._answers = list(answers)
        self._took = took
        self._now = 0.0
        self.follower = Follower(self._read, self._show, self.said.append, self._close, monotonic=lambda: self._now, wait=self._wait)
        self.follower.run()

    def _read(self) -> Reading:
        self._now += self._took
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Reading(view=answer)

    def _show(self, reading: Reading) -> None:
        self.shown.append(reading.view.status)

    def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        if not self._answers:
            self.follower.stop()

    def _close(self) -> None:
        self.closed += 1


def test_a_running_run_is_read_every_second_or_two() -> None:
    followed = Followed(run(), run(), run())
    assert followed.waits[1:] == [EVERY_SECONDS] * 3
    assert EVERY_SECONDS <= 2
    assert [one.state for one in followed.said] == ["live"] * 3
    assert followed.closed == 1


def test_after_the_end_what_comes_late_is_still_read_and_then_nothing() -> None:
    followed = Followed(run(), *[run("Completed")] * (SETTLE_READINGS + 5))
    assert followed.shown == ["Running"] + ["Completed"] * (SETTLE_READINGS + 1)
    assert followed.said[-1] == Freshness(state="final")
    assert followed.closed == 1


def test_a_claim_may_be_withdrawn_so_the_run_is_followed_on_seldom() -> None:
    followed = Followed(*[run("Failed", claimed=True)] * 8, run())
    assert followed.waits[1:9] == [LAST_SECONDS] * 8
    assert followed.shown[-1] == "Running"
    assert followed.said[0].state == "live"


def test_a_server_that_takes_long_is_asked_less_often() -> None:
    assert Followed(run(), run(), took=0.5).waits[1] == pytest.approx(5.0)
    assert Followed(run(), run(), took=60).waits[1] == LAST_SECONDS


def test_while_the_server_is_away_the_widget_says_so_and_backs_off_and_then_goes_on() -> None:
    away = [Unreachable("gone")] * 8
    followed = Followed(run(), *away, run(), *away[:1], run())
    assert followed.waits[2:10] == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert followed.said[1] == Freshness(state="away", message="The server does not answer; trying again in 0.5 s")
    assert followed.said[9] == Freshness(state="live")
    assert followed.waits[11] == 0.5


@pytest.mark.parametrize(
    ("error", "words"), [(NotFound("r1"), "does not know this run yet"), (Unauthorized("refuses the token"), "refuses the token")]
)
def test_other_refusals_are_said_as_what_they_are(error: Exception, words: str) -> None:
    followed = Followed(error, run())
    assert words in followed.said[0].message
    assert followed.said[1].state == "live"


def test_a_fault_of_our_own_ends_the_view_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    followed = Followed(run(), ZeroDivisionError("oh"), run())
    assert followed.said[-1].state == "stopped"
    assert "ZeroDivisionError" in followed.said[-1].message
    assert followed.closed == 1
    assert capfd.readouterr() == ("", "")


def test_a_paused_follower_reads_nothing_and_a_resumed_one_at_once() -> None:
    read = threading.Semaphore(0)
    closed = threading.Event()

    def reading() -> Reading:
        read.release()
        return Reading(view=run())

    def nothing(_: object) -> None:
        pass

    follower = Follower(reading, nothing, nothing, closed.set)
    follower.pause()
    follower.start()
    assert not read.acquire(timeout=0.5)
    follower.resume()
    assert read.acquire(timeout=5)
    follower.stop(5)
    assert not follower.running
    assert closed.is_set()


@pytest.fixture
def api() -> Iterator[CannedApi]:
    with canned_api() as served:
        yield served


@pytest.fixture
def reader(api: CannedApi) -> Iterator[Callable[[float], Reading]]:
    client, pages = ApiClient(api.url), Connection(api.url)
    times: list[float] = [0.0]
    found = RunReader(client, pages, "r1", monotonic=lambda: times[-1])

    def read(at: float) -> Reading:
        times.append(at)
        return found.read()

    yield read
    found.close()


def test_a_reading_asks_for_no_more_than_is_shown(api: CannedApi, reader: Callable[[float], Reading]) -> None:
    line = LogLineView(file="f", number=0, time=0, text="hello")
    api.answer("/runs/r1", run())
    api.answer("/runs", RunPage(runs=[run()], next="more"))
    api.answer("/runs/r1/logs", [line])
    api.answer("/runs/r1/charts", Charts(figures=[Figures(name="loss", last=1.0, least=1.0, greatest=1.0, points=1)]))
    counts, objects = QueryAnswer(columns=[], rows=[["Running", 250]]), QueryAnswer(columns=[], rows=[["note", "text", 2, "fine"]])
    api.answer("/query", counts, objects, counts, objects, method="POST")
    reading = reader(0.0)
    assert (reading.child_counts, reading.lines, reading.drawing.figures[0].name) == ({"Running": 250}, [line], "loss")
    assert [(one.name, one.times, one.last) for one in reading.objects] == [("note", 2, "fine")]
    asked = {one.path.removeprefix("/api/v1"): one.parameters for one in api.asked}
    assert asked["/runs"] == {"parent": "r1", "life": "all", "limit": "100"}
    assert asked["/runs/r1/logs"] == {"tail": str(LINES)}

    def queries() -> int:
        return sum(one.path.endswith("/query") for one in api.asked)

    reader(5.0)
    assert queries() == 2  # they cost more
    reader(10.0)
    assert queries() == 4


def test_what_cannot_be_had_now_stays_as_it_was(api: CannedApi, reader: Callable[[float], Reading]) -> None:
    line = LogLineView(file="f", number=0, time=0, text="hello")
    api.answer("/runs/r1", run(), run("Completed"))
    api.answer("/runs", RunPage(runs=[]))
    api.answer("/runs/r1/logs", [line], (503, {"error": {"code": "busy", "message": "later"}}))
    api.answer("/runs/r1/charts", Charts(more=3), b"<html>")
    api.answer("/query", QueryAnswer(columns=[], rows=[]), method="POST")
    first, second = reader(0.0), reader(1.0)
    assert second.view.status == "Completed"
    assert (second.lines, second.drawing) == (first.lines, first.drawing) == ([line], Charts(more=3))
