"""Rule files: what they say, and what is said of faults in them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runherald.alerts.conditions import mismatch
from runherald.alerts.errors import InvalidRule
from runherald.alerts.rule import Rule, Severity, StatusCondition
from runherald.alerts.rules import Rules, builtin_rules, load_rules
from runherald.events import AmlRunStatusChangedEvent, RunHeader
from runherald.status import Cause, Status

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TAIL = "\n    status: Failed\n    receivers: a@example.org\n"


def write(tmp_path: Path, text: str, name: str = "rules.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_everything(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
receivers:
  on-call: [a@example.org, b@example.org]
rules:
  - name: nightly
    description: The nightly training died.
    source: status
    status: [failed, NotResponding]
    previous_status: Running
    cause: [out_of_memory, code_error]
    experiment: nightly-*
    display_name: ["*large*", "*xl*"]
    run_type: script
    user: ann
    tags: {team: vision, urgent: }
    properties: {dataset: "imagenet*"}
    parent: root_only
    claim: false
    correction: no
    longer_than: 10m
    shorter_than: 1d2h
    severity: critical
    receivers: [on-call, b@example.org, c@example.org]
    template: brief
    corrections: false
""",
    )
    [rule] = load_rules([path])
    assert rule == Rule(
        name="nightly",
        description="The nightly training died.",
        when=StatusCondition(
            status=(Status.FAILED, Status.NOT_RESPONDING),
            previous_status=(Status.RUNNING,),
            cause=(Cause.OUT_OF_MEMORY, Cause.CODE_ERROR),
            experiment=("nightly-*",),
            display_name=("*large*", "*xl*"),
            run_type=("script",),
            user=("ann",),
            tags={"team": ("vision",), "urgent": ()},
            properties={"dataset": ("imagenet*",)},
            parent="root_only",
            claim=False,
            correction=False,
            longer_than=timedelta(minutes=10),
            shorter_than=timedelta(hours=26),
        ),
        severity=Severity.CRITICAL,
        receivers=("a@example.org", "b@example.org", "c@example.org"),
        template="brief",
        corrections=False,
        origin=f"{path}:5",
    )


def test_the_example_is_right() -> None:
    example = Path(__file__).parents[2] / "examples" / "rules.yaml"
    assert len(load_rules([example])) >= 3


def test_an_empty_file_has_no_rules(tmp_path: Path) -> None:
    assert not list(load_rules([write(tmp_path, "# nothing yet\n"), write(tmp_path, "rules:\n", "b.yaml")]))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "rules:\n  - name: mine\n    statuss: [Failed]\n    receivers: [a@example.org]\n",
            3,
            ("'statuss'", "did you mean 'status'?", "keys are"),
        ),
        ("rule:\n  - name: mine\n", 1, ("'rule'", "did you mean 'rules'?")),
        (f"rules:\n  - name: mine{TAIL}    severity: 7\n", 5, ("severity", "'7'", "critical")),
        (f"rules:\n  - name: mine{TAIL}    source: metric\n", 5, ("source", "there are status")),
        (
            "rules:\n  - name: mine\n    receivers: a@example.org\n    status:\n      - Failed\n      - Finished\n",
            6,
            ("status", "'Finished'", "Completed"),
        ),
        ("rules:\n  - name: mine\n    status: Failed\n", 2, ("no receivers",)),
        ("rules:\n  - status: Failed\n    receivers: a@example.org\n", 2, ("no name",)),
        ("rules:\n  - name: mine\n    receivers: a@example.org\n", 2, ("no condition", "status: Failed")),
        ("rules:\n  - name: mine\n    status: Failed\n    receivers: oncall\n", 4, ("'oncall'", "there are none")),
        (
            "receivers: {on-call: b@example.org}\nrules:\n  - name: a\n    status: Failed\n    receivers: oncall\n",
            5,
            ("'oncall'", "there are on-call"),
        ),
        ("rules:\n  - name: mine\n    status: Failed\n    receivers: a@b@c\n", 4, ("mail address",)),
        ("rules:\n  - name: mine\n    status: Failed\n    receivers: ä@example.org\n", 4, ("mail address",)),
        (f"rules:\n  - name: my rule{TAIL}", 2, ("name", "letters")),
        (f"rules:\n  - name: mine{TAIL}    longer_than: soon\n", 5, ("longer_than", "10m")),
        (f"rules:\n  - name: mine{TAIL}    longer_than: 2h\n    shorter_than: 1h\n", 5, ("no run is ever both",)),
        (f"rules:\n  - name: mine{TAIL}    claim: maybe\n", 5, ("claim", "is a text", "true or false")),
        (f"rules:\n  - name: mine{TAIL}    tags: urgent\n", 5, ("tags", "is a text", "a mapping")),
        (f"rules:\n  - name: mine{TAIL}    experiment: []\n", 5, ("experiment", "a text or a list of texts")),
        (f"rules:\n  - name: mine{TAIL}    status: Canceled\n", 5, ("status", "twice", "line 3")),
        (f"rules:\n  - name: mine{TAIL}    template: html\n", 5, ("template", "run, brief")),
        (f"rules:\n  - name: mine{TAIL}  - name: mine{TAIL}", 5, ("'mine'", "already", ":2")),
        ("rules:\n  name: mine\n", 2, ("no list",)),
        ("rules: [\n", 2, ("not YAML",)),
        ("- a\n", 1, ("is a list", "a mapping")),
    ],
)
def test_a_fault_is_named_with_file_line_and_key(tmp_path: Path, text: str, line: int, words: tuple[str, ...]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidRule) as caught:
        load_rules([path])
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert caught.value.exit_status == 2
    for word in words:
        assert word in str(caught.value)


_LAUGHS = "".join(f"  {name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    "text",
    [
        f"receivers:\n  a: &a [x@example.org]\n{_LAUGHS}",
        "rules: &r\n  - *r\n",
        "receivers: &r\n  a: *r\n",
        "rules: !!python/object/apply:os.mkdir [made-by-a-rule]\n",
        "rules:\n  - !!python/object/apply:os.mkdir [made-by-a-rule]\n",
        "rules: " + "[" * 5_000,
        f"rules:\n  - name: mine{TAIL}    longer_than: {'9' * 5_000}s\n",
        'rules:\n  - name: mine\n    status: Failed\n    receivers: "a@example.org\\r\\nBcc: b@example.org"\n',
        'rules:\n  - name: "mine\\r\\nBcc: b@example.org"\n    status: Failed\n    receivers: a@example.org\n',
    ],
)
def test_a_file_made_to_hurt_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRule):
        load_rules([write(tmp_path, text)])
    assert not (tmp_path / "made-by-a-rule").exists()


def test_a_pattern_that_is_long_to_match_is_matched_soon(tmp_path: Path) -> None:
    [rule] = load_rules([write(tmp_path, f"rules:\n  - name: mine{TAIL}    experiment: '{'*a' * 60}b'\n")])
    began = time.monotonic()
    assert mismatch(rule.when, AmlRunStatusChangedEvent(status=Status.FAILED, header=RunHeader(experiment_name="a" * 255)), NOW)
    assert time.monotonic() - began < 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRule, match=r"none\.yaml: cannot be read \(No such file"):
        load_rules([tmp_path / "none.yaml"])


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRule, match="UTF-8"):
        load_rules([path])


def test_a_rule_of_a_file_replaces_the_built_in_one_of_its_name(tmp_path: Path) -> None:
    off = load_rules([write(tmp_path, "rules:\n  - name: run-completed\n    enabled: false\n")])
    rules = off + builtin_rules(["me@example.org"])
    assert [(rule.name, rule.enabled) for rule in rules] == [
        ("run-completed", False),
        ("run-failed", True),
        ("run-not-responding", True),
        ("run-canceled", True),
    ]


def test_without_an_address_nothing_is_built_in() -> None:
    assert len(builtin_rules([])) == 0


def transition(**said: Any) -> AmlRunStatusChangedEvent:
    header = RunHeader(
        experiment_name="digits",
        display_name="lr=0.1",
        parent_run_id=said.pop("parent", ""),
        run_type="script",
        user="ann",
        tags={"team": "vision", "urgent": None},
        properties={"dataset": "mnist"},
    )
    return AmlRunStatusChangedEvent(**{"status": Status.FAILED, "header": header, "start_time": NOW - timedelta(minutes=30), **said})


@pytest.mark.parametrize(
    ("condition", "said", "reason"),
    [
        ({"status": (Status.FAILED, Status.CANCELED)}, {}, ""),
        ({"status": (Status.COMPLETED,)}, {}, "status is Failed, the rule wants Completed"),
        ({"previous_status": (Status.RUNNING,)}, {"previous_status": Status.RUNNING}, ""),
        ({"previous_status": (Status.RUNNING,)}, {}, "previous_status is not known, the rule wants Running"),
        ({"cause": (Cause.CODE_ERROR,)}, {"cause": Cause.USER}, "cause is user, the rule wants code_error"),
        ({"experiment": ("dig*",)}, {}, ""),
        ({"experiment": ("Dig*", "mnist")}, {}, "experiment is not like Dig* or mnist"),
        ({"display_name": ("lr=0.?",)}, {}, ""),
        ({"user": ("bob",)}, {}, "user is not like bob"),
        ({"run_type": ("script",)}, {}, ""),
        ({"tags": {"team": ("vis*",), "urgent": ()}}, {}, ""),
        ({"tags": {"urgent": ("yes",)}}, {}, "tags['urgent'] is not like yes"),
        ({"tags": {"gpu": ()}}, {}, "tags has no 'gpu'"),
        ({"properties": {"dataset": ("mnist",)}}, {}, ""),
        ({"parent": "root_only"}, {}, ""),
        ({"parent": "root_only"}, {"parent": "p"}, "the run has a parent, the rule wants runs without"),
        ({"parent": "children_only"}, {}, "the run has no parent, the rule wants children"),
        ({"parent": ("sweep-*",)}, {"parent": "sweep-7"}, ""),
        ({"claim": True}, {}, "claim is false, the rule wants true"),
        ({"correction": False}, {"correction": True}, "correction is true, the rule wants false"),
        ({"longer_than": timedelta(minutes=29)}, {}, ""),
        ({"longer_than": timedelta(minutes=30)}, {}, "the run took 0:30:00, the rule wants longer than 0:30:00"),
        ({"shorter_than": timedelta(minutes=30)}, {}, "the run took 0:30:00, the rule wants shorter than 0:30:00"),
        ({"shorter_than": timedelta(minutes=31)}, {"start_time": None}, "the run never started, so it has no duration"),
    ],
)
def test_a_condition_holds_or_says_why_not(condition: dict[str, Any], said: dict[str, Any], reason: str) -> None:
    assert mismatch(StatusCondition(**condition), transition(**said), NOW) == reason


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    text = f"rules:\n  - name: mine{TAIL}"
    paths = [write(tmp_path, text, "a.yaml"), write(tmp_path, text, "b.yaml")]
    with pytest.raises(InvalidRule, match=r"b\.yaml:2: there is a rule 'mine' already \(.*a\.yaml:2\)"):
        load_rules(paths)
    assert isinstance(load_rules(paths[:1]), Rules)
