"""States of runs as history has them: what a fold goes on from."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter

from msgspec import Struct

from runherald.records import TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.retry import Retry
from runherald.sinks.state_text import decode_state
from runherald.state import RunState

RunKey = tuple[str, str]
"""Workspace and run id."""

_QUERY = """
SELECT run_id, state, version FROM run_state FINAL WHERE workspace = {workspace:String} AND run_id IN {run_ids:Array(String)}
"""
_LONGEST_QUERY = 48_000
"""Characters of a query's run ids: parameters travel in the address, and the shortest limit on that is 64 KiB."""
_AROUND_ID = 9
"""Two quotes and a comma, as the address writes them. What an id itself has needs no escape."""


class Held(Struct, frozen=True):
    """A run's state in memory. `version`: the offset of the last event folded in, plus 1."""

    state: RunState
    version: int
    partition: TopicPartition


class StoredStates:
    """Reads states from `run_state`."""

    def __init__(self, db: HistoryDatabase, retry: Retry) -> None:
        self._db = db
        self._retry = retry

    async def load(self, runs: Collection[RunKey]) -> dict[RunKey, tuple[RunState, int]]:
        """Return the state and version of those of the runs that history knows."""
        if not runs:
            return {}
        return await self._retry.until_done("run states", partial(self._read, runs))

    def _read(self, runs: Collection[RunKey]) -> dict[RunKey, tuple[RunState, int]]:
        found = {}
        for workspace, run_ids in _queries(runs):
            rows = self._db.client().query(_QUERY, {"workspace": workspace, "run_ids": run_ids})
            found.update({(workspace, run_id): (decode_state(state), version) for run_id, state, version in rows.result_rows})
        return found


def _queries(runs: Collection[RunKey]) -> Iterator[tuple[str, list[str]]]:
    for workspace, keys in groupby(sorted(runs), key=itemgetter(0)):
        run_ids: list[str] = []
        length = 0
        for _, run_id in keys:
            more = len(run_id) + _AROUND_ID
            if length + more > _LONGEST_QUERY:
                yield workspace, run_ids
                run_ids, length = [], 0
            run_ids.append(run_id)
            length += more
        yield workspace, run_ids
