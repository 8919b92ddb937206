"""Models without a server: names, what is refused before anything is asked, and what is said of a version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runherald import Experiment, Model, Run, Workspace
from runherald.errors import InvalidInput, RunheraldError, Unreachable
from runherald.events import AmlRunEvent, Data
from runherald.producers.errors import NotFound, Unsupported
from runherald.producers.journal.folder import journal_folders
from runherald.producers.journal.reader import JournalReader
from runherald.producers.models.names import has, model_name, model_version, name_and_version, wanted
from runherald.producers.models.record import Described, ModelRecord, record_id
from runherald.producers.models.registration import TRIES, below, files_of_machine, files_of_run, register
from runherald.producers.server.sql_questions import OutputRow
from runherald.producers.shipping.batching import to_events
from runherald.state import fold

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    for name in ("LOG", "WORKSPACE", "TOKEN", "CONFIG", "FILES"):
        monkeypatch.delenv(f"RUNHERALD_{name}", raising=False)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", "offline")
    monkeypatch.chdir(tmp_path)
    opened = Workspace()
    yield opened
    opened.session.close()


@pytest.fixture
def run(workspace: Workspace) -> Run:
    return Experiment(workspace, "digits").start_logging()


def of_models(tmp_path: Path) -> list[Data]:
    """Return what stands in the journals of records of models."""
    folders = [folder for folder in journal_folders(tmp_path / "home") if folder.head().run_id.startswith("model-")]
    return [event.data for folder in folders for event in to_events(JournalReader(folder).read(100), folder.head()).events]


@pytest.mark.parametrize("name", ["a", "digits-net", "Net_2.1", "7", "x" * 255])
def test_a_name_that_azure_takes_is_taken(name: str) -> None:
    assert model_name("x", name) == name
    assert name_and_version("x", f"{name}:12") == (name, 12)


@pytest.mark.parametrize("name", ["", "x" * 256, "a b", "a/b", "a:1", "ä", "a\n", None, 3])
def test_another_name_is_refused(run: Run, workspace: Workspace, name: Any) -> None:
    with pytest.raises(InvalidInput, match="name"):
        model_name("x", name)
    calls: list[Callable[[], object]] = [
        lambda: run.register_model(name, "outputs"),
        lambda: Model.register(workspace, __file__, name),
        lambda: Model(workspace, name),
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match="name"):
            call()


@pytest.mark.parametrize("version", [0, -1, True, 1.5, "x", "", "1.0", "²", 2**32, [1]])
def test_another_version_than_a_whole_number_is_refused(version: Any) -> None:
    with pytest.raises(InvalidInput, match="version"):
        model_version("x", version)


@pytest.mark.parametrize("model_id", ["net", "net:", ":1", "net:x", 3])
def test_another_id_is_refused(workspace: Workspace, model_id: Any) -> None:
    with pytest.raises(InvalidInput, match="Model"):
        Model(workspace, id=model_id)


def test_what_is_wanted_is_said_in_any_way() -> None:
    assert wanted("x", ["a", ["b", 1]]) == wanted("x", {"a": None, "b": 1}) == [("a", None), ("b", "1")]
    assert wanted("x", "a") == [("a", None)]
    assert has({"a": None, "b": "1"}, [("a", None), ("b", "1")])
    assert not has({"b": "2"}, [("b", "1")])
    assert not has({}, [("a", None)])
    for wrong in (3, [3], [["a", "b", "c"]]):
        with pytest.raises(InvalidInput, match="tags"):
            wanted("tags", wrong)


REFUSED: list[tuple[Callable[[Run], object], type[RunheraldError], str]] = [
    (lambda run: run.register_model("net", "../x"), InvalidInput, "name of a file"),
    (lambda run: run.register_model("net", 3), InvalidInput, "int"),  # type: ignore[arg-type]  # what scripts pass
    (lambda run: run.register_model("net", "x", tags=["a"]), InvalidInput, "tags"),  # type: ignore[arg-type]  # what scripts pass
    (lambda run: run.register_model("net", "x", properties={"runherald.path": "y"}), InvalidInput, "runherald"),
    (lambda run: run.register_model("net", "x", properties={"k" * 101: "y"}), InvalidInput, "properties"),
    (lambda run: run.register_model("net", "x", description="x" * 5_001), InvalidInput, "description"),
    (lambda run: run.register_model("net", "x", model_framework_version="1"), InvalidInput, "model_framework"),
    (lambda run: run.register_model("net", "x", model_framework=3), InvalidInput, "model_framework"),  # type: ignore[arg-type]
    (lambda run: run.register_model("net", "x", datasets=[("training", 1)]), Unsupported, "datasets"),
    (lambda run: run.register_model("net", "x", resource_configuration=1), Unsupported, "resource_configuration"),
    (lambda run: run.register_model("net", "x", kind="y"), InvalidInput, "kind"),
    (lambda run: Model.register(run.experiment.workspace, "nowhere", "net"), InvalidInput, "nowhere"),
    (lambda run: Model.register(run.experiment.workspace, "", "net"), InvalidInput, "model_path"),
    (lambda run: Model.register(run.experiment.workspace, ".", "net", child_paths=["../x"]), InvalidInput, "child_paths"),
    (lambda run: Model.register(run.experiment.workspace, ".", "net", child_paths="x"), InvalidInput, "child_paths"),
    (lambda run: Model.register(None, ".", "net"), InvalidInput, "Workspace"),  # type: ignore[arg-type]  # what scripts pass
    (lambda run: Model.list(run.experiment.workspace, dataset_id="x"), Unsupported, "dataset_id"),
    (lambda run: Model.get_model_path("net"), Unsupported, "download"),
    (lambda run: Model(run.experiment.workspace), InvalidInput, "name"),
]


@pytest.mark.parametrize(("call", "error", "names"), REFUSED)
def test_what_cannot_be_is_refused_before_anybody_is_asked(
    run: Run, tmp_path: Path, call: Callable[[Run], object], error: type[RunheraldError], names: str
) -> None:
    with pytest.raises(error, match=names):
        call(run)
    assert of_models(tmp_path) == []


def test_without_a_server_nothing_is_registered_and_that_is_said(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(b"net")
    run.upload_file("outputs/net.bin", tmp_path / "net.bin")
    for call in (
        lambda: run.register_model("net", "outputs/net.bin"),
        lambda: Model.register(workspace, "net.bin", "net"),
        lambda: Model(workspace, "net"),
        lambda: Model.list(workspace),
    ):
        with pytest.raises(Unreachable, match="offline"):
            call()
    assert of_models(tmp_path) == []
    assert not list((tmp_path / "home" / "files").glob("model-*"))


def test_a_path_means_a_file_or_what_lies_below_it() -> None:
    rows = [OutputRow(path, 1, "", f"file:///{path}") for path in ("outputs/net", "outputs/net.bin", "outputs/net/a", "outputs/net/b/c")]
    assert [row.path for row in below(rows, "outputs/net")] == ["outputs/net", "outputs/net/a", "outputs/net/b/c"]
    assert [file.uri for file in files_of_run("r", rows, "outputs/net.bin")("any")] == ["file:///outputs/net.bin"]
    with pytest.raises(NotFound, match="outputs/ne'"):
        files_of_run("r", rows, "outputs/ne")


def test_files_of_a_machine_are_named_from_their_folder_on(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "net" / "b").mkdir(parents=True)
    (tmp_path / "net" / "a").write_bytes(b"a")
    (tmp_path / "net" / "b" / "c").write_bytes(b"c")
    assert [file.path for file in files_of_machine("x", workspace, tmp_path / "net", None)("model-1")] == ["net/a", "net/b/c"]
    assert [file.path for file in files_of_machine("x", workspace, tmp_path / "net", ["b"])("model-2")] == ["net/b/c"]
    assert (tmp_path / "home" / "files" / "model-1" / "net" / "b" / "c").read_bytes() == b"c"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="no files"):
        files_of_machine("x", workspace, tmp_path / "empty", None)


def test_the_second_who_claims_a_version_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(2):
        record = ModelRecord(workspace.session, workspace="default", name="net", version=1)
        record.claim(Described(path="net", tags={f"tag{number}": None}), f"registration{number}", NOW)
        record.close()
    folders = [folder for folder in journal_folders(tmp_path / "home") if folder.head().run_id.startswith("model-")]
    events = [event for folder in folders for event in to_events(JournalReader(folder).read(100), folder.head()).events]
    first, second = sorted(
        events, key=lambda event: isinstance(event.data, AmlRunEvent) and event.data.properties["runherald.registration"]
    )
    assert first.run_id == second.run_id == record_id("default", "net", 1)
    state = fold(None, first).state
    folded = fold(state, second)
    assert folded.rejection is not None
    assert folded.state.header == state.header
    assert (state.life, state.status, state.header.experiment_name) == ("Deleted", None, "")


class Taken:
    """A claim that somebody else was faster with."""

    claims: ClassVar[list[int]] = []

    def __init__(self, session: object, *, workspace: str, name: str, version: int) -> None:
        self.id, self._version = f"{name}:{version}", version

    def claim(self, described: Described, registration: str, created: datetime) -> None:
        self.claims.append(self._version)

    def is_of(self, registration: str) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""


def test_who_always_comes_second_gives_up_and_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace.session, "reader", lambda: None)
    monkeypatch.setattr("runherald.producers.models.registration.greatest_version", lambda *asked: 4)
    monkeypatch.setattr("runherald.producers.models.registration.ModelRecord", Taken)
    with pytest.raises(RunheraldError, match="register it again"):
        register(workspace, "net", Described(path="net"), lambda record: [])
    assert Taken.claims == list(range(5, 5 + TRIES))


def test_a_version_counts_when_its_last_file_is_told(workspace: Workspace, tmp_path: Path) -> None:
    record = ModelRecord(workspace.session, workspace="default", name="net", version=2)
    record.claim(Described(path="net", run_id="r", framework="Onnx"), "x", NOW)
    record.complete(3)
    record.close()
    claimed, completed = (data for data in of_models(tmp_path) if isinstance(data, AmlRunEvent))
    assert (claimed.operation, claimed.display_name) == ("Deleted", "net:2")
    assert {key: claimed.properties[f"runherald.{key}"] for key in ("name", "version", "run_id", "path", "framework")} == {
        "name": "net",
        "version": "2",
        "run_id": "r",
        "path": "net",
        "framework": "Onnx",
    }
    assert "runherald.files" not in claimed.properties
    assert (completed.operation, completed.properties) == ("Updated", {"runherald.files": "3"})
