"""The SDK against the whole server: what was logged is read back as azureml-core gives it."""

from __future__ import annotations

import io
import math
import threading
from pathlib import Path

import pytest

from runherald import Experiment, Model, Run, Workspace
from runherald.errors import InvalidInput, RunFailed
from runherald.producers.errors import NotFound
from tests.server_process import ServerProcess, wait_until


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


def test_files_of_a_run_are_registered_listed_and_downloaded_as_a_model(
    workspace: Workspace, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "weights").write_bytes(b"weights")
    (tmp_path / "net" / "config").write_bytes(b"config")
    run = experiment.start_logging()
    run.upload_folder("outputs/net", tmp_path / "net")
    run.upload_file("outputs/other", tmp_path / "net" / "config")
    with pytest.raises(NotFound, match="no version 1"):
        Model(workspace, "net", version=1)
    with pytest.raises(NotFound, match="outputs/nothing"):
        run.register_model("net", "outputs/nothing")

    first = run.register_model("net", "outputs/net", tags={"good": None, "loss": 0.5}, properties={"author": "me"}, description="a net")
    assert (first.id, first.name, first.version, first.run_id) == ("net:1", "net", 1, run.id)
    assert (first.tags, first.properties, first.description) == ({"good": None, "loss": "0.5"}, {"author": "me"}, "a net")
    assert first.download(tmp_path / "got") == str(tmp_path / "got" / "net")
    assert {path.name: path.read_bytes() for path in (tmp_path / "got" / "net").iterdir()} == {"weights": b"weights", "config": b"config"}
    with pytest.raises(InvalidInput, match="exist_ok"):
        first.download(tmp_path / "got")
    first.download(tmp_path / "got", exist_ok=True)

    # who asks for the next number before another has registered takes the same one, and is refused it
    with monkeypatch.context() as patch:
        patch.setattr("runherald.producers.models.registration.greatest_version", lambda *asked: 0)
        second = Model.register(workspace, tmp_path / "net" / "weights", "net", model_framework=Model.Framework.ONNX)
    assert (second.version, second.run_id, second.model_framework, second.tags) == (2, None, "Onnx", {})
    assert Path(second.download(tmp_path / "local")).read_bytes() == b"weights"
    assert Model(workspace, id="net:1").tags == first.tags
    everything = run.register_model("all")
    everything.download(tmp_path / "all")
    assert (tmp_path / "all" / "outputs" / "other").read_bytes() == b"config"

    assert [model.id for model in Model.list(workspace)] == ["all:1", "net:2", "net:1"]
    sql = (Path(__file__).parents[2] / "docs" / "models.md").read_text().partition("```sql\n")[2].partition("```")[0]
    told = workspace.session.reader().query(sql).rows
    assert [row[:2] for row in told] == [["all:1", run.id], ["net:2", ""], ["net:1", run.id]]
    assert [model.id for model in Model.list(workspace, "net", latest=True)] == ["net:2"]
    assert [model.id for model in Model.list(workspace, tags=["good", ["loss", "0.5"]], run_id=run.id)] == ["net:1"]
    assert (Model(workspace, "net").id, Model(workspace, "net", tags=["good"]).id) == ("net:2", "net:1")

    first.update_tags_properties(add_tags={"seen": True}, remove_tags=["good"], add_properties={"team": "vision"})
    first.update(description="better")
    read = Model(workspace, "net", version="1")
    assert (read.tags, read.description) == (first.tags, first.description) == ({"loss": "0.5", "seen": "True"}, "better")
    assert read.properties == first.properties == {"author": "me", "team": "vision"}
    with pytest.raises(InvalidInput, match="author"):
        read.add_properties({"author": "you"})
    read.update(tags={"only": "this"})
    assert Model(workspace, "net", version=1).tags == {"only": "this"}

    run.complete()
    assert [one.id for one in experiment.get_runs()] == [run.id]
    assert run.number == 1
    assert "" not in workspace.experiments


def test_who_registers_at_once_gets_a_version_each(workspace: Workspace, tmp_path: Path) -> None:
    def registered(number: int) -> None:
        file = tmp_path / f"{number}.bin"
        file.write_text(str(number))
        versions[number] = Model.register(workspace, file, "raced").version

    versions: dict[int, int] = {}
    threads = [threading.Thread(target=registered, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(versions.values()) == [1, 2, 3, 4]
    for number, version in versions.items():
        assert Path(Model(workspace, "raced", version=version).download(tmp_path / "got")).read_text() == str(number)


def test_a_model_is_read_from_where_its_run_keeps_files(experiment: Experiment, tmp_path: Path) -> None:
    remote = Workspace(files="memory://models")
    run = Experiment(remote, experiment.name).start_logging()
    run.upload_file("outputs/net/weights", io.BytesIO(b"weights"))
    model = run.register_model("remote", "outputs/net")
    assert Path(model.download(tmp_path / "got")) == tmp_path / "got" / "net" / "weights"
    assert (tmp_path / "got" / "net" / "weights").read_bytes() == b"weights"
    run.complete()
