"""A script means the same whether a server is there while it runs, or its journals are sent afterwards."""

from __future__ import annotations

import io
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runherald import Experiment, Run, Workspace
from runherald.clock import micros_now, system_clock
from runherald.errors import InvalidInput, RunFailed, Unreachable
from runherald.events import AmlRunLogEvent, LogLine, new_event
from runherald.producers.shipping.destination import open_transport
from runherald.producers.shipping.sync import sync
from tests.server_process import ServerProcess, wait_until

CONFUSION = {"schema_type": "confusion_matrix", "schema_version": "v1", "data": {"class_labels": ["only"], "matrix": [[7]]}}


def train(workspace: Workspace, prefix: str) -> None:
    """Say everything that a script may say. No call of these may need a server."""
    experiment = Experiment(workspace, f"{prefix} experiment")
    experiment.tag("team", "vision")
    experiment.set_tags({"flag": None, "gone": 1})
    experiment.remove_tags("gone")
    experiment.archive()
    with experiment.start_logging(run_id=f"{prefix}-root", tags={"a": 1, "b": None}) as run:
        run.display_name = "renamed"
        run.description = "described"
        run.set_tags({"c": 2, "d": 3})
        run.remove_tags(["d"])
        run.add_properties({"author": "me"})
        run.log("loss", 0.5)
        run.log("loss", 0.25)
        run.log("acc", 1, step=10)
        run.log("acc", 2, step=5)
        run.log("note", "text")
        run.log_list("list", [1])
        run.log_row("row", x=1, y=2)
        run.log_table("table", {"a": [1, 2], "b": ["x", "y"]})
        run.log_confusion_matrix("confusion", CONFUSION)
        run.upload_file("outputs/model.txt", io.BytesIO(b"weights"))
        child = run.child_run("child", run_id=f"{prefix}-child")
        grandchild = child.child_run(run_id=f"{prefix}-grandchild")
        assert grandchild.parent is child
        root = child.parent
        assert root is not None
        assert root is run
        root.log("from below", 1)
        above = Run(experiment, grandchild.id).parent
        topmost = above.parent if above else None
        assert above is not None
        assert topmost is not None
        assert (above.id, topmost.id) == (child.id, run.id)
        topmost.log("from an attached object", 2)
        grandchild.log("loss", 3)
        grandchild.fail(ValueError("bad"))
        child.cancel()
        for one in run.create_children(tag_key="lr", tag_values=[0.1, "high"]):
            one.log("loss", 4)
            one.complete()
    run.tag("judged", "good")


def read(workspace: Workspace, prefix: str, folder: Path) -> Any:
    """Return all that can be read of what `train` said, without what differs from run to run."""
    experiment = Experiment(workspace, f"{prefix} experiment")
    run = Run.get(workspace, f"{prefix}-root")
    run.download_file("outputs/model.txt", folder)
    family = [run, *run.get_children(recursive=True)]
    names = {one.id: one.id if one.id.startswith(prefix) else f"batch {one.get_tags()['lr']}" for one in family}
    said = {
        "details": {name: value for name, value in run.get_details().items() if not name.endswith("Utc")},
        "statuses": {names[one.id]: one.get_status() for one in family},
        "tags": {names[one.id]: one.get_tags() for one in family},
        "properties": run.get_properties(),
        "numbers": sorted(one.number for one in family),
        "metrics": {names[run_id]: metrics for run_id, metrics in run.get_metrics(recursive=True).items()},
        "parents": {names[one.id]: names[one.parent.id] for one in family if one.parent},
        "failed": Run.get(workspace, f"{prefix}-grandchild").get_details()["error"]["error"]["message"],
        "files": {name: (folder / Path(name).name).read_text() for name in run.get_file_names()},
        "experiment": (experiment.tags, experiment.archived_time is not None),
        "lists": [
            [one.name for one in Experiment.list(workspace, experiment.name, view)] for view in ("ActiveOnly", "ArchivedOnly", "All")
        ],
        "runs": [one.id for one in experiment.get_runs()],
        "all runs": len(list(experiment.get_runs(include_children=True))),
    }
    return _without(prefix, said)


def _without(prefix: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {_without(prefix, key): _without(prefix, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without(prefix, item) for item in value]
    return re.sub(f"^{prefix}", "", value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Path]:
    """Run the script while no server is there."""
    home = tmp_path_factory.mktemp("offline")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOG", "WORKSPACE", "TOKEN", "CONFIG", "LEASE_SECONDS"):
            patch.delenv(f"RUNHERALD_{name}", raising=False)
        patch.setenv("RUNHERALD_HOME", str(home))
        workspace = Workspace(url=f"http://127.0.0.1:{port}")
        train(workspace, "offline")
        with pytest.raises(Unreachable):
            Run.get(workspace, "offline-root")
        workspace.session.close()
        yield home


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int, offline: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), port) as process:
        yield process


@pytest.fixture
def workspace(server: ServerProcess, offline: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("RUNHERALD_HOME", str(offline))
    opened = Workspace(url=server.url)
    yield opened
    opened.session.close()


def test_with_a_server_and_without_one_a_script_means_the_same(
    workspace: Workspace, server: ServerProcess, offline: Path, tmp_path: Path
) -> None:
    transport = open_transport(url=server.url, token="", log="")
    report = sync(offline, transport)
    transport.close()
    assert report.complete
    assert report.rejected == 0
    train(workspace, "online")
    online = read(workspace, "online", tmp_path)
    wait_until("what was synced", lambda: Run.get(workspace, "offline-root").get_tags().get("judged"), 30)
    assert read(workspace, "offline", tmp_path) == online
    assert online["statuses"] == {
        "-root": "Completed",
        "-child": "Canceled",
        "-grandchild": "Failed",
        "batch 0.1": "Completed",
        "batch high": "Completed",
    }
    assert online["tags"]["-root"] == {"a": "1", "b": None, "c": "2", "judged": "good"}
    assert online["tags"]["batch high"] == {"azureml.batch_child_number": "1", "lr": "high"}
    assert online["metrics"]["-root"] == {
        "loss": [0.5, 0.25],
        "acc": [2, 1],
        "note": "text",
        "list": 1,
        "row": {"x": 1, "y": 2},
        "table": {"a": [1, 2], "b": ["x", "y"]},
        "confusion": CONFUSION,
        "from below": 1,
        "from an attached object": 2,
    }
    assert online["numbers"] == [1, 2, 3, 4, 5]
    assert online["files"] == {"outputs/model.txt": "weights"}
    assert online["experiment"] == [{"team": "vision", "flag": None}, True]
    assert online["lists"] == [[], [" experiment"], [" experiment"]]
    assert (online["runs"], online["all runs"]) == (["-root"], 5)


def test_children_are_many_and_found_alike_by_server_and_object(workspace: Workspace) -> None:
    run = Experiment(workspace, "many").start_logging()
    children = [child for _ in range(2) for child in run.create_children(100)] + run.create_children(5)
    for child in children[:3]:
        child.tag("k=v", "x")
        child.tag("best", 1.0)
        child.complete()
    children[0].child_run("below").complete()

    def found(**wanted: Any) -> tuple[set[str], set[str]]:
        direct = {child.id for child in run.get_children(**wanted)}
        return direct, {child.id for child in run.get_children(recursive=True, **wanted)}

    direct, below = found()
    assert direct == {child.id for child in children}
    assert len(below - direct) == 1
    ended = {child.id for child in children[:3]}
    assert (
        found(tags="best") == found(tags={"best": "1.0"}) == found(tags={"best": None, "k=v": "x"}) == found(tags="k=v") == (ended, ended)
    )
    assert found(status="Completed", tags="best") == (ended, ended)
    assert found(tags={"best": "2"}) == found(properties="none") == found(type="other") == (set(), set())
    assert found(status="Completed")[0] == ended
    with pytest.raises(InvalidInput, match="from 1 to 100"):
        run.create_children(101)


def test_files_and_experiments_are_many(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runherald.producers.server.sql_questions.ROWS_AT_ONCE", 2)
    names = ["a'b", "c\\d", "e", "f/g", "h"]
    runs = [Experiment(workspace, f"of many {name}").start_logging() for name in names]
    for name in names[:4]:
        runs[0].upload_file(name, io.BytesIO(b"x"))
    runs[1].upload_file("x", io.BytesIO(b"x"))
    assert runs[0].get_file_names() == sorted(name.replace("\\", "/") for name in names[:4])
    found = [one.name for one in Experiment.list(workspace) if one.name.startswith("of many")]
    assert found == [f"of many {name}" for name in names]
    assert [run.number for run in runs] == [1] * 5


def lines(run: Run, first: int, *texts: str, file: str = "user_logs/std_log.txt") -> None:
    """Send lines that a run printed."""
    data = AmlRunLogEvent(file=file, lines=tuple(LogLine(first + at, micros_now(), text) for at, text in enumerate(texts)))
    event = new_event(data, workspace="default", run_id=run.id, producer=f"lines-{file[:20]}", sequence=first, time=system_clock())
    transport = open_transport(url=run.experiment.workspace.session.client.url, token="", log="")
    assert not transport.send([event]).rejected
    transport.close()


def test_waiting_shows_lines_as_they_come_and_says_why_the_run_failed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    run = Experiment(workspace, "printing").start_logging(run_id="printing")
    lines(run, 0, "first", "second")
    wait_until("the lines", lambda: run.get_details()["logFiles"], 30)

    def go_on() -> None:
        lines(run, 2, "third")
        run.fail("no luck")

    later = threading.Timer(1.0, go_on)
    later.start()
    with pytest.raises(RunFailed, match="no luck"):
        Run.get(workspace, "printing").wait_for_completion(show_output=True)
    later.join()
    wait_until("the third line", lambda: "third" in run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"], 30)
    shown = capsys.readouterr().out.splitlines()
    assert shown[:3] == ["printing: Running", "first", "second"]
    assert shown[-1] == "printing: Failed"
    text = "first\nsecond\nthird\n"
    assert run.get_details_with_logs()["logFiles"] == {"azureml-logs/70_driver_log.txt": text, "user_logs/std_log.txt": text}


def test_logs_are_written_below_the_folder_and_nowhere_else(workspace: Workspace, tmp_path: Path) -> None:
    run = Experiment(workspace, "printing").start_logging()
    lines(run, 0, "kept", file="user_logs/std_log.txt")
    wait_until("the line", lambda: run.get_details()["logFiles"], 30)
    assert run.get_all_logs(tmp_path / "logs") == [str(tmp_path / "logs" / "user_logs" / "std_log.txt")]
    assert (tmp_path / "logs" / "user_logs" / "std_log.txt").read_text() == "kept\n"
    lines(run, 0, "bad", file="../../out.txt")
    wait_until("the other line", lambda: len(run.get_details()["logFiles"]) == 3, 30)
    with pytest.raises(InvalidInput, match="leads out"):
        run.get_all_logs(tmp_path / "logs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs"]
