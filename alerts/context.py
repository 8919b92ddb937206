"""Where a mail gets what its event does not say."""

from __future__ import annotations

from typing import Protocol

from runherald.sinks.run_context import RunContext


class RunContextSource(Protocol):
    """Knows more of a run than an event says; `runherald.sinks.run_context.HistoryRunContext` is one."""

    async def load(self, workspace: str, run_id: str, parent_run_id: str) -> RunContext | None:
        """Return what is known, or None when that cannot be had at once."""
        ...
