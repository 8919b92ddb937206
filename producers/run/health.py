"""How a run's reporting is doing."""

from __future__ import annotations

from msgspec import Struct


class Health(Struct, frozen=True, kw_only=True):
    """What became of what a Run object said; `ok` when nothing of it is in danger.

    Attributes:
        journal: the folder of the journal; empty before anything was said.
        recorded: how many records there are.
        waiting: how many of them are not yet acknowledged.
        rejected: how many events the server refused; they stand in `rejected.jsonl` in the journal's folder, with reasons.
        lost: how many records neither disk nor memory took.
        disk: what is wrong with the disk; empty when nothing is.
        transport: why the last attempt to send failed; empty when it did not.
    """

    journal: str = ""
    recorded: int = 0
    waiting: int = 0
    rejected: int = 0
    lost: int = 0
    disk: str = ""
    transport: str = ""

    @property
    def ok(self) -> bool:
        """Whether all was taken and nothing hinders the rest."""
        return not (self.rejected or self.lost or self.disk or self.transport)
