"""The last stage: when a mail may be written, and how a batch of them is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from runherald.alerts.decisions import decide
from runherald.alerts.message import Composer
from runherald.alerts.outbox import Notice, decided_notices
from runherald.alerts.rules import builtin_rules
from runherald.alerts.smtp import Accepted, Delivery, Failed
from runherald.alerts.stages.deliver import FEW, LONGEST_WAIT, SHORTEST_WAIT, Deliver, Tried
from runherald.events import AmlRunStatusChangedEvent, RunHeader, new_event
from runherald.sinks.run_context import RunContext, RunKey
from runherald.status import Status

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AWAY = Failed(permanent=False, fault="connection", reason="connection: refused")
TAKEN = Tried(Accepted("2.0.0 taken"), NOW + LONGEST_WAIT)
LATER = Failed(permanent=False, fault="reply", reason="recipient_deferred: 451 later")


def notice(number: int = 1) -> Notice:
    data = AmlRunStatusChangedEvent(status=Status.FAILED, header=RunHeader(experiment_name="digits", parent_run_id="sweep"), revision=3)
    event = new_event(data, workspace="default", run_id=f"run-{number}", producer="runherald.history", sequence=number, time=NOW)
    [decision] = decide(builtin_rules(["me@example.org"]), event, NOW)
    [found] = decided_notices(decision, partition=0, offset=number)
    return found


class Known:
    """History, as it answers; writes down what it is asked. Without a revision it does not answer."""

    def __init__(self, revision: int | None) -> None:
        self.revision = revision
        self.asked: list[tuple[str, set[str]]] = []

    async def revisions(self, runs: Collection[RunKey]) -> Mapping[RunKey, int]:
        self.asked.append(("revisions", {run.run_id for run in runs}))
        return {} if self.revision is None else dict.fromkeys(runs, self.revision)

    async def load(self, runs: Collection[RunKey]) -> Mapping[RunKey, RunContext]:
        assert {(run.workspace, run.parent_run_id) for run in runs} == {("default", "sweep")}
        self.asked.append(("load", {run.run_id for run in runs}))
        return {} if self.revision is None else dict.fromkeys(runs, RunContext())


class Lines:
    """An SMTP server that answers the mails in turn, by a script, each when it is told to; says how many are under way."""

    def __init__(self, *answers: Delivery) -> None:
        self.answers = list(answers)
        self.begun = 0
        self.under_way = 0
        self.most = 0

    async def send(self, sender: str, recipient: str, message: bytes) -> Delivery:
        assert (sender, recipient) == ("herald@example.org", "me@example.org")
        assert b"run-" in message
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return self.answers.pop(0) if self.answers else Accepted("2.0.0 taken")

    async def close_idle(self, older_than: float = 0.0) -> None:
        """Nothing is kept here."""


def stage(
    lines: Lines, revision: int | None = None, *, now: datetime = NOW + LONGEST_WAIT, busy_seconds: float = 60.0
) -> tuple[Deliver, Known]:
    known = Known(revision)
    return Deliver(Composer("herald@example.org"), lines, known, lambda: now, at_once=4, busy_seconds=busy_seconds), known


@pytest.mark.parametrize(
    ("revision", "seconds", "attempts", "may"),
    [
        (3, 0.2, 0, True),
        (4, 0.2, 0, True),
        (2, 0.2, 0, False),  # history does not know of this transition yet
        (None, 0.2, 0, False),  # it did not answer
        (3, 0.1, 0, False),  # the last points may be on their way
        (2, 0.9, 0, False),
        (2, 1.0, 0, True),
        (None, 1.0, 0, True),
        (2, 0.2, 1, True),  # failed before, so it has waited
        (2, -3600.0, 0, True),  # decided by a clock that is ahead
    ],
)
async def test_a_mail_waits_for_its_runs_last_points_and_not_long(revision: int | None, seconds: float, attempts: int, may: bool) -> None:
    now = NOW + timedelta(seconds=seconds)
    deliver, _ = stage(Lines(), revision, now=now)
    assert await deliver.deliver([replace(notice(), attempts=attempts)]) == [Tried(Accepted("2.0.0 taken"), now) if may else None]


async def test_a_batch_asks_history_once_and_sends_a_few_side_by_side() -> None:
    lines = Lines()
    deliver, known = stage(lines, 3)
    batch = [notice(number) for number in range(12)]
    assert await deliver.deliver(batch) == [TAKEN] * 12
    assert known.asked == [("load", {f"run-{number}" for number in range(12)})]
    assert lines.most == 4


async def test_of_many_mails_none_waits_long() -> None:
    crowd = [notice(number) for number in range(FEW + 1)]
    deliver, _ = stage(Lines(), 2, now=NOW + timedelta(seconds=0.3))
    assert None not in await deliver.deliver(crowd)
    assert await deliver.deliver(crowd[:FEW]) == [None] * FEW


async def test_those_that_wait_leave_the_others_alone_and_are_not_loaded() -> None:
    lines = Lines()
    deliver, known = stage(lines, 2, now=NOW + SHORTEST_WAIT)
    assert await deliver.deliver([notice(1), replace(notice(2), attempts=1)]) == [None, Tried(Accepted("2.0.0 taken"), NOW + SHORTEST_WAIT)]
    assert known.asked == [("revisions", {"run-1"}), ("load", {"run-2"})]
    assert lines.begun == 1


async def test_when_the_server_goes_away_the_rest_of_a_batch_is_not_tried() -> None:
    lines = Lines(LATER, Accepted("ok"), AWAY, AWAY, AWAY, AWAY, AWAY, AWAY)
    deliver, _ = stage(lines)
    answers = await deliver.deliver([notice(number) for number in range(20)])
    assert [tried.delivery for tried in answers[:3] if tried] == [LATER, Accepted("ok"), AWAY]
    assert answers.count(None) == 20 - lines.begun
    assert lines.begun <= 8


async def test_what_a_slow_server_leaves_no_time_for_is_left_to_the_next_batch() -> None:
    deliver, _ = stage(Lines(), busy_seconds=0.0)
    answers = await deliver.deliver([notice(number) for number in range(20)])
    assert answers[0] == TAKEN
    assert answers.count(None) == 19
