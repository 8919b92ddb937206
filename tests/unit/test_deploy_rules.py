"""The alert rules for Prometheus ask for what the server exports, and the document names all of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from runherald.api import ServerStatus
from runherald.studio.server_status import KnownStatus
from runherald.studio.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((ROOT / "deploy/prometheus/runherald.rules.yaml").read_text())["groups"] for rule in group["rules"]
]
KEYWORDS = {"or", "and", "unless", "by", "without", "on", "ignoring", "offset", "bool"}
FUNCTIONS = {"absent", "max", "sum", "increase", "rate"}
DURATION = re.compile(r"[0-9]+[smhd]")
NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*")


def exported() -> set[str]:
    """The names of all that a server exports, those without a value now included."""
    status = KnownStatus(ServerStatus(version="1", log="l", history="h", partitions=[]), {})
    text = Telemetry(lambda: status, lambda: 0.0, tuple, lambda: datetime(2026, 1, 2, tzinfo=UTC)).text().decode()
    return {name for name in re.findall(r"^# TYPE (\S+) \w+$", text, re.M) if not name.endswith("_created")}


def asked_for(expression: str) -> set[str]:
    """The metrics that an expression names."""
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    return set(NAME.findall(bare)) - KEYWORDS - FUNCTIONS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_what_the_server_exports(rule: dict[str, Any]) -> None:
    names = asked_for(rule["expr"])
    assert names
    assert names - {"up"} <= exported()
    for opening, closing in ("()", "{}", "[]"):
        assert rule["expr"].count(opening) == rule["expr"].count(closing)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_how_long_how_bad_and_what(rule: dict[str, Any]) -> None:
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert DURATION.fullmatch(rule["for"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]


def test_rules_have_names_of_their_own_and_cover_what_can_go_wrong() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    asked = {name for rule in RULES for name in asked_for(rule["expr"])}
    assert asked >= {
        "up",
        "runherald_history_up",
        "runherald_log_up",
        "runherald_processor_oldest_age_seconds",
        "runherald_processor_stopped",
        "runherald_dead_letters",
        "runherald_notices_oldest_pending_age_seconds",
        "runherald_notices_unaccounted",
    }


def test_the_document_names_every_figure_and_no_other() -> None:
    told = set(re.findall(r"`(runherald_\w+)(?:\{[\w,]*\})?`", (ROOT / "docs/operations.md").read_text()))
    assert told == exported()


def test_what_an_expression_names_is_found() -> None:
    assert asked_for('max by (processor) (a_b{job="x"}[5m]) > (c offset 15m) or d == 0') == {"a_b", "c", "d"}
