"""What the command line says to people who see it for the first time."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald.api import RunPage
from runherald.cli.grid import Grid, Head, show
from runherald.cli.main import main
from tests.unit.canned_api import CannedApi, canned_api

Output = pytest.CaptureFixture[str]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CannedApi]:
    for name in [name for name in os.environ if name.startswith("RUNHERALD_")]:
        monkeypatch.delenv(name)
    with canned_api() as server:
        monkeypatch.setenv("RUNHERALD_URL", server.url)
        monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
        yield server


def test_a_status_is_taken_however_its_letters_are_written(api: CannedApi) -> None:
    api.answer("/runs", RunPage(runs=[], next=""))
    assert main(["run", "list", "-s", "notresponding", "-o", "json"]) == 0
    assert [asked.parameters["status"] for asked in api.asked] == ["NotResponding"]


def test_an_empty_log_is_said_and_the_output_stays_empty(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs/digits_1/logs", [])
    assert main(["run", "logs", "digits_1"]) == 0
    assert capsys.readouterr() == ("", "runherald: no line of run digits_1 has arrived\n")


def test_the_help_of_logs_says_that_lines_are_plain_in_a_pipe_too(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["run", "logs", "--help"]) == 0
    assert "table if not said" in capsys.readouterr().out


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def without_rich(_: object) -> int:
        raise ModuleNotFoundError("No module named 'rich'", name="rich")

    monkeypatch.setattr("runherald.cli.status.client_of", without_rich)
    assert main(["status"]) == 2
    err = capsys.readouterr().err
    assert "'rich'" in err
    assert "runherald[cli]" in err


def test_a_missing_module_of_ours_is_a_fault_and_not_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ModuleNotFoundError("No module named 'runherald.gone'", name="runherald.gone")

    monkeypatch.setattr("runherald.cli.status.client_of", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["status"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("columns", "width", "said"),
    [
        (3, 80, ""),
        (8, 50, "no room for c6, c7; -o json has all"),
        (20, 50, "no room for c6, c7, c8, c9, c10 and 9 more; -o json has all"),
    ],
)
def test_columns_that_do_not_fit_are_named(columns: int, width: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    out = Terminal()
    show([Grid(heads=[Head(f"c{number}") for number in range(columns)], rows=[["some text"] * columns])], out)
    assert "".join(re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()[2:]) == said
