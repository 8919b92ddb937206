"""Users' queries: in threads of their own, so that slow ones keep no page waiting; too many at once are told to come again."""

from __future__ import annotations

from runherald.api import QueryAnswer, QueryRequest
from runherald.sinks.guard.guard import QueryGuard
from runherald.streams.fill import Fill
from runherald.studio.blocking import Blocking
from runherald.studio.errors import Busy

MAX_ASKED = 10
"""Queries that run or wait for the guard to let them run."""


class UserQueries:
    """Checks and runs queries. Belongs to one event loop."""

    def __init__(self, guard: QueryGuard, *, at_most: int = MAX_ASKED) -> None:
        self._guard = guard
        self._at_most = at_most
        self._blocking = Blocking(at_most)
        self._asked = 0

    def fill(self) -> Fill:
        """Return how many queries run or wait."""
        return Fill("queries", self._asked, self._at_most)

    async def answer(self, asked: QueryRequest) -> QueryAnswer:
        """Return the answer to a user's query.

        Raises:
            QueryRefused: it may not run.
            QueryFailed: the engine did not finish it, or had no room for it.
            Busy: too many wait already.
        """
        if self._asked >= self._at_most:
            raise Busy(f"{self._asked} queries run or wait already; ask again in a moment")
        self._asked += 1
        try:
            return await self._blocking(self._ask, asked)
        finally:
            self._asked -= 1

    def _ask(self, asked: QueryRequest) -> QueryAnswer:
        return self._guard.run(self._guard.check(asked.query, asked.language))
