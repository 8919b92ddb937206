"""The wall clock of the processes under drill, which can be set while they run, as NTP or a person sets one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

FAULTS = ("clock-forward", "clock-back")
LONGEST_STEP = 7_200.0
"""Seconds."""

_FOLLOWER = Path(__file__).parent / "stepped_clock"
_TREE = Path(__file__).parents[2]
_SEEN_SECONDS = 0.2


class SteppedClock:
    """A clock that is the machine's plus so many seconds. Monotonic clocks are not touched, nor is the clock of the process that drills."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._step(0)
        # The follower imports runherald before Python has the working folder on its path: let it be the one of this tree.
        path = os.pathsep.join(filter(None, (str(_FOLLOWER), str(_TREE), os.environ.get("PYTHONPATH", ""))))
        self.environment: Mapping[str, str] = {"PYTHONPATH": path, "RUNHERALD_DRILL_CLOCK": str(self._file)}
        """What a Python process is started with that shall go by this clock."""

    def strike(self, kind: str, lasts: float, draw: float) -> None:
        """Set the clock wrong by up to `LONGEST_STEP` and, after so many seconds, right again: two steps, one of them back."""
        seconds = max(1.0, draw * LONGEST_STEP)
        self._step(seconds if kind == "clock-forward" else -seconds)
        time.sleep(max(lasts, _SEEN_SECONDS))
        self._step(0)

    def _step(self, seconds: float) -> None:
        # As a whole: a process may read it at any moment.
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:.0f}")
        new.replace(self._file)
