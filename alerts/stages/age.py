"""What happened long before it was heard of is no news."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from runherald.alerts.stages.candidate import Candidate
from runherald.durations import duration_in_words
from runherald.events import Event

TOO_OLD = "too_old"


class Age:
    """Suppresses whoever would be told too late: of runs that were synced after a journey, or when alerting begins on a log of years."""

    def __init__(self, now: datetime, longest: timedelta) -> None:
        self._now = now
        self._longest = longest

    def apply(self, transition: Event, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return the candidates, none of them told of what is too old."""
        age = self._now - transition.time
        if age <= self._longest:
            return candidates
        how_old = duration_in_words(age)
        reason = f"{TOO_OLD}: it happened {how_old} before this was decided, and mails are for what is new (mail.max_age_hours)"
        return [candidate if candidate.suppressed else replace(candidate, reason=reason, suppressed=True) for candidate in candidates]
