"""A rule: what it watches for, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import IntEnum
from typing import Literal

from msgspec import Struct

from runherald.status import Cause, Status

Parent = Literal["root_only", "children_only"]
"""Which runs by place in a sweep: those without a parent, or those with one."""


class Severity(IntEnum):
    """How bad it is. Numbers and names are Azure Monitor's."""

    CRITICAL = 0
    ERROR = 1
    WARNING = 2
    INFORMATIONAL = 3
    VERBOSE = 4


class StatusCondition(Struct, frozen=True, kw_only=True):
    """What a status transition must be. All parts that are said must hold; of a part's alternatives one must.

    Attributes:
        experiment: globs, as are display_name, run_type and user.
        tags: key to globs of the value; no globs at all asks for the key alone. So with properties.
        parent: root_only, children_only, or globs of the parent's id.
        claim: whether it is the watcher's verdict about a silent run.
        correction: whether it withdraws such a verdict.
        longer_than: a bound of the time from the attempt's start to this transition; a run that never started has none.
    """

    status: tuple[Status, ...] = ()
    previous_status: tuple[Status, ...] = ()
    cause: tuple[Cause, ...] = ()
    experiment: tuple[str, ...] = ()
    display_name: tuple[str, ...] = ()
    run_type: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = {}
    properties: Mapping[str, tuple[str, ...]] = {}
    parent: Parent | tuple[str, ...] = ()
    claim: bool | None = None
    correction: bool | None = None
    longer_than: timedelta | None = None
    shorter_than: timedelta | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """Who is told of what.

    Attributes:
        name: the rule's id, for ever: notices are named after it.
        when: the condition; its type says the rule's source.
        receivers: mail addresses.
        corrections: whether those told of a claim are told when it is withdrawn.
        template: of the mail.
        origin: file and line, or `built in`.
    """

    name: str
    when: StatusCondition
    receivers: tuple[str, ...]
    severity: Severity = Severity.INFORMATIONAL
    corrections: bool = True
    template: str = "run"
    description: str = ""
    enabled: bool = True
    origin: str = ""
