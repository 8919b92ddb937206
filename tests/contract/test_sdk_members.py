"""The SDK's classes have azureml-core's members, each of which does something or says what to use instead."""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runherald import Experiment, Model, Run, RunConfiguration, ScriptRun, ScriptRunConfig, Workspace
from runherald.errors import InvalidInput
from runherald.producers.errors import Unsupported
from runherald.producers.workspace_azure_only import INSTEAD
from runherald.widgets import RunDetails
from tests.contract.sdk_members import (
    EXPERIMENT,
    MODEL,
    RUN,
    RUN_CONFIGURATION,
    RUN_DETAILS,
    SCRIPT_RUN,
    SCRIPT_RUN_CONFIG,
    WORKSPACE,
    Member,
    Parameter,
    members,
)
from tests.server_process import ServerProcess

DOCUMENT = Path(__file__).parents[2] / "docs" / "sdk-members.md"
CLASSES: dict[str, tuple[type, dict[str, Member]]] = {
    "Run": (Run, members(RUN)),
    "Experiment": (Experiment, members(EXPERIMENT)),
    "Workspace": (Workspace, members(WORKSPACE)),
    "ScriptRun": (ScriptRun, members(SCRIPT_RUN)),
    "ScriptRunConfig": (ScriptRunConfig, members(SCRIPT_RUN_CONFIG)),
    "RunConfiguration": (RunConfiguration, members(RUN_CONFIGURATION)),
    "Model": (Model, members(MODEL)),
    "RunDetails": (RunDetails, members(RUN_DETAILS)),
}
EVERY = [(owner, member) for owner, (_, table) in CLASSES.items() for member in table.values()]


def parameters_of(found: object) -> list[inspect.Parameter]:
    return list(inspect.signature(found.__func__ if isinstance(found, (staticmethod, classmethod)) else found).parameters.values())  # type: ignore[arg-type]  # checked by the caller


def written(parameter: inspect.Parameter) -> Parameter:
    stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else "**" if parameter.kind is inspect.Parameter.VAR_KEYWORD else ""
    default = None if parameter.default is inspect.Parameter.empty else repr(parameter.default)
    return Parameter(parameter.name, default, stars)


@pytest.mark.parametrize(("owner", "member"), EVERY, ids=lambda value: value if isinstance(value, str) else value.name)
def test_a_member_has_the_name_kind_parameters_and_defaults_that_scripts_use(owner: str, member: Member) -> None:
    found = inspect.getattr_static(CLASSES[owner][0], member.name)
    if member.parameters is None:
        assert isinstance(found, property)
        assert (found.fset is not None) == (member.kind == "settable")
        return
    kinds: dict[str, Any] = {"static": staticmethod, "class": classmethod}
    assert isinstance(found, kinds[member.kind]) if member.kind in kinds else inspect.isfunction(found)
    given = parameters_of(found)[0 if member.kind == "static" else 1 :]
    ours = [parameter for parameter in given if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    assert tuple(written(parameter) for parameter in given if parameter not in ours) == member.parameters
    assert [parameter.name for parameter in ours if parameter.default is inspect.Parameter.empty] == []


def rows() -> dict[str, dict[str, str]]:
    """Return what the document says: of each class, member to what it does here."""
    found: dict[str, dict[str, str]] = {}
    for heading, block in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.M | re.S):
        lines = re.findall(r"^\| `(\w+)` \| (works|local|raises) \| \S.*\|$", block, re.M)
        if lines:
            assert len(lines) == len(dict(lines)) == len(re.findall(r"^\| `", block, re.M)), heading
            found[heading] = dict(lines)
    return found


@pytest.mark.parametrize("owner", ["Run", "Experiment", "Workspace", "RunDetails"])
def test_the_document_has_every_member_once(owner: str) -> None:
    beyond = INSTEAD if owner == "Workspace" else ()
    assert sorted(rows()[owner]) == sorted([*CLASSES[owner][1], *beyond])


@pytest.mark.parametrize("owner", ["Run", "Experiment", "Workspace", "RunDetails"])
def test_what_is_ours_is_named_too(owner: str) -> None:
    of, table = CLASSES[owner]
    ours = {name for name in dir(of) if not name.startswith("_")} - set(table)
    (told,) = re.findall(r"^Ours beyond these: (.*?)\n\n", DOCUMENT.read_text(), re.M | re.S)
    assert ours - set(re.findall(r"`(\w+)`", told)) == set()


class World:
    """A run that has ended, with a child, an open one, and room for files."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace = workspace
        self.folder = folder
        self.experiment = Experiment(workspace, "members")
        self.run = self.experiment.start_logging(display_name="open")
        self.child = self.run.child_run("child")
        self.child.log("loss", 0.5)
        self.child.complete()
        self.source = folder / "source.txt"
        self.source.write_text("text")
        self._counter = itertools.count()

    def fresh(self) -> Run:
        """Return a run of its own."""
        return self.experiment.start_logging()

    def name(self) -> str:
        """Return a name that was not used yet."""
        return f"name-{next(self._counter)}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, module_port: int) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("members")
    with pytest.MonkeyPatch.context() as patch, ServerProcess(folder, module_port) as server:
        for name in ("RUNHERALD_LOG", "RUNHERALD_WORKSPACE", "RUNHERALD_TOKEN", "RUNHERALD_CONFIG", "RUNHERALD_LEASE_SECONDS"):
            patch.delenv(name, raising=False)
        for name in ("RUNHERALD_RUN_ID", "RUNHERALD_EXPERIMENT"):
            patch.delenv(name, raising=False)
        patch.setenv("RUNHERALD_HOME", str(folder / "home"))
        patch.setenv("RUNHERALD_URL", server.url)
        patch.chdir(folder)
        workspace = Workspace()
        yield World(workspace, folder)
        Run.get_context().complete()
        workspace.session.close()


@pytest.fixture(scope="module")
def module_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def logged(world: World, log: Callable[[Run], object], expected: object) -> bool:
    run = world.fresh()
    log(run)
    return bool(run.get_metrics() == {"m": expected})


def chart(kind: str, **data: object) -> dict[str, object]:
    return {"schema_type": kind, "schema_version": "v1", "data": data}


CONFUSION = chart("confusion_matrix", class_labels=["one"], matrix=[[3]])
TABLES = {"probability_tables": [[[1, 2, 3, 4]]], "percentile_tables": [[[1, 2, 3, 4]]]}
ACCURACY = chart("accuracy_table", class_labels=["a"], probability_thresholds=[0.5], percentile_thresholds=[0.5], **TABLES)
RESIDUALS = chart("residuals", bin_edges=[0.0, 1.0], bin_counts=[3])
PREDICTIONS = chart("predictions", bin_averages=[0.1], bin_errors=[None], bin_counts=[2], bin_edges=[0.0, 1.0])


def ended(run: Run, end: Callable[[Run], object]) -> str:
    end(run)
    return run.get_status()


def with_block(world: World) -> str:
    with world.fresh() as run:
        pass
    return run.get_status()


def did(run: Run, *changes: Callable[[Run], object]) -> Run:
    for change in changes:
        change(run)
    return run


def experiment_of(world: World) -> Experiment:
    return Experiment(world.workspace, world.name())


def changed(experiment: Experiment, *changes: Callable[[Experiment], object]) -> Experiment:
    for change in changes:
        change(experiment)
    return Experiment(experiment.workspace, experiment.name)


def uploaded(world: World, upload: Callable[[Run], object]) -> list[str]:
    run = world.fresh()
    upload(run)
    return run.get_file_names()


def downloaded(world: World, download: Callable[[Run, Path], object], name: str) -> str:
    run, target = world.fresh(), world.folder / world.name()
    run.upload_file("a/b.txt", io.BytesIO(b"content"))
    target.mkdir()
    download(run, target)
    return (target / name).read_text()


def provided(world: World) -> bool:
    class Kept(Run):
        pass

    Run.add_type_provider("", lambda experiment, view: Kept(experiment, view.run_id, _view=view))
    try:
        return isinstance(Run.get(world.workspace, world.run.id), Kept)
    finally:
        Run.add_type_provider("", lambda experiment, view: Run(experiment, view.run_id, _view=view))


def described(world: World) -> bool:
    run = world.fresh()
    run.display_name, run.description = "named", "described"
    read = Run.get(world.workspace, run.id)
    return (read.display_name, read.name, read.description) == ("named", "named", "described")


def deleted(world: World) -> bool:
    with pytest.raises(InvalidInput, match="archive"):
        Experiment.delete(world.workspace, world.experiment.id)
    empty = changed(experiment_of(world), lambda experiment: experiment.tag("a"))
    Experiment.delete(world.workspace, empty.id)
    return [one.name for one in Experiment.list(world.workspace, empty.name)] == [empty.name]


def snapshot_of(world: World) -> tuple[Run, str]:
    run = world.fresh()
    return run, run.take_snapshot(world.folder / "code")


def restored(world: World) -> bool:
    run, snapshot_id = snapshot_of(world)
    path = run.restore_snapshot(path=world.folder)
    return path.endswith(f"{snapshot_id}.zip") and zipfile.ZipFile(path).namelist() == ["source.txt"]


def identified(world: World) -> bool:
    run, snapshot_id = snapshot_of(world)
    return run.get_snapshot_id() == snapshot_id == snapshot_of(world)[1]


def registered(world: World) -> bool:
    run = world.fresh()
    run.upload_folder("outputs/net", world.folder / "code")
    model = run.register_model(name := world.name(), "outputs/net", tags={"kind": "net"})
    path = Path(Model(world.workspace, name).download(world.folder / name))
    return (model.id, model.tags, path.read_text()) == (f"{name}:1", {"kind": "net"}, "text")


def submitted(world: World, submit: Callable[..., Run]) -> bool:
    run = submit(ScriptRunConfig(world.folder / "code", command="true"), show_output=True)
    return run.get_status() == "Completed"


def shown(world: World) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        RunDetails(world.child).show(render_lib=object(), widget_settings={"debug": True})
    return printed.getvalue()


BEHAVIOUR: dict[str, Callable[[World], bool]] = {
    "Run.__enter__": lambda w: with_block(w) == "Completed",
    "Run.__exit__": lambda w: with_block(w) == "Completed",
    "Run.__init__": lambda w: Run(w.experiment, w.run.id, "outputs").get_status() == "Running",
    "Run.add_properties": lambda w: did(w.fresh(), lambda run: run.add_properties({"a": "b"})).get_properties() == {"a": "b"},
    "Run.add_type_provider": provided,
    "Run.cancel": lambda w: ended(w.fresh(), Run.cancel) == "Canceled",
    "Run.child_run": lambda w: w.fresh().child_run("kid").get_status() == "Running",
    "Run.clean": lambda w: w.run.clean() == [],
    "Run.complete": lambda w: ended(w.fresh(), Run.complete) == "Completed",
    "Run.create_children": lambda w: len(w.fresh().create_children(tag_key="k", tag_values=[1, 2])) == 2,
    "Run.description": described,
    "Run.display_name": described,
    "Run.download_file": lambda w: (
        downloaded(w, lambda run, to: run.download_file("a/b.txt", to), "b.txt") == "content"
        and downloaded(w, lambda run, to: run.download_file("a/b.txt", f"{to}/new/"), "new/b.txt") == "content"
    ),
    "Run.download_files": lambda w: downloaded(w, lambda run, to: run.download_files("a", to), "a/b.txt") == "content",
    "Run.experiment": lambda w: w.run.experiment.name == "members",
    "Run.fail": lambda w: ended(w.fresh(), lambda run: run.fail("no luck")) == "Failed",
    "Run.flush": lambda w: did(w.fresh(), Run.flush).health.waiting == 0,
    "Run.get": lambda w: Run.get(w.workspace, w.run.id).display_name == "open",
    "Run.get_all_logs": lambda w: w.run.get_all_logs(w.folder / "logs") == [],
    "Run.get_children": lambda w: [run.id for run in w.run.get_children()] == [w.child.id],
    "Run.get_context": lambda w: Run.get_context().id.startswith("OfflineRun_"),
    "Run.get_detailed_status": lambda w: w.run.get_detailed_status() == "Running",
    "Run.get_details": lambda w: w.run.get_details()["runId"] == w.run.id,
    "Run.get_details_with_logs": lambda w: w.run.get_details_with_logs()["logFiles"] == {},
    "Run.get_file_names": lambda w: w.run.get_file_names() == [],
    "Run.get_metrics": lambda w: w.run.get_metrics(recursive=True) == {w.child.id: {"loss": 0.5}},
    "Run.get_portal_url": lambda w: w.run.get_portal_url().endswith(f"/runs/{w.run.id}"),
    "Run.get_properties": lambda w: w.run.get_properties() == {},
    "Run.get_snapshot_id": identified,
    "Run.get_status": lambda w: w.child.get_status() == "Completed",
    "Run.get_submitted_run": lambda w: Run.get_submitted_run() is Run.get_context(),
    "Run.get_tags": lambda w: w.child.get_tags() == {},
    "Run.id": lambda w: w.run.id == Run.get(w.workspace, w.run.id).id,
    "Run.list": lambda w: w.child.id in {run.id for run in Run.list(w.experiment, status="Completed", include_children=True)},
    "Run.list_by_compute": lambda w: w.run.id in {run["runId"] for run in Run.list_by_compute("local", status="Running")},
    "Run.log": lambda w: logged(w, lambda run: run.log("m", 1.5), 1.5),
    "Run.log_accuracy_table": lambda w: logged(w, lambda run: run.log_accuracy_table("m", ACCURACY), ACCURACY),
    "Run.log_confusion_matrix": lambda w: logged(w, lambda run: run.log_confusion_matrix("m", CONFUSION), CONFUSION),
    "Run.log_image": lambda w: uploaded(w, lambda run: run.log_image("m", w.source))[0].startswith("m_"),
    "Run.log_list": lambda w: logged(w, lambda run: run.log_list("m", [1, "a"]), [1, "a"]),
    "Run.log_predictions": lambda w: logged(w, lambda run: run.log_predictions("m", PREDICTIONS), PREDICTIONS),
    "Run.log_residuals": lambda w: logged(w, lambda run: run.log_residuals("m", RESIDUALS), RESIDUALS),
    "Run.log_row": lambda w: logged(w, lambda run: run.log_row("m", a=1), {"a": 1}),
    "Run.log_table": lambda w: logged(w, lambda run: run.log_table("m", {"a": [1, 2]}), {"a": [1, 2]}),
    "Run.name": described,
    "Run.number": lambda w: w.child.number == w.run.number + 1,
    "Run.parent": lambda w: (parent := Run.get(w.workspace, w.child.id).parent) is not None and parent.id == w.run.id,
    "Run.properties": lambda w: w.run.properties == {},
    "Run.register_model": registered,
    "Run.remove_tags": lambda w: did(w.fresh(), lambda run: run.tag("a"), lambda run: run.remove_tags("a")).get_tags() == {},
    "Run.restore_snapshot": restored,
    "Run.set_tags": lambda w: did(w.fresh(), lambda run: run.set_tags({"b": 1})).get_tags() == {"b": "1"},
    "Run.start": lambda w: ended(Run(w.experiment, w.name()), Run.start) == "Running",
    "Run.status": lambda w: w.run.status == "Running",
    "Run.submit_child": lambda w: submitted(w, w.fresh().submit_child),
    "Run.tag": lambda w: did(w.fresh(), lambda run: run.tag("flag")).get_tags() == {"flag": None},
    "Run.tags": lambda w: w.run.tags == w.run.get_tags(),
    "Run.take_snapshot": identified,
    "Run.type": lambda w: w.run.type == "",
    "Run.upload_file": lambda w: uploaded(w, lambda run: run.upload_file("a.txt", str(w.source))) == ["a.txt"],
    "Run.upload_files": lambda w: uploaded(w, lambda run: run.upload_files(["a", "b"], [w.source, w.source])) == ["a", "b"],
    "Run.upload_folder": lambda w: "code/source.txt" in uploaded(w, lambda run: run.upload_folder("code", w.folder / "code")),
    "Run.wait_for_completion": lambda w: w.child.wait_for_completion()["status"] == "Completed",
    "Experiment.__init__": lambda w: Experiment(w.workspace, "members", _create_in_cloud=False).id == w.experiment.id,
    "Experiment.archive": lambda w: changed(experiment_of(w), Experiment.archive).archived_time is not None,
    "Experiment.archived_time": lambda w: w.experiment.archived_time is None,
    "Experiment.delete": deleted,
    "Experiment.get_portal_url": lambda w: "experiment=members" in w.experiment.get_portal_url(),
    "Experiment.get_runs": lambda w: w.run.id in {run.id for run in w.experiment.get_runs()},
    "Experiment.id": lambda w: w.experiment.id != experiment_of(w).id,
    "Experiment.list": lambda w: [one.name for one in Experiment.list(w.workspace, "members")] == ["members"],
    "Experiment.name": lambda w: w.experiment.name == "members",
    "Experiment.reactivate": lambda w: changed(experiment_of(w), Experiment.archive, Experiment.reactivate).archived_time is None,
    "Experiment.refresh": lambda w: changed(w.experiment, Experiment.refresh).tags == {},
    "Experiment.remove_tags": lambda w: changed(experiment_of(w), lambda e: e.tag("a"), lambda e: e.remove_tags("a")).tags == {},
    "Experiment.set_tags": lambda w: changed(experiment_of(w), lambda e: e.set_tags({"a": 1, "b": None})).tags == {"a": "1", "b": None},
    "Experiment.start_logging": lambda w: (
        "ContentSnapshotId" in w.experiment.start_logging(outputs=None, snapshot_directory=w.folder / "code").get_properties()
    ),
    "Experiment.submit": lambda w: submitted(w, w.experiment.submit),
    "Experiment.tag": lambda w: changed(experiment_of(w), lambda e: e.tag("a", "x")).tags == {"a": "x"},
    "Experiment.tags": lambda w: w.experiment.tags == {},
    "Experiment.workspace": lambda w: w.experiment.workspace is w.workspace,
    "Experiment.workspace_object": lambda w: w.experiment.workspace_object is w.workspace,
    "Workspace.__init__": lambda w: Workspace("subscription", "group", "other", None, "basic", {"a": "b"}).name == "other",
    "Workspace.compute_targets": lambda w: "local" in w.workspace.compute_targets,
    "Workspace.create": lambda w: Workspace.create("made", location="westeurope", exist_ok=True).name == "made",
    "Workspace.experiments": lambda w: w.workspace.experiments["members"].name == "members",
    "Workspace.from_config": lambda w: Workspace.from_config().name == "default",
    "Workspace.get": lambda w: Workspace.get("other", subscription_id="s").name == "other",
    "Workspace.get_details": lambda w: w.workspace.get_details()["name"] == "default",
    "Workspace.get_run": lambda w: w.workspace.get_run(w.child.id).id == w.child.id,
    "Workspace.location": lambda w: w.workspace.location == "local",
    "Workspace.models": lambda w: newest(w).version == 2,
    "Workspace.name": lambda w: w.workspace.name == "default",
    "Workspace.resource_group": lambda w: Workspace("s", "g", "n").resource_group == "g",
    "Workspace.subscription_id": lambda w: Workspace("s", "g", "n").subscription_id == "s",
    "Workspace.tags": lambda w: Workspace("s", "g", "n", tags={"a": "b"}).tags == {"a": "b"},
    "Workspace.write_config": lambda w: config_of(w) == "default",
    "RunDetails.__init__": lambda w: RunDetails(run_instance=w.run).get_widget_data()["run"]["run_id"] == w.run.id,
    "RunDetails.get_widget_data": lambda w: RunDetails(w.child).get_widget_data({})["run"]["ended"] is True,
    "RunDetails.show": lambda w: "Completed" in shown(w) and "loss: 0.5" in shown(w),
}


def newest(world: World) -> Model:
    name = world.name()
    for _ in range(2):
        Model.register(world.workspace, str(world.source), name)
    return world.workspace.models[name]


def config_of(world: World) -> str:
    folder = world.folder / world.name()
    world.workspace.write_config(folder)
    return Workspace.from_config(folder).name


SAID = {f"{owner}.{name}": said for owner, table in rows().items() for name, said in table.items()}


@pytest.mark.parametrize("name", sorted(name for name, said in SAID.items() if said != "raises"))
def test_a_member_that_is_said_to_work_does(world: World, name: str) -> None:
    (world.folder / "code").mkdir(exist_ok=True)
    (world.folder / "code" / "source.txt").write_text("text")
    assert BEHAVIOUR[name](world)


@pytest.mark.parametrize("name", sorted(name for name, said in SAID.items() if said == "raises"))
def test_a_member_that_is_said_to_raise_says_what_to_use(world: World, name: str) -> None:
    owner, _, member = name.partition(".")
    of = {"Run": world.run, "Experiment": world.experiment, "Workspace": world.workspace}[owner]
    known = CLASSES[owner][1].get(member)
    needed = [each for each in (known.parameters if known else None) or () if each.default is None and not each.stars]
    with pytest.raises(Unsupported) as caught:
        getattr(of, member)(*["x"] * len(needed))
    assert member in str(caught.value)
    assert ";" in str(caught.value)  # what to use instead
    assert name not in BEHAVIOUR


def test_what_a_workspace_has_not_is_not_there_for_who_asks_first(world: World) -> None:
    assert [name for name in INSTEAD if hasattr(world.workspace, name)] == []
    assert getattr(world.workspace, "datastores", None) is None
    with pytest.raises(AttributeError, match="no attribute 'experiment'"):
        _ = world.workspace.experiment  # type: ignore[attr-defined]  # what is neither azureml-core's nor ours
