"""Tables fit the terminal, and words for people."""

from __future__ import annotations

import io
import re

import pytest

from runherald.cli.grid import Grid, Head, fit, grid_of, pairs, show, text
from runherald.cli.words import duration, first_line, number, plain

ID = "0123456789" * 2
RUNS = Grid(
    heads=(Head("RUN", keep=True), Head("NAME"), Head("STATUS", keep=True), Head("ERROR")),
    rows=[(ID, "a name that is long", "Failed", "an error that is much longer"), (ID, "b", "Completed", "")],
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(grid: Grid, *, width: int | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    out = Terminal() if width else io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width or 80))
    show([grid], out)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()


def test_a_pipe_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    head, first, second = drawn(RUNS, width=None, monkeypatch=monkeypatch)
    assert head == "RUN                   NAME                 STATUS     ERROR"
    assert first == f"{ID}  a name that is long  Failed     an error that is much longer"
    assert second == f"{ID}  b                    Completed"


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (120, f"{ID}  a name that is long  Failed     an error that is much longer"),
        (70, f"{ID}  a name that is long  Failed     an error that i…"),
        (60, f"{ID}  a name that is long  Failed     an er…"),
        (50, f"{ID}  a name t…  Failed     an er…"),
        (42, f"{ID}  a name t…  Failed"),
        (36, f"{ID}  Failed"),
        (20, f"{ID}  Failed"),
    ],
)
def test_a_terminal_gets_what_fits_and_ids_whole(width: int, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head, first, *_ = drawn(RUNS, width=width, monkeypatch=monkeypatch)
    assert first.rstrip() == row
    assert width < 31 or len(head.rstrip()) <= width


def test_wide_characters_count_as_two(monkeypatch: pytest.MonkeyPatch) -> None:
    (grid,) = [fit(Grid(heads=(Head("N"),), rows=[("日本語の名前",)]), 7)]
    assert grid.rows == [["日本語…"]]


def test_statuses_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for out, coloured in ((Terminal(), True), (io.StringIO(), False)):
        show([RUNS], out)
        assert ("\x1b[" in out.getvalue()) is coloured
        assert "Failed" in out.getvalue()


def test_other_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(pairs([("run", "r"), ("cause", "")]), width=None, monkeypatch=monkeypatch) == ["run  r"]
    assert drawn(text(["two  words", "[bold]no markup[/]"]), width=None, monkeypatch=monkeypatch) == ["two  words", "[bold]no markup[/]"]
    assert drawn(grid_of([]), width=None, monkeypatch=monkeypatch) == []
    assert drawn(grid_of([{"a": None, "b": True}, {"c": [1]}]), width=None, monkeypatch=monkeypatch) == [
        "a  b     c",
        "   true",
        "         [1]",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0, "0 ms"),
        (0.0351, "35 ms"),
        (0.9999, "1.00 s"),
        (2.345, "2.35 s"),
        (9.999, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1m 00s"),
        (245, "4m 05s"),
        (3599.6, "1h 00m"),
        (12_000, "3h 20m"),
        (187_200, "2d 4h"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_text_for_a_terminal() -> None:
    assert plain("a\x1b]0;title\x07b\x9b\u202ec\td") == "a\\x1b]0;title\\x07b\\x9b\\x202ec\td"
    assert first_line("\n first\nsecond") == "first"
    assert (number(1.23456789), number(3), number("NaN")) == ("1.23457", "3", "NaN")
