"""How the processors are doing, as data."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

State = Literal["starting", "running", "restarting", "failed", "stopped"]


class ProcessorHealth(Struct, frozen=True):
    """How one processor is doing.

    Attributes:
        error: why it stopped last, for `restarting` and `failed`.
        restarts: how often it was started afresh.
    """

    name: str
    state: State = "starting"
    error: str = ""
    restarts: int = 0


class PartitionLag(Struct, frozen=True):
    """How far a processor is behind in a partition: what it has committed, and where the partition ends."""

    processor: str
    topic: str
    partition: int
    committed: int
    end: int

    @property
    def lag(self) -> int:
        """Records that are in the log and not committed."""
        return max(0, self.end - self.committed)
