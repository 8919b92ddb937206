"""How long a killed part's work stood still: from the kill until every processor has passed what was in the log at that moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.error import URLError

from tests.server_process import ServerProcess, wait_until

Place = tuple[str, str, int]
"""Processor, topic and partition."""

BOUND_SECONDS = 180.0


class Recoveries:
    """Measures recoveries, and keeps them.

    Attributes:
        seconds: by the kind of fault, in the order struck.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._kind = ""
        self._since = 0.0
        self._ends: Mapping[Place, int] = {}

    def struck(self, kind: str, server: ServerProcess) -> None:
        """Take down where the log ends; to be called right before the kill."""
        partitions = _partitions(server)
        self._kind, self._since = kind, time.monotonic()
        self._ends = {place: one["end"] for place, one in partitions.items()}

    def wait(self, server: ServerProcess, revive: Callable[[], None]) -> None:
        """Wait until everything from before is processed. Nothing is measured when the server did not answer before the kill.

        `revive`: starts again what ended by itself, as a service manager does.

        Raises:
            AssertionError: it is not, in `BOUND_SECONDS`.
        """
        if self._ends:

            def passed() -> bool:
                revive()
                return self._passed(server)

            wait_until(f"work to go on after {self._kind}", passed, BOUND_SECONDS)
            self.seconds.setdefault(self._kind, []).append(time.monotonic() - self._since)

    def _passed(self, server: ServerProcess) -> bool:
        partitions = _partitions(server)
        return all(place in partitions and partitions[place]["committed"] >= end for place, end in self._ends.items())


def _partitions(server: ServerProcess) -> Mapping[Place, Any]:
    """Return where each processor is; nothing while log or history does not answer."""
    try:
        status = server.get("/api/v1/status")
    except (URLError, OSError):
        return {}
    return {(one["processor"], one["topic"], one["partition"]): one for one in status["partitions"]}
