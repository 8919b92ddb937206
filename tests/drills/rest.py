"""Waiting until an installation has come to rest: everything that was said is stored, and every notice has its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from urllib.error import URLError

from tests.drills.ledger import Said
from tests.server_process import ServerProcess, wait_until

QUIET_SECONDS = 3.0


def wait_for_rest(
    server: ServerProcess,
    said: Mapping[str, Said],
    bound: float,
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Wait for everything that was said, and for the notices.

    Raises:
        AssertionError: it has not come in time; the books would say what is missing, and this says where things stand.
    """
    points = sum(one.points for one in said.values())
    ends = sum(bool(one.end) for one in said.values())

    def count(sql: str) -> int:
        meanwhile()
        try:
            return int(server.query(sql)[0][0])
        except (URLError, OSError):
            return 0  # a server that was struck a moment ago

    def all_read() -> bool:
        """Whether all topics are read to the end and no notice is pending, twice in a row: what one processor publishes another reads."""
        for _ in range(2):
            meanwhile()
            try:
                status = server.get("/api/v1/status")
            except (URLError, OSError):
                return False
            if any(each["lag"] for each in status["partitions"]) or status["notices"].get("pending"):
                return False
            time.sleep(QUIET_SECONDS)
        return True

    wait_until(f"{points} points in history", lambda: count("SELECT count() FROM metrics") >= points, bound)
    ended = "SELECT count() FROM runs WHERE status IN ('Completed', 'Failed', 'Canceled')"
    wait_until(f"{ends} ends in history", lambda: count(ended) >= ends, bound)
    wait_until("every processor at the end of its topics, and no notice pending", all_read, bound)
