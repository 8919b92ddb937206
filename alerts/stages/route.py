"""Which rules a transition meets, and so whom it may reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from runherald.alerts.conditions import mismatch
from runherald.alerts.rule import Rule
from runherald.alerts.rules import Rules
from runherald.alerts.stages.candidate import Candidate
from runherald.events import AmlRunStatusChangedEvent, Event
from runherald.status import CLAIMS, TERMINAL, Cause

MATCHED = "matched"
CLAIM_WITHDRAWN = "claim_withdrawn"


class Route:
    """Adds the receivers of each rule that matches, and of each that told of a claim which is now withdrawn."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def apply(self, transition: Event, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return the candidates and those whom the rules add."""
        data = transition.data
        assert isinstance(data, AmlRunStatusChangedEvent)
        found = list(candidates)
        experiment = data.header.experiment_name if data.header else ""
        # A correction may concern rules that ask for what it withdraws.
        for rule in self._rules.meant_for(experiment, None if data.correction else data.status):
            reason = route_reason(rule, transition)
            if reason:
                found += [Candidate(rule, recipient, reason) for recipient in rule.receivers]
        return found


def route_reason(rule: Rule, transition: Event) -> str:
    """Return why a rule tells of a transition, or nothing when it does not."""
    data = transition.data
    assert isinstance(data, AmlRunStatusChangedEvent)
    if not rule.enabled:
        return ""
    if not mismatch(rule.when, data, transition.time):
        return f"{MATCHED}: {data.status} is what the rule asks for"
    if rule.corrections:
        for claim, event in withdrawn_claims(transition):
            if not mismatch(rule.when, claim, event.time):
                return f"{CLAIM_WITHDRAWN}: the rule told of {claim.status}, which was not so"
    return ""


def withdrawn_claims(transition: Event) -> Iterator[tuple[AmlRunStatusChangedEvent, Event]]:
    """Yield the claims that a correction withdraws, the last first, as the transitions that they were.

    They are read from the run's path: before a correction, and in the same attempt, only claims can stand where a claim may stand.
    """
    data = transition.data
    assert isinstance(data, AmlRunStatusChangedEvent)
    if not data.correction:
        return
    for index in range(len(data.path) - 2, -1, -1):
        step = data.path[index]
        if step.status not in CLAIMS or step.attempt != data.attempt:
            return
        claim = replace(
            data,
            status=step.status,
            previous_status=data.path[index - 1].status if index else None,
            cause=Cause.LOST_CONTACT,
            claim=True,
            correction=False,
            end_time=step.time if step.status in TERMINAL else None,
            path=data.path[: index + 1],
        )
        yield claim, replace(transition, time=step.time, data=claim)
