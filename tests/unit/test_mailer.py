"""The outbox: each notice is sent once, over retries, restarts and redelivery."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runherald.alerts.decisions import decide
from runherald.alerts.events import DECODERS, AlertDecided, NoticeAccepted, NoticeAttempted, NoticeRefused
from runherald.alerts.mailer import HELD_NOTICES, PATIENCE, MailerProcessor
from runherald.alerts.outbox import Notice, decided_notices
from runherald.alerts.rules import builtin_rules
from runherald.alerts.smtp import CONNECTIONS, Accepted, Delivery, Failed
from runherald.alerts.stages.deliver import Tried
from runherald.events import AmlRunStatusChangedEvent, RunHeader, new_event
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.rows import BadRecord, Range
from runherald.status import Status
from runherald.topics import ALERTS, DEAD_LETTERS
from runherald.wire import from_record, to_outgoing

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PARTITION = TopicPartition(ALERTS, 0)
OK = Accepted("2.0.0 taken")
AWAY = Failed(permanent=False, fault="connection", reason="connection: refused")
LATER = Failed(permanent=False, fault="reply", reason="recipient_deferred: 451 later", reply="451 later")
NEVER = Failed(permanent=True, fault="reply", reason="recipient_refused: 550 no such user", reply="550 no such user")


class Tables:
    """The tables in memory: a row a notice, the highest version stays; watermarks."""

    def __init__(self) -> None:
        self.notices: dict[str, dict[str, Any]] = {}
        self.stored: dict[TopicPartition, int] = {}

    async def watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.stored.get(partition, -1) for partition in partitions}

    async def write(self, ranges: Sequence[Range]) -> list[BadRecord]:
        for one in ranges:
            for table in one.tables:
                assert list(table.offsets) == sorted(table.offsets)
                assert not len(table) or one.first <= table.first <= table.last <= one.last
                for values in zip(*table.columns.values(), strict=True):
                    row = dict(zip(table.columns, values, strict=True))
                    known = self.notices.get(row["notice_id"])
                    if known is None or known["version"] <= row["version"]:
                        self.notices[row["notice_id"]] = row
            self.stored[one.partition] = max(self.stored.get(one.partition, -1), one.last)
        return []

    async def settle(self) -> None:
        """Nothing is held back here."""

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is held back here."""

    async def pending(self, partitions: Collection[int], most: int) -> list[Notice]:
        return sorted(await self.load(self.notices), key=lambda notice: notice.next_attempt_time)[:most]

    async def load(self, notice_ids: Collection[str]) -> list[Notice]:
        rows = [self.notices[notice_id] for notice_id in notice_ids if notice_id in self.notices]
        return [msgspec.json.decode(row["payload"], type=Notice) for row in rows if row["state"] == "pending"]

    async def known(self, notice_ids: Collection[str]) -> set[str]:
        return set(notice_ids) & self.notices.keys()


class Server:
    """An SMTP server that answers by a script: a list of answers for each recipient, then yes."""

    def __init__(self, **answers: list[Delivery]) -> None:
        self.answers = answers
        self.waiting: set[str] = set()
        self.clock: Callable[[], datetime] = lambda: NOW
        self.asked: list[str] = []
        self.taken: Counter[str] = Counter()

    async def deliver(self, notices: Sequence[Notice]) -> Sequence[Tried | None]:
        tried: list[Tried | None] = []
        for notice in notices:
            # As the real stage does: four are under way when it is found out that nobody is there.
            gone = len(tried) >= CONNECTIONS and Tried(AWAY, self.clock()) in tried
            tried.append(None if gone or notice.notice_id in self.waiting else Tried(self.answer(notice), self.clock()))
        return tried

    def answer(self, notice: Notice) -> Delivery:
        name = notice.recipient.partition("@")[0]
        self.asked.append(name)
        script = self.answers.get(name) or self.answers.get("anybody") or []
        answer = script.pop(0) if script else OK
        self.taken[notice.notice_id] += isinstance(answer, Accepted)
        return answer

    def message_id(self, notice: Notice) -> str:
        return f"<{notice.notice_id}@example.org>"

    async def rest(self) -> None:
        """Nothing to let go of."""

    async def close(self) -> None:
        """Nothing to let go of."""


class World:
    """A log, tables, a server and a clock; runs a mailer as a runner would."""

    def __init__(self, server: Server, *, max_attempts: int = 12, held: int = HELD_NOTICES) -> None:
        self.server = server
        server.clock = lambda: self.now
        self.tables = Tables()
        self.log: list[Record] = []
        self.dead: list[Outgoing] = []
        self.committed = 0
        self.read = 0
        self.now = NOW
        self.slept = 0.0
        self.max_attempts = max_attempts
        self.held = held
        self.mailer = self.fresh()

    def fresh(self) -> MailerProcessor:
        return MailerProcessor(
            self.server,
            self.tables,
            self.tables,
            lambda: self.now,
            max_attempts=self.max_attempts,
            held=self.held,
            chance=lambda: 0.0,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds

    async def start(self) -> None:
        """Start anew, as after a crash: from what was committed."""
        self.mailer = self.fresh()
        self.read = self.committed
        await self.mailer.assigned({PARTITION: len(self.log)})

    def append(self, records: Sequence[Outgoing]) -> None:
        self.dead += [outgoing for outgoing in records if outgoing.topic == DEAD_LETTERS]
        for outgoing in (outgoing for outgoing in records if outgoing.topic == ALERTS):
            self.log.append(Record(outgoing.topic, 0, len(self.log), 0, outgoing.key, outgoing.value, outgoing.headers))

    async def turn(self, records: int = 100, *, publish: bool = True, flush: bool = True) -> None:
        batch = self.log[self.read : self.read + records]
        outgoing = await self.mailer.process(batch)
        self.read += len(batch)
        if publish:
            self.append(outgoing)
            if flush:
                self.append(await self.mailer.flush())
                self.committed = self.read

    async def settle(self, bound: int = 100) -> None:
        """Run with time passing until no notice is pending."""
        for _ in range(bound):
            await self.turn()
            if self.read == len(self.log) and all(row["state"] != "pending" for row in self.tables.notices.values()):
                return
            self.now += timedelta(seconds=60)
        raise AssertionError("there are pending notices still")

    def outcomes(self) -> list[Any]:
        data = [from_record(record, DECODERS).data for record in self.log]
        return [one for one in data if isinstance(one, NoticeAttempted | NoticeAccepted | NoticeRefused)]

    def states(self) -> dict[str, str]:
        return {row["recipient"].partition("@")[0]: row["state"] for row in self.tables.notices.values()}


def decisions(count: int = 1, to: Sequence[str] = ("me@example.org",)) -> list[Outgoing]:
    found = []
    for number in range(count):
        data = AmlRunStatusChangedEvent(status=Status.FAILED, header=RunHeader(experiment_name="digits"), revision=number + 1)
        event = new_event(data, workspace="default", run_id="run-1", producer="runherald.history", sequence=number + 1, time=NOW)
        found += [to_outgoing(decision, ALERTS) for decision in decide(builtin_rules(to), event, NOW)]
    return found


async def test_a_notice_is_accepted_and_its_row_says_so() -> None:
    world = World(Server())
    await world.start()
    world.append(decisions())
    await world.settle()
    [row] = world.tables.notices.values()
    assert (row["state"], row["attempts"], row["subject"]) == ("accepted", 1, "Failed: digits/run-1")
    assert row["message_id"] == f"<{row['notice_id']}@example.org>"
    assert row["smtp_reply"] == "2.0.0 taken"


async def test_what_waits_for_history_is_asked_for_again_and_holds_up_nothing_for_long() -> None:
    world = World(Server())
    await world.start()
    world.append(decisions(to=("early@example.org", "me@example.org")))
    [early] = [notice.notice_id for notice in notices_of(world.log) if notice.recipient == "early@example.org"]
    world.server.waiting = {early}
    await world.turn()
    assert (world.server.asked, world.slept) == (["me"], 0.0)
    await world.turn()
    assert 0.9 < world.slept < 1.5
    assert world.states() == {"early": "pending", "me": "accepted"}
    world.server.waiting.clear()
    await world.turn()
    assert world.server.asked == ["me", "early"]


def notices_of(log: Sequence[Record]) -> list[Notice]:
    events = [(record, from_record(record, DECODERS)) for record in log]
    decided = [(record, event) for record, event in events if isinstance(event.data, AlertDecided)]
    return [notice for record, event in decided for notice in decided_notices(event, partition=0, offset=record.offset)]


async def test_a_refused_recipient_ends_alone_and_at_once() -> None:
    world = World(Server(gone=[NEVER]))
    await world.start()
    world.append(decisions(to=("gone@example.org", "me@example.org")))
    await world.settle()
    assert world.states() == {"gone": "refused", "me": "accepted"}
    assert Counter(world.server.asked) == {"gone": 1, "me": 1}
    [row] = [row for row in world.tables.notices.values() if row["state"] == "refused"]
    assert row["reason"] == "recipient_refused: 550 no such user"


async def test_a_deferred_recipient_waits_longer_each_time_and_nobody_else_does() -> None:
    world = World(Server(slow=[LATER, LATER, LATER]))
    await world.start()
    world.append(decisions(to=("slow@example.org", "me@example.org")))
    await world.turn()
    assert Counter(world.server.asked) == {"slow": 1, "me": 1}
    await world.settle()
    assert world.states() == {"slow": "accepted", "me": "accepted"}
    waits = [(one.next_attempt_time - one_time).total_seconds() for one, one_time in attempted(world)]
    assert waits == [1, 4, 16]


def attempted(world: World) -> list[tuple[NoticeAttempted, datetime]]:
    events = [from_record(record, DECODERS) for record in world.log]
    return [(event.data, event.time) for event in events if isinstance(event.data, NoticeAttempted)]


HOURS = timedelta(hours=2)


@pytest.mark.parametrize("answer", [LATER, AWAY])
async def test_a_clock_that_is_set_back_makes_no_notice_wait_for_it(answer: Delivery) -> None:
    world = World(Server(me=[answer]))
    world.now += HOURS
    await world.start()
    world.append(decisions())
    await world.turn()
    world.now -= HOURS
    for _ in range(3):
        await world.turn()
    assert (world.server.asked, world.states()) == (["me", "me"], {"me": "accepted"})


async def test_a_notice_goes_at_once_whose_decider_had_a_clock_ahead_of_ours() -> None:
    world = World(Server())
    world.now -= HOURS
    await world.start()
    world.append(decisions())
    await world.turn()
    assert world.server.asked == ["me"]


async def test_after_the_last_attempt_the_notice_is_refused_and_says_why() -> None:
    world = World(Server(me=[LATER] * 9), max_attempts=3)
    await world.start()
    world.append(decisions())
    await world.settle()
    [row] = world.tables.notices.values()
    assert (row["state"], row["attempts"]) == ("refused", 3)
    assert row["reason"] == "given_up: after 3 attempts, the last: recipient_deferred: 451 later"


async def test_while_the_server_is_away_one_notice_asks_and_all_go_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runherald.alerts.mailer")
    world = World(Server(anybody=[AWAY] * 8))
    await world.start()
    world.append(decisions(20))
    await world.turn()
    assert len(world.server.asked) == 4  # those that were tried side by side when it was found out
    for _ in range(4):
        world.now += timedelta(seconds=60)
        await world.turn()
    assert len(world.server.asked) == 8
    # Back: whoever waited goes now, not when its own back-off is over.
    world.now += timedelta(seconds=60)
    for _ in range(4):
        await world.turn()
    assert set(world.states().values()) == {"accepted"}
    assert max(world.server.taken.values()) == 1
    away, back = [message for message in caplog.messages if message.startswith("mail server")]
    assert away == "mail server away reason=connection: refused: notices wait, and go when it is back"
    assert back == "mail server back"


async def test_nothing_is_sent_before_the_log_is_read_to_its_end() -> None:
    world = World(Server())
    await world.start()
    world.append(decisions())
    await world.turn(flush=False)  # accepted and published, but no row and no commit
    assert sum(world.server.taken.values()) == 1
    await world.start()
    await world.turn(records=1)  # the decision alone: its outcome stands further on
    assert sum(world.server.taken.values()) == 1
    await world.settle()
    assert sum(world.server.taken.values()) == 1
    assert world.states() == {"me": "accepted"}


async def test_a_restart_sends_what_is_pending() -> None:
    world = World(Server(me=[AWAY]))
    await world.start()
    world.append(decisions())
    await world.turn()
    await world.turn()
    [row] = world.tables.notices.values()
    assert (row["state"], row["reason"], row["attempts"]) == ("pending", "connection: refused", 1)
    await world.start()
    await world.settle()
    assert world.states() == {"me": "accepted"}


@pytest.mark.parametrize("later", [PATIENCE, -HOURS], ids=["patience", "clock set back"])
async def test_pending_notices_go_even_if_the_last_offsets_hold_no_record(later: timedelta) -> None:
    world = World(Server(me=[AWAY]))
    await world.start()
    world.append(decisions())
    await world.turn()
    world.mailer = world.fresh()
    world.read = len(world.log)
    await world.mailer.assigned({PARTITION: len(world.log) + 5})
    world.now += timedelta(seconds=20)
    await world.turn()
    assert sum(world.server.taken.values()) == 0
    world.now += later
    await world.turn()
    assert sum(world.server.taken.values()) == 1


async def test_a_crash_between_the_250_and_its_record_sends_again_and_no_other_crash_does() -> None:
    world = World(Server())
    await world.start()
    world.append(decisions())
    await world.turn(publish=False)
    await world.start()
    await world.settle()
    assert list(world.server.taken.values()) == [2]
    await world.start()
    await world.settle()
    world.append(decisions())  # the decision comes again long after
    await world.settle()
    assert list(world.server.taken.values()) == [2]


Answers = st.lists(st.sampled_from([OK, AWAY, LATER, NEVER]), max_size=6)
Crashes = st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.booleans()), max_size=8)


@given(answers=Answers, crashes=Crashes, copies=st.lists(st.integers(0, 2), max_size=4), held=st.sampled_from([1, 2, HELD_NOTICES]))
async def test_any_crash_and_any_copy_gives_each_notice_one_end(
    answers: list[Delivery], crashes: list[tuple[int, bool, bool]], copies: list[int], held: int
) -> None:
    world = World(Server(anybody=answers), held=held)
    await world.start()
    first = decisions(3)
    world.append(first)
    lost = 0
    for records, publish, flush in crashes:
        before = sum(world.server.taken.values())
        await world.turn(records, publish=publish, flush=flush)
        lost += 0 if publish else sum(world.server.taken.values()) - before
        world.append([first[copy] for copy in copies])
        world.now += timedelta(seconds=30)
        await world.start()
    await world.settle()
    ends = [one for one in world.outcomes() if not isinstance(one, NoticeAttempted)]
    assert {one.notice_id for one in ends} == world.tables.notices.keys()
    assert len(ends) == len(world.tables.notices) == 3
    accepted = sum(row["state"] == "accepted" for row in world.tables.notices.values())
    # A second mail comes only of a crash between the server's 250 and our record of it.
    assert accepted <= sum(world.server.taken.values()) <= accepted + lost


async def test_while_the_server_is_away_only_so_many_notices_are_held_and_all_are_sent_when_it_is_back() -> None:
    world = World(Server(anybody=[AWAY] * 10), held=20)
    await world.start()
    world.append(decisions(100))
    for _ in range(5):
        await world.turn()
        assert len(world.mailer._notices) <= 20
        world.now += timedelta(seconds=1)
    assert sum(row["state"] == "pending" for row in world.tables.notices.values()) == 100
    await world.settle(200)
    assert sum(row["state"] == "accepted" for row in world.tables.notices.values()) == 100
    assert set(world.server.taken.values()) <= {0, 1}
    assert sum(world.server.taken.values()) == 100


async def test_after_a_restart_an_outcome_finds_its_notice_though_it_is_not_held() -> None:
    world = World(Server(anybody=[LATER] * 6), held=2)
    await world.start()
    world.append(decisions(6))
    await world.turn()
    outcomes = len(world.outcomes())
    assert outcomes == 6
    await world.start()
    assert len(world.mailer._notices) == 2
    await world.settle()
    assert sum(world.server.taken.values()) == 6
    assert [row["attempts"] for row in world.tables.notices.values()] == [2] * 6


async def test_a_notice_that_was_let_go_of_is_not_taken_for_a_new_one_when_its_decision_comes_again() -> None:
    world = World(Server(anybody=[LATER] * 3), held=1)
    await world.start()
    decided = decisions(3)
    world.append(decided)
    await world.turn()
    await world.turn()
    world.append(decided)
    await world.settle()
    assert [row["attempts"] for row in world.tables.notices.values()] == [2] * 3


@pytest.mark.parametrize("broken", [lambda record: b"{", lambda record: b'{"rule": 1}'])
async def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(broken: Callable[[Outgoing], bytes]) -> None:
    world = World(Server())
    await world.start()
    [good] = decisions()
    world.append([msgspec.structs.replace(good, value=broken(good)), good])
    await world.settle()
    assert world.states() == {"me": "accepted"}
    [letter] = world.dead
    assert dict(letter.headers)["rh_processor"] == b"mailer"
