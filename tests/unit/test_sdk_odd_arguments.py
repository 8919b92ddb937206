"""What scripts pass by mistake, and what their errors look like: nothing of it may hide the script's own result or spoil what is sent."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import MagicMock

import numpy as np
import pytest

from runherald import Experiment, Run, Workspace
from runherald.errors import InvalidInput
from runherald.status import Status
from tests.unit.test_sdk_run import changes, points, recorded, statuses

HALF = "\ud800x"


class Name(enum.StrEnum):
    LOSS = "loss"


class Unspeakable:
    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


class Unfloatable:
    def __float__(self) -> NoReturn:
        raise KeyError("no number")

    def item(self) -> NoReturn:
        raise IndexError("no item")


@pytest.fixture
def home(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    return tmp_path / "home"


@pytest.fixture
def experiment(home: Path) -> Iterator[Experiment]:
    workspace = Workspace()
    yield Experiment(workspace, "digits")
    workspace.session.close()


@pytest.fixture
def run(experiment: Experiment) -> Run:
    return experiment.start_logging()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.log(["a"], 1.0), "metric's name is a list"),
        (lambda run: run.log_row({}, a=1), "metric's name is a dict"),
        (lambda run: run.log("t", HALF), "metric 't': value is a text with half a surrogate pair at position 0"),
        (lambda run: run.log("t", 10**400), "metric 't': value is an int beyond what a float can hold"),
        (lambda run: run.log("t", Unfloatable()), "metric 't': value is a Unfloatable; log a number"),
        (lambda run: run.log("t", 1.0, description=HALF), "metric 't': description is a text with half a surrogate pair"),
        (lambda run: run.log_row("t", a=HALF), "metric 't', column 'a': is a text with half a surrogate pair"),
        (lambda run: run.log_row("t", **{HALF: 1}), "metric 't': a column's name is a text with half a surrogate pair"),
        (lambda run: run.log_row("t", a=Unfloatable()), "metric 't', column 'a': is a Unfloatable"),
        (lambda run: run.log_list("t", [1, HALF]), "metric 't': item 1 is a text with half a surrogate pair"),
        (lambda run: run.log_list("t", [1, "x" * 10_001]), "metric 't': item 1 is a text of 10001 characters"),
        (lambda run: run.log_table("t", {"a": [HALF]}), "metric 't', column 'a': is a text with half a surrogate pair"),
        (lambda run: run.log_table("t", {b"a": [1]}), "metric 't': a column's name is a bytes"),
        (lambda run: run.tag("t", Unspeakable()), "tag 't': a Unspeakable whose str() raises RuntimeError"),
        (lambda run: run.tag(["a"], 1), "a tag's key is a list"),
        (lambda run: run.remove_tags(5), "tags to remove are a int"),
        (lambda run: run.remove_tags(""), "tags (a key): is empty"),
        (lambda run: run.add_properties({"t": Unspeakable()}), "property 't': a Unspeakable whose str() raises RuntimeError"),
        (lambda run: setattr(run, "display_name", "a\nb"), "display_name holds a control character at position 1"),
        (lambda run: setattr(run, "display_name", HALF), "display_name is a text with half a surrogate pair"),
        (lambda run: setattr(run, "description", HALF), "description is a text with half a surrogate pair"),
    ],
)
def test_odd_arguments_are_named_and_leave_nothing(home: Path, run: Run, call: Callable[[Any], None], message: str) -> None:
    before = recorded(home, run)
    with pytest.raises(InvalidInput) as caught:
        call(run)
    assert message in str(caught.value)
    assert f"run {run.id}" in str(caught.value)
    assert recorded(home, run) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"display_name": 5}, "display_name is a int"),
        ({"display_name": "x" * 300}, "display_name is a text of 300 characters; at most 256"),
        ({"display_name": "a\nb"}, "display_name holds a control character"),
        ({"description": 5}, "description is a int"),
        ({"description": HALF}, "description is a text with half a surrogate pair"),
        ({"tags": ["a"]}, "tags are a list"),
        ({"tags": ""}, "tags are a str"),
        ({"tags": {"a": Unspeakable()}}, "tag 'a': a Unspeakable whose str() raises"),
        ({"run_id": 5}, "run_id: is a int"),
    ],
)
def test_a_run_begins_whole_or_not_at_all(home: Path, experiment: Experiment, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        experiment.start_logging(**arguments)
    assert message in str(caught.value)
    assert not (home / "journals").exists()


def test_what_is_no_workspace_and_no_run_id_is_named_at_once(experiment: Experiment) -> None:
    with pytest.raises(InvalidInput, match="the workspace is a str; pass a Workspace"):
        Experiment("digits", "digits")  # type: ignore[arg-type]  # the mistake that is to be named
    with pytest.raises(InvalidInput, match="run_id: is a int; pass a text"):
        Run(experiment, 5)  # type: ignore[arg-type]  # the mistake that is to be named


def test_texts_of_other_classes_name_metrics_and_runs(home: Path, experiment: Experiment) -> None:
    run = experiment.start_logging(run_id=np.str_("plain"), display_name=None, description=np.str_("why"), tags={np.str_("k"): Name.LOSS})
    run.log(Name.LOSS, 1.0)
    run.log(np.str_("loss"), 2.0, description=Name.LOSS)
    columns: dict[str, Any] = {np.str_("x"): 1}
    run.log_row(np.str_("row"), **columns)
    run.log_table("table", {np.str_("x"): [1]})
    run.log_list(Name.LOSS, [3.0])
    run.display_name = Name.LOSS
    run.remove_tags(np.str_("k"))
    assert points(home, run) == [("loss", 0, 1.0), ("loss", 1, 2.0), ("loss", 2, 3.0)]
    assert [change.tags_removed for change in changes(home, run)][-1] == ("k",)
    assert run.tags == {}


def test_a_value_that_holds_others_of_its_kind_without_end_is_taken_or_refused_at_once(home: Path, run: Run) -> None:
    run.log("mock", MagicMock())
    run.log("longdouble", np.longdouble("1.5"))
    assert points(home, run) == [("mock", 0, 1.0), ("longdouble", 0, 1.5)]


def failed_with(home: Path, experiment: Experiment, error: BaseException) -> Any:
    with pytest.raises(type(error)), experiment.start_logging() as run:
        raise error
    last = statuses(home, run)[-1]  # checked as the server does
    assert last.status is Status.FAILED
    return last


@pytest.mark.parametrize(
    "error",
    [
        ValueError(HALF),
        ValueError(Unspeakable()),
        ValueError("\0\x07" * 5_000),
        type("Long" * 200, (Exception,), {})("x"),
        type("Line\nbreak", (Exception,), {"__module__": None})("x"),
        type("Loud", (BaseException,), {"__str__": Unspeakable.__str__})(),
        ExceptionGroup("group", [ValueError(HALF), ExceptionGroup("inner", [KeyError("a")])]),
        SystemExit(2**80),
        SystemExit(HALF),
        SystemExit(Unspeakable()),
        GeneratorExit(),
    ],
    ids=lambda error: type(error).__name__[:20],
)
def test_any_exception_fails_the_run_and_stays_the_scripts_own(home: Path, experiment: Experiment, error: BaseException) -> None:
    assert failed_with(home, experiment, error).error.error.debug_info.stack_trace


def test_the_exit_status_true_is_a_failure_with_status_1(home: Path, experiment: Experiment) -> None:
    failed = failed_with(home, experiment, SystemExit(True))
    assert type(failed.evidence.exit_code) is int
    assert failed.evidence.exit_code == 1


@pytest.mark.parametrize("code", [None, 0, False])
def test_exit_status_0_in_any_form_completes(home: Path, experiment: Experiment, code: object) -> None:
    with pytest.raises(SystemExit), experiment.start_logging() as run:
        raise SystemExit(code)
    assert statuses(home, run)[-1].status is Status.COMPLETED


@pytest.mark.parametrize(("details", "code"), [(HALF, HALF), (Unspeakable(), Unspeakable()), ("x" * 10_000, "c\n" * 10_000)])
def test_any_reason_fails_a_run(home: Path, experiment: Experiment, details: object, code: object) -> None:
    run = experiment.start_logging()
    run.fail(details, error_code=code)
    assert statuses(home, run)[-1].status is Status.FAILED


def test_a_script_and_user_of_any_name_begin_runs(home: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/tmp/tr\udcffin\n.py"])
    monkeypatch.setattr("getpass.getuser", lambda: "us\udcffer\n")
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 300)
    header = changes(home, experiment.start_logging())[0].header
    assert header is not None
    assert (header.script_name, header.user) == ("tr?in .py", "us?er ")


@pytest.mark.parametrize(("seconds", "said"), [(0, "0"), (-1.5, "-1.5"), (10**9, "1000000000"), (True, "True"), ("60", "a str")])
def test_a_lease_that_cannot_be_is_named_with_what_to_pass(run: Run, seconds: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"lease_seconds: is {said}; pass a number of seconds above 0 and at most 604800"):
        run.experiment.start_logging(lease_seconds=seconds)  # type: ignore[arg-type]  # what the test is about
