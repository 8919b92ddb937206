"""Which rules are asked about a transition: none that could hold may be left out."""

from __future__ import annotations

from runherald.alerts.rule import Rule, StatusCondition
from runherald.alerts.rules import Rules
from runherald.status import Status


def test_only_rules_that_an_experiment_and_a_status_may_meet_are_asked_in_their_order() -> None:
    rules = Rules(
        (
            Rule(name="any", when=StatusCondition(user=("ann",)), receivers=("a@example.org",)),
            Rule(name="failed", when=StatusCondition(status=(Status.FAILED,)), receivers=("a@example.org",)),
            Rule(name="nightly", when=StatusCondition(experiment=("day-*", "nightly-*")), receivers=("a@example.org",)),
            Rule(name="off", enabled=False, when=StatusCondition(status=(Status.FAILED,)), receivers=("a@example.org",)),
        )
    )

    def asked(experiment: str, status: Status | None) -> list[str]:
        return [rule.name for rule in rules.meant_for(experiment, status)]

    assert asked("nightly-1", Status.FAILED) == ["any", "failed", "nightly"]
    assert asked("nightly-1", Status.RUNNING) == ["any", "nightly"]
    assert asked("other", Status.FAILED) == ["any", "failed"]
    assert asked("Nightly-1", None) == ["any", "failed"]
