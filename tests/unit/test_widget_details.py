"""`RunDetails`: what it shows where, and what it says when it cannot."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from runherald import Experiment, Run, Workspace
from runherald.api import QueryAnswer, RunPage, RunView
from runherald.charts import Charts, Figures
from runherald.errors import InvalidInput, Unreachable
from runherald.producers.errors import Unsupported
from runherald.producers.notebook import following
from runherald.widgets import RunDetails
from tests.server_process import wait_until
from tests.unit.canned_api import CannedApi, canned_api


@pytest.fixture
def api() -> Iterator[CannedApi]:
    with canned_api() as served:
        view = RunView(run_id="r1", workspace="default", experiment_name="digits", status="Running", display_name="first")
        served.answer("/runs/r1", view)
        served.answer("/runs", RunPage(runs=[]))
        served.answer("/runs/r1/logs", [])
        served.answer("/runs/r1/charts", Charts(figures=[Figures(name="loss", last=0.5, least=0.5, greatest=1.0, points=2)]))
        served.answer("/query", QueryAnswer(columns=[], rows=[]), method="POST")
        yield served


@pytest.fixture
def run(api: CannedApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("RUNHERALD_URL", api.url)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    return Run(Experiment(Workspace(), "digits"), "r1")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let this process count as a notebook's; what it displays is kept."""
    displayed: list[object] = []
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", displayed.append)
    monkeypatch.setattr(following, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(following, "EVERY_SECONDS", 0.02)
    return displayed


def test_what_is_no_run_is_refused(run: Run) -> None:
    with pytest.raises(InvalidInput, match="run_instance is a str"):
        RunDetails("r1")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="widget_settings is a list"):
        RunDetails(run).show(widget_settings=[1])  # type: ignore[arg-type]


def test_in_a_terminal_it_prints_a_summary(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    RunDetails(run).show()
    assert capsys.readouterr().out == (
        f"first (digits): Running\n  loss: 0.5 (least 0.5, greatest 1, 2 points)\n  {run.get_portal_url()}\n"
    )


def test_in_a_terminal_without_a_server_it_says_so(api: CannedApi, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    api.refuse("/runs/r1", 503, "restarting")
    RunDetails(run).show()
    assert re.fullmatch(r"r1: .*cannot answer now.*\n", capsys.readouterr().out)
    with pytest.raises(Unreachable):
        RunDetails(run).get_widget_data()


@pytest.mark.usefixtures("kernel")
def test_offline_there_is_nothing_to_follow_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNHERALD_URL", "offline")
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    RunDetails(Run(Experiment(Workspace(), "digits"), "r1")).show()
    assert "RUNHERALD_URL is 'offline'" in capsys.readouterr().out


def test_its_data_are_the_parts_that_the_widget_shows(run: Run) -> None:
    data = RunDetails(run).get_widget_data()
    assert set(data) == {"run", "charts", "figures", "children", "log"}
    assert data["run"]["status"] == {"kind": "running", "words": "Running"}


@pytest.mark.usefixtures("kernel")
def test_without_anywidget_a_notebook_is_told_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "runherald.producers.notebook.widget", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(Unsupported, match=r"package anywidget is missing; pip install 'runherald\[notebook\]'"):
        RunDetails(run).show()


def test_a_notebook_gets_a_widget_that_follows_the_run_as_long_as_somebody_looks(
    api: CannedApi, run: Run, kernel: list[object], capfd: pytest.CaptureFixture[str]
) -> None:
    from runherald.producers.notebook.widget import RunWidget

    details = RunDetails(run)
    details.show()
    details.show()
    [widget, again] = kernel
    assert isinstance(widget, RunWidget)
    assert widget is again
    hear = widget._handle_custom_msg
    hear({"kind": "here", "view": "one"}, [])
    hear({"kind": "here", "view": "two"}, [])
    wait_until("the first picture", lambda: widget.figures.get("rows"), 10)
    assert widget.run["name"] == "first"
    assert repr(widget) == f"RunDetails(r1, Running): {run.get_portal_url()}"

    hear({"kind": "gone", "view": "one"}, [])
    seen = len(api.asked)
    wait_until("more readings for the view that is left", lambda: len(api.asked) > seen + 10, 10)
    hear("nonsense", [])
    hear({"kind": "gone", "view": "two"}, [])
    wait_until("rest", lambda: quiet(api), 10)
    hear({"kind": "here", "view": "three"}, [])
    wait_until("readings again", lambda: not quiet(api), 10)

    api.refuse("/runs/r1", 503, "restarting")
    wait_until("word of it", lambda: widget.freshness["state"] == "away", 10)
    assert widget.run["name"] == "first"
    widget.close()
    assert not widget.following
    assert capfd.readouterr().err == ""


def quiet(api: CannedApi) -> bool:
    """Say whether nothing is asked for ten times as long as a widget waits between readings."""
    seen = len(api.asked)
    time.sleep(0.3)
    return len(api.asked) == seen
