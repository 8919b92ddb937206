"""Run, Experiment, Workspace: what they record, and what they refuse, with nobody to send to."""

from __future__ import annotations

import copy
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from runherald import Experiment, Run, Workspace
from runherald.errors import InvalidInput, SettingsError, Unreachable
from runherald.events import AmlRunEvent, AmlRunHeartbeatEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, Event
from runherald.producers.errors import Unsupported
from runherald.producers.journal.folder import journal_folders
from runherald.producers.journal.reader import JournalReader
from runherald.producers.shipping.batching import to_events
from runherald.status import Cause, Status
from runherald.validation import check_event


@pytest.fixture
def home(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RUNHERALD_LOG", "RUNHERALD_WORKSPACE", "RUNHERALD_TOKEN", "RUNHERALD_CONFIG", "RUNHERALD_LEASE_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def experiment(home: Path) -> Iterator[Experiment]:
    workspace = Workspace()
    yield Experiment(workspace, "digits")
    workspace.session.close()


@pytest.fixture
def run(experiment: Experiment) -> Run:
    return experiment.start_logging()


def recorded(home: Path, run: Run) -> list[Event]:
    """Return the events that the run's journals hold, heartbeats left out."""
    found: list[Event] = []
    for folder in journal_folders(home):
        head = folder.head()
        if head.run_id == run.id:
            found += to_events(JournalReader(folder).read(100_000), head).events
    for event in found:
        check_event(event)
    return [event for event in found if not isinstance(event.data, AmlRunHeartbeatEvent)]


def statuses(home: Path, run: Run) -> list[AmlRunStatusChangedEvent]:
    return [event.data for event in recorded(home, run) if isinstance(event.data, AmlRunStatusChangedEvent)]


def changes(home: Path, run: Run) -> list[AmlRunEvent]:
    return [event.data for event in recorded(home, run) if isinstance(event.data, AmlRunEvent)]


def points(home: Path, run: Run) -> list[tuple[str, int, float]]:
    return [
        (event.data.names[series], step, value)
        for event in recorded(home, run)
        if isinstance(event.data, AmlRunMetricEvent)
        for series, step, value in zip(event.data.series, event.data.steps, event.data.values, strict=True)
    ]


def test_a_run_is_created_and_runs(home: Path, experiment: Experiment) -> None:
    run = experiment.start_logging(display_name="first", description="why", tags={"lr": 0.1, "flag": None}, snapshot_directory=".")
    created, running = (event.data for event in recorded(home, run)[:2])
    assert isinstance(created, AmlRunEvent)
    assert created.operation == "Created"
    assert created.header is not None
    assert created.header.experiment_name == "digits"
    assert created.header.root_run_id == run.id
    assert created.header.tags == {"lr": "0.1", "flag": None}
    assert isinstance(running, AmlRunStatusChangedEvent)
    assert running.status is Status.RUNNING
    assert (run.display_name, run.description, run.status, run.tags) == ("first", "why", "Running", {"lr": "0.1", "flag": None})


def test_a_child_knows_its_parent_and_root(home: Path, run: Run) -> None:
    child = run.child_run("kid")
    grandchild = child.child_run(run_id="grand-child")
    header = changes(home, grandchild)[0].header
    assert header is not None
    assert (header.parent_run_id, header.root_run_id) == (child.id, run.id)
    assert (grandchild.id, grandchild.name, child.name) == ("grand-child", "grand-child", "kid")
    assert grandchild.parent is child


def test_steps_count_by_themselves_or_are_the_scripts(home: Path, run: Run) -> None:
    run.log("a", 1.0)
    run.log("a", 2)
    run.log_list("a", [np.float32(0.5), True])
    run.log("b", 5.0, step=np.int64(3))
    run.log("b", 6.0, step=1)
    assert points(home, run) == [("a", 0, 1.0), ("a", 1, 2.0), ("a", 2, 0.5), ("a", 3, 1.0), ("b", 3, 5.0), ("b", 1, 6.0)]


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.log("counted", 1.0, step=1),
        lambda run: run.log("counted", 1.0, step=0),
        lambda run: run.log("given", 1.0),
        lambda run: run.log("given", "text"),
        lambda run: run.log_list("given", [1.0, 2.0]),
        lambda run: run.log_row("given", a=1.0),
        lambda run: run.log_table("given", {"a": [1.0]}),
    ],
)
def test_a_step_is_given_for_all_values_of_a_name_or_for_none(home: Path, run: Run, call: Callable[[Run], None]) -> None:
    run.log("counted", 1.0)
    run.log("given", 1.0, step=0)
    before = recorded(home, run)
    with pytest.raises(
        InvalidInput, match=f"run {run.id}: metric '(counted|given)': was logged with.* a step before; pass a step with all"
    ):
        call(run)
    assert recorded(home, run) == before


def test_no_two_points_have_the_same_time(home: Path, run: Run) -> None:
    def log() -> None:
        for _ in range(300):
            run.log("a", 1.0, step=0)

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = [time for event in recorded(home, run) if isinstance(event.data, AmlRunMetricEvent) for time in event.data.times]
    assert len(times) == 1_200
    assert times == sorted(set(times))


def test_texts_rows_tables_and_numbers_that_json_lacks(home: Path, run: Run) -> None:
    run.log("note", "hello", description="a text")
    run.log("loss", math.nan)
    run.log_row("row", x=1, y=math.inf)
    run.log_table("table", {"a": [1, 2], "b": ["x", "y"]})
    (data,) = (event.data for event in recorded(home, run) if isinstance(event.data, AmlRunMetricEvent))
    assert data.texts[0].text == "hello"
    assert data.descriptions == {"note": "a text"}
    assert data.nonfinite == {"0": "NaN"}
    assert [(item.name, item.kind, msgspec.json.decode(item.value)) for item in data.objects] == [
        ("row", "row", {"x": 1, "y": "Infinity"}),
        ("table", "table", {"a": [1, 2], "b": ["x", "y"]}),
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.log("a\nb", 1), "control character U+000A"),
        (lambda run: run.log("", 1), "empty"),
        (lambda run: run.log("n" * 256, 1), "256 characters"),
        (lambda run: run.log(5, 1), "name is a int"),
        (lambda run: run.log("m", [1]), "metric 'm': value is a list"),
        (lambda run: run.log("m", None), "metric 'm': value is a NoneType"),
        (lambda run: run.log("m", "x" * 10_001), "metric 'm': value is a text of 10001 characters"),
        (lambda run: run.log("m", 1, step="a"), "metric 'm': step is a str"),
        (lambda run: run.log("m", 1, step=2**63), "metric 'm': step does not fit"),
        (lambda run: run.log("m", 1, description=5), "metric 'm': description"),
        (lambda run: run.log_list("m", []), "metric 'm': the list is empty"),
        (lambda run: run.log_row("m"), "metric 'm': has no columns"),
        (lambda run: run.log_table("m", {"a": [1], "b": []}), "metric 'm': the columns differ"),
        (lambda run: run.tag("k", "x" * 2_000_000), "tags[k]: is 2000000 characters long; at most 1000"),
        (lambda run: run.tag("k\x00"), "control character U+0000"),
        (lambda run: run.tag(5), "tag's key is a int"),
        (lambda run: run.set_tags("k"), "tags are a str"),
        (lambda run: run.set_tags({str(i): i for i in range(51)}), "51 keys; at most 50"),
        (lambda run: run.add_properties({"p": "x" * 1_001}), "properties[p]: is 1001 characters"),
        (lambda run: run.add_properties(["p"]), "properties are a list"),
    ],
)
def test_what_cannot_be_taken_is_named_at_once_and_leaves_nothing(home: Path, run: Run, call: Callable[[Any], None], message: str) -> None:
    before = recorded(home, run)
    with pytest.raises(InvalidInput) as caught:
        call(run)
    assert message in str(caught.value)
    assert f"run {run.id}" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert recorded(home, run) == before


def test_tags_change_and_properties_do_not(home: Path, run: Run) -> None:
    run.tag("stage", "train")
    run.tag("flag")
    run.set_tags({"lr": 0.5, "stage": "test"})
    run.remove_tags(["flag"])
    run.add_properties({"author": "me", "count": 3})
    run.add_properties({"author": "me"})
    assert run.tags == {"stage": "test", "lr": "0.5"}
    assert run.properties == {"author": "me", "count": "3"}
    with pytest.raises(InvalidInput, match="property 'author' has another value already"):
        run.add_properties({"author": "you"})
    run.display_name = "new name"
    run.description = "new words"
    assert (run.display_name, run.name, run.description) == ("new name", "new name", "new words")
    assert changes(home, run)[-1].description == "new words"


def test_a_block_that_ends_completes_the_run(home: Path, experiment: Experiment) -> None:
    with experiment.start_logging() as run:
        run.log("loss", 1.0)
    assert statuses(home, run)[-1].status is Status.COMPLETED
    assert run.status == "Completed"


def boom() -> None:
    raise ValueError("bad learning rate")


def test_a_block_left_by_an_exception_fails_the_run_with_type_message_and_traceback(home: Path, experiment: Experiment) -> None:
    with pytest.raises(ValueError, match="bad learning rate"), experiment.start_logging() as run:
        boom()
    failed = statuses(home, run)[-1]
    assert (failed.status, failed.cause) == (Status.FAILED, Cause.CODE_ERROR)
    assert failed.error is not None
    assert failed.error.error.code == "UserError"
    assert failed.error.error.message == failed.message == "User program failed with ValueError: bad learning rate"
    debug = failed.error.error.debug_info
    assert debug is not None
    assert (debug.type, debug.message) == ("ValueError", "bad learning rate")
    assert "in boom" in debug.stack_trace


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (SystemExit(0), Status.COMPLETED, None),
        (SystemExit(), Status.COMPLETED, None),
        (SystemExit(3), Status.FAILED, Cause.CODE_ERROR),
        (SystemExit("no data"), Status.FAILED, Cause.CODE_ERROR),
        (KeyboardInterrupt(), Status.CANCELED, Cause.USER),
        (MemoryError(), Status.FAILED, Cause.OUT_OF_MEMORY),
        (ValueError("x" * 200_000), Status.FAILED, Cause.CODE_ERROR),
        (Unspeakable(), Status.FAILED, Cause.CODE_ERROR),
    ],
)
def test_what_leaves_a_block_says_how_the_run_ended(
    home: Path, experiment: Experiment, error: BaseException, status: Status, cause: Cause | None
) -> None:
    with pytest.raises(type(error)), experiment.start_logging() as run:
        raise error
    assert (statuses(home, run)[-1].status, statuses(home, run)[-1].cause) == (status, cause)


def test_the_exit_status_is_evidence(home: Path, experiment: Experiment) -> None:
    with pytest.raises(SystemExit), experiment.start_logging() as run:
        raise SystemExit(3)
    evidence = statuses(home, run)[-1].evidence
    assert evidence is not None
    assert evidence.exit_code == 3


def test_leaving_a_block_after_a_request_to_cancel_was_seen_cancels(home: Path, experiment: Experiment) -> None:
    def leave(*, look: bool) -> Run:
        with experiment.start_logging() as run:
            run.log("loss", 1.0)
            recorder = run._writer._recorder
            assert recorder is not None
            recorder.queue.cancel_requested = True
            if look:
                assert run.cancel_requested
        return run

    assert statuses(home, leave(look=True))[-1].status is Status.CANCELED
    assert statuses(home, leave(look=False))[-1].status is Status.COMPLETED


@pytest.mark.parametrize(
    ("details", "code", "message", "said_code"),
    [
        (None, None, "", "UserError"),
        ("no disk", None, "no disk", "UserError"),
        ("no disk", "DiskError", "no disk", "DiskError"),
        (ValueError("bad"), "Mine", "User program failed with ValueError: bad", "Mine"),
        ("x" * 5_000, None, "x" * 2_999 + "…", "UserError"),
    ],
)
def test_fail_takes_a_text_or_an_exception(home: Path, run: Run, details: object, code: object, message: str, said_code: str) -> None:
    run.fail(details, code)
    failed = statuses(home, run)[-1]
    assert failed.error is not None
    assert (failed.message, failed.error.error.message, failed.error.error.code) == (message, message, said_code)


def test_after_its_end_a_run_takes_tags_but_no_metrics_and_no_other_end(home: Path, run: Run) -> None:
    run.complete()
    run.complete()
    calls: list[Callable[[], None]] = [lambda: run.log("a", 1.0), lambda: run.log_list("a", [1]), lambda: run.log_row("a", b=1)]
    for call in calls:
        with pytest.raises(InvalidInput, match="has ended as Completed"):
            call()
    with pytest.raises(InvalidInput, match="has ended as Completed and cannot become Failed"):
        run.fail("late")
    run.tag("judged", "good")
    assert changes(home, run)[-1].tags == {"judged": "good"}
    assert [one.status for one in statuses(home, run)] == [Status.RUNNING, Status.COMPLETED]


def test_cancel_of_an_own_run_ends_it(home: Path, run: Run) -> None:
    run.cancel()
    assert (statuses(home, run)[-1].status, statuses(home, run)[-1].cause) == (Status.CANCELED, Cause.USER)


def test_nothing_raises_or_waits_when_nobody_is_there(home: Path, experiment: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    begin = time.monotonic()
    with caplog.at_level(logging.WARNING):
        # Not by the fixture: its thread may tell of the server between the test's setup and its call, when nobody listens.
        run = experiment.start_logging()
        for step in range(100):
            run.log("loss", 1.0, step=step)
        run.flush(0.1)
        run.complete()
    assert time.monotonic() - begin < 5
    assert len([one for one in caplog.messages if "shipper_waits" in one]) == 1
    assert "does not answer" in run.health.transport
    assert len(points(home, run)) == 100


def test_health_says_what_waits_and_why(home: Path, run: Run) -> None:
    run.log("loss", 1.0)
    run.flush(0.3)
    health = run.health
    assert not health.ok
    assert health.journal.startswith(str(home))
    assert health.waiting == health.recorded >= 3
    assert "does not answer" in health.transport


def test_health_says_when_the_disk_does_not_take_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "file"))
    workspace = Workspace()
    run = Experiment(workspace, "digits").start_logging()
    run.log("loss", 1.0)
    assert "Not a directory" in run.health.disk
    assert run.health.recorded >= 3
    run.complete()
    workspace.session.close()


def test_reads_say_that_nobody_is_there(run: Run, experiment: Experiment) -> None:
    reads: list[Callable[[], Any]] = [run.get_status, run.get_details, run.get_metrics, run.get_tags, run.get_children, experiment.get_runs]
    for read in reads:
        with pytest.raises(Unreachable, match="RUNHERALD_URL"):
            list(read())


def test_an_attached_run_records_and_beats_no_heart(home: Path, experiment: Experiment) -> None:
    run = Run(experiment, "made-elsewhere")
    run.log("loss", 1.0)
    run.tag("k", "v")
    assert [event.type for event in recorded(home, run)] == ["AmlRunMetricEvent", "AmlRunEvent"]
    recorder = run._writer._recorder
    assert recorder is not None
    assert recorder.queue.beat is None


@pytest.mark.parametrize("run_id", ["", "a b", "x" * 257, "a/b"])
def test_ids_that_no_run_can_have_are_refused(experiment: Experiment, run_id: str) -> None:
    with pytest.raises(InvalidInput, match="run_id"):
        Run(experiment, run_id)
    with pytest.raises(InvalidInput, match="run_id"):
        experiment.start_logging(run_id=run_id)


def test_names_and_arguments_that_cannot_be_are_refused(experiment: Experiment) -> None:
    with pytest.raises(InvalidInput, match="letter or a digit"):
        Experiment(experiment.workspace, "_x")
    with pytest.raises(InvalidInput, match="experiment"):
        Experiment(experiment.workspace, "")
    with pytest.raises(InvalidInput, match="snapshot_dir"):
        experiment.start_logging(snapshot_dir=".")
    for seconds in (0, -1, 10**9, True, "60"):
        with pytest.raises(InvalidInput, match="lease_seconds"):
            experiment.start_logging(lease_seconds=seconds)  # type: ignore[arg-type]


def test_a_workspace_is_the_default_one_or_what_the_settings_say(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Workspace().name == Workspace.from_config().name == "default"
    assert Workspace("subscription", "group", "team").name == Workspace.get("team").name == Workspace(name="team").name == "team"
    assert Workspace().session is Workspace(name="team").session
    with pytest.raises(InvalidInput, match="workspace_name: is not given, and the first argument is Azure's subscription"):
        Workspace("team")
    monkeypatch.setenv("RUNHERALD_LEASE_SECONDS", "15")
    assert Workspace().lease_seconds == 15.0
    monkeypatch.setenv("RUNHERALD_LEASE_SECONDS", "soon")
    with pytest.raises(SettingsError, match="RUNHERALD_LEASE_SECONDS"):
        Workspace()


def test_azures_config_file_names_the_workspace(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a" / "b"
    (tmp_path / "a" / ".azureml").mkdir(parents=True)
    folder.mkdir()
    config = tmp_path / "a" / ".azureml" / "config.json"
    config.write_text(json.dumps({"subscription_id": "s", "resource_group": "g", "workspace_name": "team"}))
    monkeypatch.chdir(folder)
    workspace = Workspace.from_config()
    assert (workspace.name, workspace.subscription_id, workspace.resource_group, workspace.location) == ("team", "s", "g", "local")
    assert Workspace.from_config(config).name == Workspace.from_config(str(folder)).name == "team"
    config.write_text("{}")
    with pytest.raises(InvalidInput, match=r"config.json: workspace_name"):
        Workspace.from_config()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"empty: has no config\.json"):
        Workspace.from_config(tmp_path / "empty")
    with pytest.raises(InvalidInput, match=r"nowhere\.json: there is no such file or folder; .*config\.json"):
        Workspace.from_config(tmp_path / "nowhere.json")


def test_an_argument_that_cannot_be_taken_is_named_as_python_knows_it(home: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^Workspace: url: does not begin with a scheme; write .*http://host:port"):
        Workspace(url="127.0.0.1:7460")


def test_the_portal_url_is_that_of_the_runs_page(run: Run, experiment: Experiment) -> None:
    assert run.get_portal_url() == f"{experiment.workspace.session.client.url}/runs/{run.id}"


def test_a_copy_of_a_run_is_the_run_and_no_other_process_gets_one(run: Run, experiment: Experiment) -> None:
    for thing, instead in ((run, r"Run\.get"), (experiment, r"Experiment\(Workspace"), (experiment.workspace, r"Workspace\(name=")):
        assert copy.copy(thing) is copy.deepcopy({"held": thing})["held"] is thing
        with pytest.raises(Unsupported, match=f"cannot be sent to another process; .*{instead}"):
            ForkingPickler.dumps(thing)
