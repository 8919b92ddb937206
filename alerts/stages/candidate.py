"""What the stages pass on: somebody who may be told of a transition by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from runherald.alerts.rule import Rule
from runherald.events import Event


class Candidate(Struct, frozen=True):
    """A recipient, by a rule.

    Attributes:
        reason: a named reason and words: why they are told, or why not.
        suppressed: whether a stage decided that they are not told.
    """

    rule: Rule
    recipient: str
    reason: str
    suppressed: bool = False


class Stage(Protocol):
    """One step on the way from a transition to who is told of it."""

    def apply(self, transition: Event, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return the candidates after this stage. None is left out: who is not told stays, suppressed and with the reason."""
        ...
