"""A file of rules: YAML, checked on load, every fault named with file, line and key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runherald.alerts.addresses import wrong_address
from runherald.alerts.rule import Parent, Rule, Severity, StatusCondition
from runherald.alerts.yaml_nodes import Node, read_document
from runherald.status import Cause, Status

Receivers = Mapping[str, tuple[str, ...]]
"""Addresses by the receiver's name."""

TEMPLATES = ("run", "brief")
"""The mails there are: `run` says all that is known, `brief` is a few lines."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SEVERITIES = {name: severity for severity in Severity for name in (str(severity.value), severity.name.lower())}
_PARENTS: dict[str, Parent] = {"root_only": "root_only", "children_only": "children_only"}
_CONDITION_KEYS = StatusCondition.__struct_fields__
_RULE_KEYS = ("name", "description", "enabled", "source", "severity", "receivers", "template", "corrections")


def read_rules(path: Path) -> list[Rule]:
    """Return the rules of a file.

    Raises:
        InvalidRule: the file cannot be read, or something in it cannot be used.
    """
    document = read_document(path)
    if document is None:
        return []
    top = document.known(("receivers", "rules"))
    receivers = _receivers(top["receivers"]) if "receivers" in top else {}
    return [_rule(path, node, receivers) for node in _list(top["rules"])] if "rules" in top else []


def _list(node: Node) -> list[Node]:
    if node.is_empty:
        return []
    if not node.is_list:
        node.fail("is no list; begin each rule with `- name:`")
    return list(node.items())


def _receivers(node: Node) -> Receivers:
    return {name: inner.each(_address) for name, inner in node.mapping().items()}


def _rule(path: Path, node: Node, receivers: Receivers) -> Rule:
    found = node.known((*_RULE_KEYS, *_CONDITION_KEYS))
    enabled = found["enabled"].flag() if "enabled" in found else True
    # To switch a rule off its name is enough, also that of a built-in one.
    for key in ("name", "receivers") if enabled else ("name",):
        if key not in found:
            node.fail(f"the rule has no {key}; add `{key}:`")
    if "source" in found:
        found["source"].choice({"status": None})
    when = _condition(found)
    if enabled and when == StatusCondition():
        found["name"].fail("the rule has no condition, and would mail every change of every run; add one such as `status: Failed`")
    return Rule(
        name=_name(found["name"]),
        description=found["description"].text() if "description" in found else "",
        enabled=enabled,
        when=when,
        severity=found["severity"].choice(_SEVERITIES) if "severity" in found else Severity.INFORMATIONAL,
        receivers=_addresses(found["receivers"], receivers) if "receivers" in found else (),
        template=found["template"].choice({name: name for name in TEMPLATES}) if "template" in found else TEMPLATES[0],
        corrections=found["corrections"].flag() if "corrections" in found else True,
        origin=f"{path}:{found['name'].key_line}",
    )


def _condition(found: Mapping[str, Node]) -> StatusCondition:
    said: dict[str, Any] = {key: _READ[key](node) for key, node in found.items() if key in _READ}
    condition = StatusCondition(**said)
    longer, shorter = condition.longer_than, condition.shorter_than
    if longer is not None and shorter is not None and longer >= shorter:
        found["longer_than"].fail("is not below shorter_than, so no run is ever both; change one of them")
    return condition


def _name(node: Node) -> str:
    name = node.text()
    if not _NAME.fullmatch(name):
        node.fail("is not of letters, digits, '_', '.', '-' (at most 100, a letter or digit first)")
    return name


def _address(node: Node) -> str:
    address = node.text()
    wrong = wrong_address(address)
    return node.fail(wrong) if wrong else address


def _addresses(node: Node, receivers: Receivers) -> tuple[str, ...]:
    addresses: list[str] = []
    for item in node.each(lambda one: one):
        name = item.text()
        if "@" in name:
            addresses.append(_address(item))
        elif name in receivers:
            addresses += receivers[name]
        else:
            there_are = f"there are {', '.join(receivers)}" if receivers else "there are none in this file"
            item.fail(f"{name[:40]!r} is no mail address and no receiver of this file ({there_are}); add it under `receivers:` at the top")
    return tuple(dict.fromkeys(addresses))


def _status(node: Node) -> Status:
    return node.member(Status)


def _statuses(node: Node) -> tuple[Status, ...]:
    return node.each(_status)


def _causes(node: Node) -> tuple[Cause, ...]:
    return node.each(lambda item: item.member(Cause))


def _labels(node: Node) -> dict[str, tuple[str, ...]]:
    return {key: () if inner.is_empty else inner.texts() for key, inner in node.mapping().items()}


def _parent(node: Node) -> Parent | tuple[str, ...]:
    globs = node.texts()
    return _PARENTS[globs[0]] if len(globs) == 1 and globs[0] in _PARENTS else globs


_READ: Mapping[str, Any] = {
    "status": _statuses,
    "previous_status": _statuses,
    "cause": _causes,
    "experiment": Node.texts,
    "display_name": Node.texts,
    "run_type": Node.texts,
    "user": Node.texts,
    "tags": _labels,
    "properties": _labels,
    "parent": _parent,
    "claim": Node.flag,
    "correction": Node.flag,
    "longer_than": Node.duration,
    "shorter_than": Node.duration,
}
