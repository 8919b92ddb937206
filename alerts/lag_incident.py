"""When the pipeline lags, and when the operator is to be told: pure functions of what is seen and of what was known before.

An incident begins when something is behind by more than the limit in two looks in a row: one alone may come from a machine that slept. It
is over when everything was behind by less than half of the limit for as long as half of the limit, so that it does not flap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from runherald.alerts.backoff import is_over, next_delay
from runherald.alerts.smtp import Accepted, Delivery

LOOKS = 2
"""So many looks in a row above the limit make an incident."""

MAX_ATTEMPTS = 12
"""After so many, some six hours, nobody is told of this any more."""


class Symptom(Struct, frozen=True):
    """How far something is behind.

    Attributes:
        part: a processor, or `log` or `database`.
        seconds: the age of the oldest record that the processor has not processed, or since when the other has not answered.
        detail: in words.
    """

    part: str
    seconds: float
    detail: str = ""


class Incident(Struct, frozen=True):
    """A time of lag. `worst` has each part that was above the limit, as it was when it was furthest behind."""

    incident_id: str
    began: datetime
    worst: tuple[Symptom, ...]
    ended: datetime | None = None


class Telling(Struct, frozen=True):
    """What the operator is to be told, and who is not told yet."""

    kind: Literal["begun", "over"]
    incident: Incident
    waiting: tuple[str, ...]
    attempts: int = 0
    tried_time: datetime | None = None
    next_time: datetime | None = None


class Watched(Struct, frozen=True):
    """All that is known from look to look; it is kept over restarts, so that one incident is told of once.

    Attributes:
        above: looks in a row that were above the limit, while there is no incident.
        incident: the one that is on.
        calm_since: since when all has been well again, while an incident is on.
    """

    above: int = 0
    incident: Incident | None = None
    calm_since: datetime | None = None
    telling: Telling | None = None


def look(
    before: Watched, symptoms: Sequence[Symptom], now: datetime, *, limit: float, recipients: Sequence[str], incident_id: str
) -> Watched:
    """Return what is known after a look. `limit` in seconds; `incident_id` is the id of an incident that begins now."""
    above = tuple(symptom for symptom in symptoms if symptom.seconds > limit)
    if before.incident is not None:
        return _while_on(before, before.incident, symptoms, above, now, limit, recipients)
    if not above:
        return replace(before, above=0)
    if before.above + 1 < LOOKS:
        return replace(before, above=before.above + 1)
    telling = before.telling
    if telling is not None and telling.waiting == tuple(recipients):
        # As far as anybody was told, the one before never ended.
        return Watched(incident=_worse(replace(telling.incident, ended=None), above))
    incident = Incident(incident_id, now, above)
    return Watched(incident=incident, telling=_telling("begun", incident, recipients))


def due(watched: Watched, now: datetime) -> Telling | None:
    """Return what is to be told now."""
    telling = watched.telling
    if telling is None or telling.tried_time is None or telling.next_time is None:
        return telling
    return telling if is_over(telling.tried_time, telling.next_time, now) else None


def told(watched: Watched, outcomes: Mapping[str, Delivery], now: datetime, chance: float) -> Watched:
    """Return what is known after an attempt to tell. Whoever can be told later is tried again, ever more rarely."""
    telling = watched.telling
    if telling is None:
        return watched
    waiting = tuple(each for each in telling.waiting if not _is_done(outcomes.get(each)))
    attempts = telling.attempts + 1
    if not waiting or attempts >= MAX_ATTEMPTS:
        return replace(watched, telling=None)
    later = replace(telling, waiting=waiting, attempts=attempts, tried_time=now, next_time=now + next_delay(attempts, chance))
    return replace(watched, telling=later)


def _while_on(
    before: Watched,
    incident: Incident,
    symptoms: Sequence[Symptom],
    above: Sequence[Symptom],
    now: datetime,
    limit: float,
    recipients: Sequence[str],
) -> Watched:
    incident = _worse(incident, above)
    if any(symptom.seconds > limit / 2 for symptom in symptoms):
        return replace(before, incident=incident, calm_since=None)
    since = before.calm_since or now
    if now - since < timedelta(seconds=limit / 2):
        return replace(before, incident=incident, calm_since=since)
    # Takes the place of a beginning that could not be told: it says when that was.
    return Watched(telling=_telling("over", replace(incident, ended=since), recipients))


def _worse(incident: Incident, above: Sequence[Symptom]) -> Incident:
    worst = {symptom.part: symptom for symptom in incident.worst}
    for symptom in above:
        if symptom.part not in worst or worst[symptom.part].seconds < symptom.seconds:
            worst[symptom.part] = symptom
    return replace(incident, worst=tuple(worst.values()))


def _telling(kind: Literal["begun", "over"], incident: Incident, recipients: Sequence[str]) -> Telling | None:
    return Telling(kind, incident, tuple(recipients)) if recipients else None


def _is_done(delivery: Delivery | None) -> bool:
    return delivery is not None and (isinstance(delivery, Accepted) or delivery.permanent)
