"""What of a console goes to history."""

from __future__ import annotations

import pytest

from runherald.producers.jobs.lines import MAX_LINE_BYTES, Allowance, LineSplitter


def split(content: bytes, size: int) -> list[str]:
    splitter = LineSplitter()
    lines: list[str] = []
    for start in range(0, len(content), size):
        lines += splitter.feed(content[start : start + size])
    return lines + splitter.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"no end", ["no end"]),
        (b"\n\nthird\n", ["", "", "third"]),
        (b"windows\r\nlines\r\n", ["windows", "lines"]),
        (b"\r 10%\r 50%\r100%\nnext\n", ["100%", "next"]),
        (b"10%\r50%\r100%\r\n", ["100%"]),
        (b"10%\r50%\r", ["50%"]),
        (b"10%\rtwo \r\x1b[K\n", ["two "]),
        ("ü€\n".encode(), ["ü€"]),
        (b"a\xff\xfeb\n", ["a��b"]),
        (b"prompt: ", ["prompt: "]),
    ],
)
def test_lines_are_what_a_terminal_shows_however_they_come(content: bytes, lines: list[str], size: int) -> None:
    assert split(content, size) == lines


@pytest.mark.parametrize("size", [1000, 4096, 1 << 20])
def test_of_an_overlong_line_the_beginning_is_kept_and_the_rest_counted(size: int) -> None:
    first, second = split(b"x" * (MAX_LINE_BYTES + 5000) + b"\nshort\n", size)
    assert first == "x" * MAX_LINE_BYTES + "… (5000 more bytes of this line are in the run's file alone)"
    assert second == "short"


def test_a_progress_bar_that_never_ends_its_line_takes_no_memory() -> None:
    splitter = LineSplitter()
    for number in range(20_000):
        assert splitter.feed(b"\r%d of 20000" % number) == []
    assert len(splitter._rest) < 100
    assert splitter.close() == ["19999 of 20000"]


def test_history_gets_a_burst_then_a_rate_and_is_told_what_is_left_out() -> None:
    allowance = Allowance(0.0, burst=3_200, rate=32)
    lines = [f"{number:08}" for number in range(100)]  # of 40 bytes each, with what a line costs
    assert allowance.admit(lines[:50], 0.0) == lines[:50]
    assert allowance.admit(lines, 0.0) == lines[:30]
    assert allowance.admit(lines, 1.0) == []
    # Not a line at a time: when a stretch has room again.
    said = allowance.admit(lines[:2], 20.0)
    assert said == ["[runherald: 170 lines, 1360 characters, are left out of history here; the run's file has them]", *lines[:2]]
    assert allowance.close() == []


def test_the_last_lines_always_come() -> None:
    allowance = Allowance(0.0, burst=100, rate=0)
    allowance.admit([f"line {number}" for number in range(1_000)], 0.0)
    last = allowance.close()
    assert last[0].startswith("[runherald: 798 lines, ")
    assert last[1:] == [f"line {number}" for number in range(800, 1_000)]
