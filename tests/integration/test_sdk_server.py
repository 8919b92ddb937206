"""The SDK against the whole server: what was logged is read back as azureml-core gives it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald import Experiment, Run, Workspace
from runherald.errors import RunFailed
from runherald.producers.errors import NotFound
from tests.server_process import ServerProcess, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    with ServerProcess(tmp_path_factory.mktemp("server"), port) as process:
        yield process


@pytest.fixture
def workspace(server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    for name in ("RUNHERALD_LOG", "RUNHERALD_WORKSPACE", "RUNHERALD_TOKEN", "RUNHERALD_CONFIG", "RUNHERALD_LEASE_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", server.url)
    opened = Workspace()
    yield opened
    opened.session.close()


@pytest.fixture
def experiment(workspace: Workspace, request: pytest.FixtureRequest) -> Experiment:
    return Experiment(workspace, request.node.name[:200])


def test_a_reader_sees_at_once_what_it_wrote(experiment: Experiment) -> None:
    run = experiment.start_logging(tags={"flag": None})
    assert run.get_status() == "Running"
    run.tag("lr", 0.1)
    assert run.get_tags() == {"flag": None, "lr": "0.1"}
    run.add_properties({"author": "me"})
    assert run.get_properties() == {"author": "me"}
    run.log("loss", 0.5)
    assert run.get_metrics() == {"loss": 0.5}
    run.log("loss", 0.25)
    assert run.get_metrics("loss") == {"loss": [0.5, 0.25]}
    run.complete()
    assert run.get_status() == "Completed"


def test_every_kind_of_value_reads_back(experiment: Experiment) -> None:
    with experiment.start_logging() as run:
        run.log("note", "hello")
        run.log("text", "NaN")
        run.log("inf", math.inf)
        run.log_list("list", [1, 2, 3])
        run.log_list("mixed", ["a", 1, "b"])
        run.log_row("one", x=1, y=2.5, z="t")
        for x in range(3):
            run.log_row("rows", x=x, y=math.inf)
        run.log_table("table", {"a": [1, 2], "b": ["x", "y"]})
    assert run.get_metrics() == {
        "note": "hello",
        "text": "NaN",
        "inf": math.inf,
        "list": [1, 2, 3],
        "mixed": ["a", 1, "b"],
        "one": {"x": 1, "y": 2.5, "z": "t"},
        "rows": {"x": [0, 1, 2], "y": [math.inf] * 3},
        "table": {"a": [1, 2], "b": ["x", "y"]},
    }


def test_children_are_found_by_tag_property_and_status(experiment: Experiment) -> None:
    with experiment.start_logging() as parent:
        for number in range(3):
            with parent.child_run(f"kid-{number}") as child:
                child.tag("number", number)
                child.add_properties({"odd": number % 2})
                child.log("loss", number)
        failing = parent.child_run("failing")
        failing.child_run("grandchild").complete()
        failing.fail("no luck")

    def names(**wanted: object) -> set[str]:
        return {run.display_name for run in parent.get_children(**wanted)}  # type: ignore[arg-type]

    assert names() == {"kid-0", "kid-1", "kid-2", "failing"}
    assert names(recursive=True) == {"kid-0", "kid-1", "kid-2", "failing", "grandchild"}
    assert names(tags="number") == {"kid-0", "kid-1", "kid-2"}
    assert names(tags={"number": 1}) == {"kid-1"}
    assert names(properties={"odd": "0"}) == {"kid-0", "kid-2"}
    assert names(status="Failed") == {"failing"}
    metrics = parent.get_metrics(recursive=True)
    assert sorted(value["loss"] for value in metrics.values()) == [0, 1, 2]
    assert len(metrics) == 3
    assert parent.get_status() == "Completed"


def test_details_of_a_failure_are_azures(experiment: Experiment) -> None:
    with pytest.raises(ZeroDivisionError), experiment.start_logging() as run:
        raise ZeroDivisionError("division by zero")
    details = run.get_details()
    assert (details["runId"], details["status"], details["cause"]) == (run.id, "Failed", "code_error")
    assert details["error"]["error"]["code"] == "UserError"
    assert details["error"]["error"]["message"] == "User program failed with ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in details["error"]["error"]["debugInfo"]["stackTrace"]
    assert details["startTimeUtc"] <= details["endTimeUtc"]
    with pytest.raises(RunFailed, match="division by zero"):
        run.wait_for_completion()
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"


def test_a_run_is_got_by_its_id_and_listed_newest_first(workspace: Workspace, experiment: Experiment) -> None:
    runs = [experiment.start_logging(tags={"number": number}) for number in range(3)]
    child = runs[0].child_run()
    for run in (child, *runs):
        run.complete()
    assert [run.id for run in experiment.get_runs()] == [run.id for run in reversed(runs)]
    assert [run.id for run in experiment.get_runs(tags={"number": 1})] == [runs[1].id]
    assert len(list(experiment.get_runs(include_children=True))) == 4
    got = Run.get(workspace, child.id)
    assert (got.id, got.experiment.name, got.status) == (child.id, experiment.name, "Completed")
    assert got.parent is not None
    assert got.parent.id == runs[0].id
    assert experiment.name in workspace.experiments
    with pytest.raises(NotFound):
        workspace.get_run("no-such-run")


def test_another_object_may_tag_log_and_ask_to_cancel(experiment: Experiment) -> None:
    with experiment.start_logging() as run:
        other = Run(experiment, run.id)
        other.log("from_outside", 1.0)
        other.tag("seen")
        assert run.get_metrics() == {"from_outside": 1.0}
        other.cancel()
        run.log("loss", 1.0)
        wait_until("the request to cancel", lambda: run.cancel_requested, 20)
        assert other.get_status() == "CancelRequested"
    assert other.get_status() == "Canceled"


def test_waiting_shows_how_it_goes(experiment: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    run = experiment.start_logging()
    run.get_status()
    timer = threading.Timer(0.4, run.complete)
    timer.start()
    assert Run(experiment, run.id).wait_for_completion(show_output=True)["status"] == "Completed"
    timer.join()
    assert capsys.readouterr().out == f"{run.id}: Running\n{run.id}: Completed\n"


def test_a_property_that_another_object_contradicts_is_refused_by_history(server: ServerProcess, experiment: Experiment) -> None:
    run = experiment.start_logging()
    run.add_properties({"author": "me"})
    assert run.get_properties() == {"author": "me"}
    Run(experiment, run.id).add_properties({"author": "you"})
    run.complete()
    assert run.get_properties() == {"author": "me"}
