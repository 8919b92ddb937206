"""Python's traceback in what a program printed: why it failed, in its own words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_HEADER = re.compile(r"(?P<prefix>.*?)(?P<group>\+ Exception Group )?Traceback \(most recent call last\):\s*")
_RAISED = re.compile(r"(?P<kind>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?")
_SYNTAX = re.compile(r"(?:SyntaxError|IndentationError|TabError): ")
_CHAINED = ("During handling of the above exception, another exception occurred:", "was the direct cause of the following exception:")


class Traceback(NamedTuple):
    """The last traceback of a console. `text` is all from its beginning on, with the exceptions that led to it; `lines_after` is how many
    lines follow the one that names the exception."""

    kind: str
    message: str
    text: str
    lines_after: int


def last_traceback(console: str) -> Traceback | None:
    """Return the last traceback in a text, or None. Every line of it may have a prefix, such as torchrun's `[rank0]: `."""
    lines = console.rstrip().split("\n")
    headers = [(at, found) for at, line in enumerate(lines) if (found := _HEADER.fullmatch(line))]
    for at, found in reversed(headers):
        prefix = found["prefix"] + ("| " if found["group"] else "")
        raised = _raised(lines, at + 1, prefix)
        if raised is not None:
            end, kind, message = raised
            text = "\n".join(lines[_chain_start(lines, [one for one, _ in headers], at) :])
            return Traceback(kind, message, text, len(lines) - 1 - end)
    return _syntax_error(lines)


def _raised(lines: Sequence[str], start: int, prefix: str) -> tuple[int, str, str] | None:
    """Return the first line after a traceback's frames, which names the exception: its place, kind and message."""
    for at in range(start, len(lines)):
        line = lines[at]
        if not line.startswith(prefix) or line[len(prefix) : len(prefix) + 1] in ("", " "):
            continue  # a frame, or another process's line in between
        found = _RAISED.fullmatch(line.removeprefix(prefix))
        return (at, found["kind"], found["message"] or "") if found else None
    return None


def _chain_start(lines: Sequence[str], headers: Sequence[int], last: int) -> int:
    start = last
    for header in sorted((one for one in headers if one < last), reverse=True):
        between = [line for line in lines[header:start] if line.strip()]
        if not between or not between[-1].endswith(_CHAINED):
            break
        start = header
    return start


def _syntax_error(lines: Sequence[str]) -> Traceback | None:
    """A script that cannot even be compiled has no frames: only its file, the line, and the error."""
    if not _SYNTAX.match(lines[-1]):
        return None
    start = len(lines) - 1
    while start and lines[start - 1].startswith(" "):
        start -= 1
    kind, _, message = lines[-1].partition(": ")
    return Traceback(kind, message, "\n".join(lines[start:]), 0)
