"""One mail of one transition for one person, however many rules tell them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from runherald.alerts.stages.candidate import Candidate
from runherald.events import Event

DUPLICATE_RECIPIENT = "duplicate_recipient"


class Deduplicate:
    """Suppresses a recipient whom an earlier rule tells of the same transition.

    That the same transition comes again needs no memory here: the ids of its notices are the same, and the outbox knows them.
    """

    def apply(self, transition: Event, candidates: Sequence[Candidate]) -> Sequence[Candidate]:  # noqa: ARG002
        """Return the candidates, each address told by one rule."""
        told: dict[str, str] = {}
        found: list[Candidate] = []
        for candidate in candidates:
            if not candidate.suppressed:
                first = told.setdefault(candidate.recipient.casefold(), candidate.rule.name)
                if first != candidate.rule.name:
                    reason = f"{DUPLICATE_RECIPIENT}: rule {first} tells this address already"
                    candidate = replace(candidate, reason=reason, suppressed=True)
            found.append(candidate)
        return found
