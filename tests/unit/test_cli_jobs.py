"""`runherald exec`, `compute` and `run submit-script`: what they take of settings and times, with no server."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald import Workspace
from runherald.cli.main import main
from runherald.producers.experiment import Experiment
from runherald.producers.jobs.script_run_config import ScriptRunConfig


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "settings.toml"
    file.write_text(f'url = "offline"\nhome = "{tmp_path / "home"}"\nworkspace = "team"\ncompute = ["gpu=2"]\n')
    for name in ("URL", "HOME", "WORKSPACE", "COMPUTE", "LOG"):
        monkeypatch.delenv(f"RUNHERALD_{name}", raising=False)
    monkeypatch.setenv("RUNHERALD_CONFIG", "")  # put back afterwards: the commands set it for the processes that they start
    monkeypatch.delenv("RUNHERALD_CONFIG")
    log = logging.getLogger("runherald")  # `exec` tells what goes wrong in words of its own
    handlers, propagate = list(log.handlers), log.propagate
    yield file
    log.handlers[:], log.propagate = handlers, propagate
    monkeypatch.setenv("RUNHERALD_CONFIG", str(file))
    Workspace().session.close()


def test_targets_are_those_of_the_settings_file_that_is_named(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compute", "list", "--config", str(settings), "-o", "json"]) == 0
    assert {row["name"]: row["slots"] for row in json.loads(capsys.readouterr().out)} == {"local": 1, "gpu": 2}


def test_a_program_is_told_of_the_settings_file_that_is_named(settings: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = ["sh", "-c", "echo $RUNHERALD_WORKSPACE $RUNHERALD_CONFIG"]
    assert main(["exec", "-e", "digits", "--config", str(settings), "--folder", str(tmp_path), "--", *program]) == 0
    assert capfd.readouterr().out == f"team {settings}\n"


@pytest.mark.parametrize(("said", "seconds"), [("90", 90.0), ("0.5", 0.5), ("1h30m", 5_400.0)])
def test_a_script_may_run_as_long_as_is_said_as_with_exec(
    settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, seconds: float
) -> None:
    submitted: list[ScriptRunConfig] = []

    def submit(_experiment: Experiment, config: ScriptRunConfig, **_more: object) -> None:
        submitted.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(Experiment, "submit", submit)
    (tmp_path / "train.py").write_text("")
    main(["run", "submit-script", "-e", "digits", "--config", str(settings), "--path", str(tmp_path), "--max-seconds", said, "train.py"])
    assert [config.run_config.max_run_duration_seconds for config in submitted] == [seconds]


def test_what_is_no_time_is_named(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "submit-script", "-e", "digits", "--config", str(settings), "--max-seconds", "soon", "train.py"]) == 2
    assert main(["exec", "-e", "digits", "--config", str(settings), "--max-seconds", "soon", "--", "true"]) == 2
    assert capsys.readouterr().err.count("--max-seconds: is no time; write seconds, or a time such as") == 2
