"""Waiting for processors to rest: tables that are exchanged have no writers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from runherald.streams.errors import ProcessorsRun
from runherald.streams.rebuild.replay import Say

Running = Callable[[Sequence[str]], Mapping[str, int]]
"""Returns how many members each of some consumer groups has that has any."""

LOOK_SECONDS = 1.0


def await_rest(running: Running, groups: Sequence[str], wait_seconds: float, say: Say) -> None:
    """Return once none of the groups has members.

    Raises:
        ProcessorsRun: that did not come within the time.
    """
    deadline = time.monotonic() + wait_seconds
    asked = False
    while members := running(groups):
        names = ", ".join(sorted(members))
        if time.monotonic() >= deadline:
            raise ProcessorsRun(
                f"the workers of {names} run: they would write into the tables that are exchanged. Stop them and run again, or let this "
                "wait for them with --wait SECONDS; nothing was changed (`--diff` runs beside workers)"
            )
        if not asked:
            say(f"all is read; stop the workers of {names} now, within {wait_seconds:.0f} s")
            asked = True
        time.sleep(LOOK_SECONDS)
