"""What producers say that they have logged: a line for each call of the SDK that returned, written only then.

A process may be killed between a call's return and its line, so history may hold one call more than the ledger, for each killed process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct


class Ledger:
    """Writes the lines of one producer process. Unbuffered: what is written survives SIGKILL."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def begun(self, run_id: str, parent: str) -> None:
        """A run was begun."""
        self._write(f"begun {run_id} {parent}")

    def point(self, run_id: str, step: int) -> None:
        """The point of a step was logged."""
        self._write(f"point {run_id} {step}")

    def tag(self, run_id: str, number: int) -> None:
        """The tag of a number was set."""
        self._write(f"tag {run_id} {number}")

    def ended(self, run_id: str, status: str) -> None:
        """A run was ended."""
        self._write(f"ended {run_id} {status}")

    def _write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


class Said(Struct):
    """What one run's process said: how many points and tags, and how the run ended, if it did."""

    parent: str = ""
    points: int = 0
    tags: int = 0
    end: str = ""

    @property
    def calls(self) -> int:
        """How many calls returned."""
        return 1 + self.points + self.tags + bool(self.end)


def read_ledgers(paths: Iterable[Path]) -> Mapping[str, Said]:
    """Return what was said of each run. The line that a killed process was writing has no end, and is left out."""
    runs: dict[str, Said] = {}
    for path in paths:
        *lines, _ = path.read_text().split("\n")
        for line in lines:
            what, run_id, value = line.split(" ")
            match what:
                case "begun":
                    runs[run_id] = Said(parent=value)
                case "point":
                    assert int(value) == runs[run_id].points
                    runs[run_id].points += 1
                case "tag":
                    assert int(value) == runs[run_id].tags
                    runs[run_id].tags += 1
                case "ended":
                    runs[run_id].end = value
                case _:
                    raise ValueError(line)
    return runs
