"""What bridges tell a run: metrics, parameters and the end, and nothing that disturbs the training."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from runherald import Experiment, Run, Workspace
from runherald.bridges.reporting import Reporter, flat, is_rank_zero
from runherald.errors import InvalidInput
from runherald.limits import DEFAULT_LIMITS
from runherald.producers.allowed import allow
from runherald.status import Cause, Status
from tests.fixtures.journalled import params, points, statuses


@pytest.fixture
def experiment(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    workspace = Workspace(url=f"http://127.0.0.1:{free_port}")
    yield Experiment(workspace, "bridged")
    workspace.session.close()


@pytest.fixture
def run(experiment: Experiment) -> Run:
    return experiment.start_logging()


def test_what_a_run_does_not_take_is_named_once_and_the_rest_is_logged(tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    reporter = Reporter(run)
    with caplog.at_level(logging.WARNING, "runherald.bridges"):
        for step in range(3):
            reporter.metrics({"loss": 1.0 / (step + 1), "histogram": [1, 2], "none": None, "n\name": 2}, step)
    assert points(tmp_path, run.id) == {"loss": [(0, 1.0), (1, 0.5), (2, 1 / 3)], "n ame": [(0, 2.0), (1, 2.0), (2, 2.0)]}
    said = [record.getMessage() for record in caplog.records if record.name == "runherald.bridges"]
    assert len(said) == 2
    assert "a list" in said[0]


def test_a_run_that_has_ended_costs_the_training_nothing(run: Run) -> None:
    reporter = Reporter(run)
    run.complete()
    reporter.metrics({"loss": 1.0}, 0)
    reporter.params({"lr": 0.1})
    reporter.end()


@dataclass
class Settings:
    depth: int
    names: tuple[str, ...]


def test_parameters_are_taken_apart_and_become_texts() -> None:
    given = {"lr": 0.1, "optimizer": {"name": "adam", "betas": (0.9, 0.999)}, "none": None, "long": "x" * 10_000}
    texts = dict(flat(given)) | dict(flat(Namespace(model=Settings(3, ("a",)))))
    assert texts.pop("long") == "x" * (DEFAULT_LIMITS.param_value - 1) + "…"
    assert texts == {
        "lr": "0.1",
        "optimizer/name": "adam",
        "optimizer/betas": "(0.9, 0.999)",
        "none": "None",
        "model/depth": "3",
        "model/names": "('a',)",
    }
    loop: dict[str, object] = {}
    loop["loop"] = loop
    assert list(dict(flat(loop))) == ["loop/loop/loop/loop/loop"]


def test_a_run_keeps_the_first_two_hundred_parameters_and_says_what_is_left_out(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    reporter = Reporter(run)
    with caplog.at_level(logging.WARNING, "runherald.bridges"):
        reporter.params({f"first {number}": number for number in range(150)})
        reporter.params({"first 0": "again", **{f"second {number}": number for number in range(150)}})
    kept = params(tmp_path, run.id)
    assert (len(kept), kept["first 0"], kept["second 49"]) == (200, "again", "49")
    assert [record.getMessage() for record in caplog.records if "100 parameters are left out" in record.getMessage()]


def test_parameters_and_names_are_cut_to_the_limits_that_are_set(tmp_path: Path, run: Run) -> None:
    allow(replace(DEFAULT_LIMITS, params=2, param_key=3, param_value=4, metric_name=5))
    try:
        reporter = Reporter(run)
        reporter.params({"abcdef": "abcdef", "b": 1, "c": 2})
        reporter.metrics({"abcdef": 1.0}, 0)
    finally:
        allow(DEFAULT_LIMITS)
    assert params(tmp_path, run.id) == {"ab…": "abc…", "b": "1"}
    assert points(tmp_path, run.id) == {"abcd…": [(0, 1.0)]}


def test_a_run_is_begun_by_who_reports_and_ended_if_the_bridge_is_to(tmp_path: Path, experiment: Experiment) -> None:
    begun: list[Run] = []

    def begin() -> Run:
        begun.append(experiment.start_logging())
        return begun[-1]

    reporter = Reporter(begin, end_run=True)
    assert begun == []
    reporter.metrics({"loss": 1.0}, 0)
    reporter.metrics({"loss": 0.5}, 1)
    reporter.end()
    assert [status.status for status in statuses(tmp_path, begun[0].id)] == [Status.RUNNING, Status.COMPLETED]
    assert len(begun) == 1


def test_what_broke_the_training_off_is_why_the_run_failed(tmp_path: Path, run: Run) -> None:
    Reporter(run, end_run=True).end(ValueError("no luck"))
    last = statuses(tmp_path, run.id)[-1]
    assert (last.status, last.cause) == (Status.FAILED, Cause.CODE_ERROR)
    assert "no luck" in last.message


def test_a_run_that_others_began_is_not_ended(tmp_path: Path, run: Run) -> None:
    reporter = Reporter(run)
    reporter.metrics({"loss": 1.0}, 0)
    reporter.end(ValueError("no luck"))
    assert [status.status for status in statuses(tmp_path, run.id)] == [Status.RUNNING]


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({}, True),
        ({"RANK": "0"}, True),
        ({"RANK": "1"}, False),
        ({"RANK": "", "SLURM_PROCID": "3"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "2"}, True),
        ({"RANK": "8", "LOCAL_RANK": "0"}, False),
        ({"OMPI_COMM_WORLD_RANK": "2"}, False),
    ],
)
def test_the_first_process_of_several_reports(environ: dict[str, str], first: bool) -> None:
    assert is_rank_zero(environ) is first


def test_parameters_that_a_script_logs_itself_are_checked(tmp_path: Path, run: Run) -> None:
    run.log_params({"lr": 0.1, "layers": [64, 64]})
    run.log_params({"lr": 0.01})
    run.log_params({})
    assert params(tmp_path, run.id) == {"lr": "0.01", "layers": "[64, 64]"}
    with pytest.raises(InvalidInput, match="is 6001 characters long"):
        run.log_params({"text": "x" * 6_001})
    with pytest.raises(InvalidInput, match="at most 200"):
        run.log_params({str(number): number for number in range(201)})
    run.complete()
    with pytest.raises(InvalidInput, match="has ended"):
        run.log_params({"lr": 1})


def test_an_error_without_a_text_of_its_own_stops_no_training(caplog: pytest.LogCaptureFixture) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def source() -> Run:
        raise Unspeakable

    Reporter(source).metrics({"loss": 1.0}, 0)
    assert "reason='Unspeakable'" in caplog.text
