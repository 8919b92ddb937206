"""Inserts that are under way: who copies rows that are there has to wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from clickhouse_connect.driver.client import Client

from runherald.errors import Unreachable

BOUND_SECONDS = 600.0
_LOOK_SECONDS = 0.05
_RUNNING = """
SELECT query_id FROM {processes}
WHERE query_kind IN ('Insert', 'AsyncInsertFlush') AND current_database = {{database:String}} AND is_initial_query
"""


def wait_for_running_inserts(
    client: Client,
    database: str,
    *,
    cluster: str = "",
    bound_seconds: float = BOUND_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Return when the inserts have ended that are under way into a database; not those that begin meanwhile.

    An insert feeds the materialised views that there were when it began, and its rows are seen when it ends. Once this returns, a copy of
    the rows has all that a view made before does not get. `cluster`: look at all of its replicas; a quoted name.

    Raises:
        Unreachable: one has not ended within the bound.
    """
    processes = f"clusterAllReplicas({cluster}, system.processes)" if cluster else "system.processes"
    statement = _RUNNING.format(processes=processes)
    deadline = now() + bound_seconds

    def running() -> set[str]:
        return {query_id for (query_id,) in client.query(statement, {"database": database}).result_rows}

    left = running()
    while left:
        if now() >= deadline:
            raise Unreachable(
                f"history: inserts have been under way for {bound_seconds:.0f} s (query_id {', '.join(sorted(left))}), and the schema "
                "cannot be migrated beside them; let them end or kill them, and migrate again"
            )
        sleep(_LOOK_SECONDS)
        left &= running()
