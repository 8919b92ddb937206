"""The rules in force: those built in, and those of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from runherald.alerts.errors import InvalidRule
from runherald.alerts.rule import Rule, Severity, StatusCondition
from runherald.alerts.rule_file import read_rules
from runherald.status import Cause, Status

BUILT_IN = "built in"

_REMEMBERED = 256
"""For how many pairs of experiment and status the rules in question are remembered."""

# Whoever cancels a run knows it. What others cancel (a pre-emption, a time limit, the watcher) is news.
_CANCELED_BY_OTHERS = tuple(cause for cause in Cause if cause is not Cause.USER)


class Rules:
    """Rules in their order: of two that tell one person of the same transition, the first does.

    Raises:
        InvalidRule: two rules have one name.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules: dict[str, Rule] = {}
        for rule in rules:
            first = self._rules.setdefault(rule.name, rule)
            if first is not rule:
                path, _, line = rule.origin.rpartition(":")
                raise InvalidRule(
                    Path(path or rule.origin),
                    int(line) if path else 0,
                    f"there is a rule {rule.name!r} already ({first.origin}); rename one",
                )
        # Most rules are about other experiments, and runs of one experiment come in crowds.
        self._meant_for = lru_cache(maxsize=_REMEMBERED)(self._select)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)

    def __add__(self, other: Rules) -> Rules:
        """Return the rules of both, these first. One of the other whose name is taken gives way: so a file replaces a built-in rule."""
        return Rules([*self, *(rule for rule in other if rule.name not in self._rules)])

    def get(self, name: str) -> Rule | None:
        """Return the rule of a name."""
        return self._rules.get(name)

    def meant_for(self, experiment: str, status: Status | None) -> tuple[Rule, ...]:
        """Return the rules, in their order, that an experiment's transition to a status may meet; no other can. None is any status."""
        return self._meant_for(experiment, status)

    def _select(self, experiment: str, status: Status | None) -> tuple[Rule, ...]:
        return tuple(
            rule
            for rule in self
            if rule.enabled
            and (status is None or not rule.when.status or status in rule.when.status)
            and (not rule.when.experiment or any(fnmatchcase(experiment, glob) for glob in rule.when.experiment))
        )


def load_rules(paths: Sequence[Path]) -> Rules:
    """Return the rules of some YAML files, in the order of the files.

    Raises:
        InvalidRule: a file cannot be read, or something in it cannot be used; names file, line and key.
    """
    return Rules(rule for path in paths for rule in read_rules(path))


def builtin_rules(to: Sequence[str]) -> Rules:
    """Return the rules that hold from the first run on, for the addresses given at start; none without an address.

    They tell of any run that failed or fell silent, of runs without a parent that completed, and of those that somebody else than a user
    cancelled.
    """
    if not to:
        return Rules()
    receivers = tuple(dict.fromkeys(to))
    return Rules(
        (
            Rule(
                name="run-failed",
                description="A run failed.",
                when=StatusCondition(status=(Status.FAILED,)),
                severity=Severity.ERROR,
                receivers=receivers,
                origin=BUILT_IN,
            ),
            Rule(
                name="run-not-responding",
                description="A run gave no sign of life within its lease.",
                when=StatusCondition(status=(Status.NOT_RESPONDING,)),
                severity=Severity.WARNING,
                receivers=receivers,
                origin=BUILT_IN,
            ),
            Rule(
                name="run-canceled",
                description="A run without a parent was cancelled, and not by a user.",
                when=StatusCondition(status=(Status.CANCELED,), cause=_CANCELED_BY_OTHERS, parent="root_only"),
                severity=Severity.WARNING,
                receivers=receivers,
                origin=BUILT_IN,
            ),
            Rule(
                name="run-completed",
                description="A run without a parent completed.",
                when=StatusCondition(status=(Status.COMPLETED,), parent="root_only"),
                severity=Severity.INFORMATIONAL,
                receivers=receivers,
                origin=BUILT_IN,
            ),
        )
    )
