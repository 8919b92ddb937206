"""Where a mail gets what its event does not say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from runherald.sinks.run_context import RunContext, RunKey


class RunContextSource(Protocol):
    """Knows more of runs than their events say; `runherald.sinks.run_context.HistoryRunContext` is one."""

    async def revisions(self, runs: Collection[RunKey]) -> Mapping[RunKey, int]:
        """Return how many transitions of each run are known; those that nothing can be had of at once are left out."""
        ...

    async def load(self, runs: Collection[RunKey]) -> Mapping[RunKey, RunContext]:
        """Return what is known of some runs; those that nothing can be had of at once are left out."""
        ...
