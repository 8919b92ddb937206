"""What the rules decide about a transition: a pure function, the same live, over history, and in a preview."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby

from runherald.alerts.events import AlertDecided, DecidedNotice, decision_event, notice_id
from runherald.alerts.rules import Rules
from runherald.alerts.stages.age import Age
from runherald.alerts.stages.candidate import Candidate, Stage
from runherald.alerts.stages.deduplicate import Deduplicate
from runherald.alerts.stages.route import Route
from runherald.events import AmlRunStatusChangedEvent, Event

MAX_AGE = timedelta(days=1)
"""Nobody is told of what happened longer ago than this."""


def decide(rules: Rules, transition: Event, now: datetime, max_age: timedelta = MAX_AGE) -> list[Event]:
    """Return an `AlertDecided` for each rule that an accepted transition meets, in the order of the rules."""
    stages: tuple[Stage, ...] = (Route(rules), Deduplicate(), Age(now, max_age))
    candidates: Iterable[Candidate] = ()
    for stage in stages:
        candidates = stage.apply(transition, tuple(candidates))
    return [_decision(transition, list(of_rule), now) for _, of_rule in groupby(candidates, key=lambda candidate: candidate.rule.name)]


def _decision(transition: Event, candidates: list[Candidate], now: datetime) -> Event:
    data, rule = transition.data, candidates[0].rule
    assert isinstance(data, AmlRunStatusChangedEvent)
    told = [candidate for candidate in candidates if not candidate.suppressed]
    decided = AlertDecided(
        rule=rule.name,
        severity=int(rule.severity),
        subject=f"{transition.run_id}#{data.revision}",
        decision="notify" if told else "suppress",
        reason=(told or candidates)[0].reason,
        event_id=transition.id,
        event_time=transition.time,
        decided_time=now,
        transition=data,
        template=rule.template,
        notices=tuple(
            DecidedNotice(
                notice_id=notice_id(rule.name, transition.id, candidate.recipient),
                recipient=candidate.recipient,
                reason=candidate.reason,
                suppressed=candidate.suppressed,
            )
            for candidate in candidates
        ),
    )
    return decision_event(decided, transition)
