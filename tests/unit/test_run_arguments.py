"""What Run and Experiment refuse at once: wrong types and counts, named with what to do; nothing of it is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runherald import Experiment, Run, Workspace
from runherald.errors import InvalidInput
from runherald.events import AmlRunHeartbeatEvent
from runherald.producers.journal.folder import journal_folders
from runherald.producers.journal.reader import JournalReader
from runherald.producers.shipping.batching import to_events

Call = Callable[[Any], object]
AnyRun: Any = Run
AnyExperiment: Any = Experiment


@pytest.fixture
def home(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LOG", "WORKSPACE", "TOKEN", "CONFIG", "LEASE_SECONDS"):
        monkeypatch.delenv(f"RUNHERALD_{name}", raising=False)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Iterator[Run]:
    workspace = Workspace()
    yield Experiment(workspace, "digits").start_logging(tags={"first": 1})
    workspace.session.close()


def records(home: Path) -> list[str]:
    """Return the ids of the events that the journals hold, without heartbeats."""
    return sorted(
        event.id
        for folder in journal_folders(home)
        for event in to_events(JournalReader(folder).read(10_000), folder.head()).events
        if not isinstance(event.data, AmlRunHeartbeatEvent)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.get_children(tags=5), "get_children: tags are a int; pass a key, or a dictionary"),
        (lambda run: run.get_children(properties=["a"]), "get_children: properties are a list"),
        (lambda run: run.get_children(type=5), "get_children: type is a int; pass a text"),
        (lambda run: run.get_children(status="Done"), "get_children: status: 'Done' is no status; there are "),
        (lambda run: run.experiment.get_runs(tags=5), "experiment 'digits': get_runs: tags are a int"),
        (lambda run: Run.list(run.experiment, status="Done"), "Run.list: status: 'Done' is no status"),
        (lambda _: Run.list_by_compute(5), "list_by_compute: compute is a int without a name"),
        (lambda _: Run.list_by_compute(SimpleNamespace(name="")), "list_by_compute: compute is a SimpleNamespace without a name"),
        (lambda _: Run.list_by_compute("local", status="Failed"), "list_by_compute: status: is none of Queued, Running"),
        (lambda run: AnyRun.get(run.experiment.workspace, "a/b"), "run_id"),
        (lambda run: AnyRun.get(run.experiment.workspace, 5), "run_id: is a int"),
        (lambda _: AnyRun("digits", "r"), "run: the experiment is a str; pass an Experiment"),
        (lambda run: run.get_metrics(5), "name is a int"),
        (lambda run: run.create_children(), "pass either count, or tag_key and tag_values"),
        (lambda run: run.create_children(2, "k", [1, 2]), "pass either count, or tag_key and tag_values"),
        (lambda run: run.create_children(tag_values=[1]), "pass either count, or tag_key and tag_values"),
        (lambda run: run.create_children("3"), "create_children: count is a str; pass a whole number"),
        (lambda run: run.create_children(True), "create_children: count is a bool"),
        (lambda run: run.create_children(0), "there would be 0 children; begin from 1 to 100"),
        (lambda run: run.create_children(tag_key="k", tag_values="ab"), "tag_values is a str; pass a list"),
        (lambda run: run.create_children(tag_key="k", tag_values=["a", "x" * 1_001]), "tags[k]: is 1001 characters long"),
        (lambda run: run.create_children(tag_key=5, tag_values=["a"]), "tag's key is a int"),
        (lambda run: run.child_run(name="a\nb"), "display_name holds a control character"),
        (lambda run: run.child_run(run_id="a b"), "run_id"),
        (lambda run: run.set_tags({str(at): at for at in range(50)}), "tags: there would be 51 of them; at most 50 are kept: remove some"),
        (lambda run: run.experiment.tag(5), "experiment 'digits': a tag's key is a int"),
        (lambda run: run.experiment.set_tags("k"), "experiment 'digits': tags are a str"),
        (lambda run: run.experiment.remove_tags(5), "experiment 'digits': the tags to remove are a int"),
        (lambda run: run.experiment.reactivate("new"), "experiment 'digits': new_name: an experiment keeps its name"),
        (lambda run: Experiment.list(run.experiment.workspace, view_type="Some"), "view_type: is none of ActiveOnly, ArchivedOnly, All"),
        (lambda run: AnyExperiment.list(run.experiment.workspace, tags=5), "Experiment.list: tags are a int"),
    ],
)
def test_what_cannot_be_is_named_at_once_and_leaves_nothing(home: Path, run: Run, call: Call, message: str) -> None:
    before = records(home)
    with pytest.raises(InvalidInput) as caught:
        call(run)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    assert records(home) == before


def test_there_are_at_most_fifty_properties_however_they_come(home: Path, run: Run) -> None:
    for at in range(50):
        run.add_properties({str(at): at})
    run.add_properties({"0": 0})
    with pytest.raises(InvalidInput, match=f"run {run.id}: properties: there would be 51 of them; at most 50 are kept"):
        run.add_properties({"one more": 1})
    assert len(run.properties) == 50
