"""The outbox's processor: what was decided is sent, once, over restarts.

A notice's state is folded from the alerts topic alone: from the decision, and from the outcomes that this processor publishes there itself.
`notice_log` is a copy, from which the pending ones are read back. Order of effects of an attempt: the SMTP server says 250, the outcome is
published, rows are stored, offsets are committed. A crash after the 250 and before the outcome stands in the log sends the mail again,
with the same Message-ID; a crash anywhere else does not, because nothing is sent before the log is read to its end.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from runherald.alerts.backoff import is_over, next_delay
from runherald.alerts.events import DECODERS, AlertDecided, NoticeAccepted, NoticeAttempted, NoticeRefused, Outcome, outcome_outgoing
from runherald.alerts.message import Composer
from runherald.alerts.notice_table import NoticeTable, notice_rows
from runherald.alerts.outbox import Notice, decided_notices, fold_outcome, is_due
from runherald.alerts.server_watch import ServerWatch
from runherald.alerts.smtp import Accepted, Delivery, Failed, NoServer, SmtpTransport
from runherald.alerts.smtp_address import parse_smtp
from runherald.alerts.stages.deliver import Deliver, Tried
from runherald.clock import Clock
from runherald.errors import InvalidEvent
from runherald.events import Event
from runherald.records import Outgoing, Record, TopicPartition
from runherald.settings import Mail
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.intake import Intake, RangeWriter
from runherald.sinks.retry import Retry
from runherald.sinks.run_context import HistoryRunContext
from runherald.sinks.writer import TableWriter
from runherald.topics import ALERTS
from runherald.wire import from_record

logger = logging.getLogger(__name__)

NAME = "mailer"

BATCH = 64
"""How many notices are attempted together: what history knows of their runs is read for all of them at once."""

WAIT_SECONDS = 0.05
WAITS = 20
"""How soon, and how often in one call, what waits for history is asked for again."""

DONE_IDS = 20_000
"""How many ids of finished notices are kept in memory; for others the table is asked."""

HELD_NOTICES = 2_000
"""How many pending notices are kept in memory between flushes, those that are due first: some kilobytes each. The others stay in
`notice_log`, however many a mail server that is away for days makes them."""

LOOK_AGAIN = timedelta(seconds=2)
"""How soon after another the table is asked for notices that are not held."""

PATIENCE = timedelta(seconds=30)
"""When no record has come for so long after an assignment, there is none left to read, whatever the end offsets say."""


class NoticeStore(Protocol):
    """Knows notices of before; `runherald.alerts.notice_table.NoticeTable` is one."""

    async def pending(self, partitions: Collection[int], most: int) -> list[Notice]:
        """Return the pending notices of some partitions of the alerts topic, at most so many: those that are due first."""
        ...

    async def load(self, notice_ids: Collection[str]) -> list[Notice]:
        """Return those of some notices that are pending."""
        ...

    async def known(self, notice_ids: Collection[str]) -> set[str]:
        """Return those of the ids that are stored, pending or done."""
        ...


class Delivering(Protocol):
    """Attempts to deliver; `runherald.alerts.stages.deliver.Deliver` is one."""

    async def deliver(self, notices: Sequence[Notice]) -> Sequence[Tried | None]:
        """Try each once, within a bounded time, and say what became of it; None for one that is to be asked for again at once."""
        ...

    def message_id(self, notice: Notice) -> str:
        """Return the Message-ID of a notice's mail."""
        ...

    async def rest(self) -> None:
        """Let go of what is not used."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class MailerProcessor:
    """The processor `mailer`."""

    name = NAME
    topics: tuple[str, ...] = (ALERTS,)

    def __init__(
        self,
        delivering: Delivering,
        writer: RangeWriter,
        store: NoticeStore,
        clock: Clock,
        *,
        max_attempts: int = 12,
        held: int = HELD_NOTICES,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._delivering = delivering
        self._store = store
        self._clock = clock
        self._max_attempts = max_attempts
        self._held = held
        self._chance = chance
        self._sleep = sleep
        self._intake = Intake(writer, NAME)
        self._watch = ServerWatch(chance)
        self._notices: dict[str, Notice] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        self._changed: set[str] = set()
        self._attempted: dict[str, int] = {}
        self._until: dict[TopicPartition, int] = {}
        self._heard = clock()
        self._more = False
        self._looked = clock()

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Read back the pending notices of partitions. Nothing of them is sent before their records below these ends are read."""
        await self._forget(end_offsets.keys())
        await self._intake.assigned(end_offsets)
        self._heard = self._clock()
        self._until.update(end_offsets)
        await self._look(end_offsets.keys())
        if self._notices:
            logger.info("notices read back pending=%d", len(self._notices))

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drop the notices of partitions."""
        self._intake.revoked(partitions)
        await self._forget(partitions)
        if not self._until:
            await self._delivering.close()

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Fold decisions and outcomes in, attempt what is due, and return what became of it."""
        outgoing: list[Outgoing] = []
        read: list[tuple[Record, Event]] = []
        for record in await self._intake.take(records):
            try:
                read.append((record, from_record(record, DECODERS)))
            except InvalidEvent as error:
                outgoing.append(self._intake.bury(record, str(error)))
        await self._load(event for _, event in read)
        known = await self._known(event for _, event in read)
        for record, event in read:
            self._fold(record, event, known)
        if records:
            self._heard = self._clock()
        if self._more and len(self._due(self._clock())) < BATCH and is_over(self._looked, self._looked + LOOK_AGAIN, self._clock()):
            await self._look(self._until.keys())
        outgoing += await self._send_due()
        await self._delivering.rest()
        return outgoing

    async def flush(self) -> Sequence[Outgoing]:
        """Store the notices that changed; what the database does not take is returned as dead letters."""
        changed: dict[TopicPartition, list[Notice]] = {}
        for notice_id in self._changed:
            notice = self._notices[notice_id]
            changed.setdefault(TopicPartition(ALERTS, notice.partition), []).append(notice)
        letters = await self._intake.store({partition: (notice_rows(notices),) for partition, notices in changed.items()})
        # Only now does the table know those that are done.
        for notice_id in self._changed:
            if self._notices[notice_id].state != "pending":
                del self._notices[notice_id]
                self._done[notice_id] = None
        self._changed.clear()
        while len(self._done) > DONE_IDS:
            self._done.popitem(last=False)
        self._let_go()
        return letters

    def _fold(self, record: Record, event: Event, known: set[str]) -> None:
        match event.data:
            case AlertDecided():
                for notice in decided_notices(event, partition=record.partition, offset=record.offset):
                    if notice.notice_id not in known and notice.notice_id not in self._notices:
                        self._notices[notice.notice_id] = notice
                        self._changed.add(notice.notice_id)
            case NoticeAttempted() | NoticeAccepted() | NoticeRefused() as outcome:
                before = self._notices.get(outcome.notice_id)
                if before is None:
                    return  # done and stored before this copy of its end came
                if self._attempted.get(before.notice_id, 0) <= outcome.attempt:
                    self._attempted.pop(before.notice_id, None)
                after = fold_outcome(before, outcome, time=event.time, offset=record.offset)
                if after is not before:
                    self._notices[before.notice_id] = after
                    self._changed.add(before.notice_id)
            case _:
                pass

    async def _look(self, partitions: Collection[TopicPartition]) -> None:
        """Hold the stored notices that are due first."""
        self._looked = self._clock()
        found = await self._store.pending([partition.partition for partition in partitions], self._held)
        self._more = self._more or len(found) >= self._held
        if len(found) < self._held and set(partitions) == self._until.keys():
            self._more = False
        for notice in found:
            # A replica may not know of an end yet that we stored: such a notice is not to be sent again.
            if notice.notice_id not in self._done:
                self._notices.setdefault(notice.notice_id, notice)
        self._let_go()

    async def _load(self, events: Iterable[Event]) -> None:
        """Hold the notices that outcomes are about, as far as they are pending."""
        ids = {event.data.notice_id for event in events if isinstance(event.data, NoticeAttempted | NoticeAccepted | NoticeRefused)}
        missing = ids - self._notices.keys() - self._done.keys()
        if missing and self._more:
            self._notices.update({notice.notice_id: notice for notice in await self._store.load(missing)})

    def _let_go(self) -> None:
        """Let go of what is more than may be held, and stored: those that are due last."""
        too_many = len(self._notices) - self._held
        if too_many <= 0:
            return
        stored = [
            notice
            for notice in self._notices.values()
            if notice.state == "pending" and notice.notice_id not in self._changed and notice.notice_id not in self._attempted
        ]
        stored.sort(key=lambda notice: notice.next_attempt_time)
        for notice in stored[-too_many:]:
            del self._notices[notice.notice_id]
            self._more = True

    async def _known(self, events: Iterable[Event]) -> set[str]:
        """Return the notices among the decisions that are not new: a decision may stand in the log twice, long apart."""
        decided = {notice.notice_id for event in events if isinstance(event.data, AlertDecided) for notice in event.data.notices}
        done = decided & self._done.keys()
        asked = decided - done - self._notices.keys()
        return done | (await self._store.known(asked) if asked else set())

    async def _send_due(self) -> list[Outgoing]:
        """Attempt what is due, together, as long as the server answers.

        What is not reached in the time of one call is in the next: the outcomes come back as records, and with them that call.
        """
        for _ in range(WAITS):
            now = self._clock()
            due = self._due(now)[: self._watch.at_once(now, BATCH)]
            if not due:
                break
            attempts = await self._delivering.deliver(due)
            outgoing = [self._outcome(notice, *tried) for notice, tried in zip(due, attempts, strict=True) if tried is not None]
            if outgoing:
                return outgoing
            await self._sleep(WAIT_SECONDS)
        return []

    def _due(self, now: datetime) -> list[Notice]:
        ready = {partition.partition for partition in self._until if self._caught_up(partition, now)}
        due = [
            notice
            for notice in self._notices.values()
            if notice.state == "pending"
            and notice.partition in ready
            and notice.notice_id not in self._attempted
            and (is_due(notice, now) or self._watch.came_back_for(notice))
        ]
        return sorted(due, key=lambda notice: (notice.attempts, notice.decided_time))

    def _caught_up(self, partition: TopicPartition, now: datetime) -> bool:
        return self._intake.taken_to[partition] >= self._until[partition] - 1 or is_over(self._heard, self._heard + PATIENCE, now)

    def _outcome(self, notice: Notice, delivery: Delivery, now: datetime) -> Outgoing:
        """Return the record of an attempt's outcome. Until it is read back, the notice is not attempted again."""
        attempt = notice.attempts + 1
        self._attempted[notice.notice_id] = attempt
        away = self._watch.away
        self._watch.heard(delivery, now)
        if isinstance(delivery, Failed) and self._watch.away and not away:
            logger.warning("mail server away reason=%s: notices wait, and go when it is back", delivery.reason)
        elif away and not self._watch.away:
            logger.info("mail server back")
        outcome: Outcome
        if isinstance(delivery, Accepted):
            outcome = NoticeAccepted(
                notice_id=notice.notice_id,
                attempt=attempt,
                accepted_time=now,
                message_id=self._delivering.message_id(notice),
                smtp_reply=delivery.reply,
            )
        elif delivery.permanent or attempt >= self._max_attempts:
            reason = delivery.reason if delivery.permanent else f"given_up: after {attempt} attempts, the last: {delivery.reason}"
            outcome = NoticeRefused(notice_id=notice.notice_id, attempt=attempt, refused_time=now, reason=reason, smtp_reply=delivery.reply)
            logger.warning("notice refused notice=%s run=%s rule=%s reason=%s", notice.notice_id, notice.run_id, notice.rule, reason)
        else:
            outcome = NoticeAttempted(
                notice_id=notice.notice_id,
                attempt=attempt,
                reason=delivery.reason,
                fault=delivery.fault,
                next_attempt_time=now + next_delay(attempt, self._chance()),
                smtp_reply=delivery.reply,
            )
        return outcome_outgoing(outcome, workspace=notice.workspace, run_id=notice.run_id, time=now)

    async def _forget(self, partitions: Collection[TopicPartition]) -> None:
        numbers = {partition.partition for partition in partitions}
        for partition in partitions:
            self._until.pop(partition, None)
        for notice_id in [notice.notice_id for notice in self._notices.values() if notice.partition in numbers]:
            del self._notices[notice_id]
            self._changed.discard(notice_id)
            self._attempted.pop(notice_id, None)


def mailer_processor(
    db: HistoryDatabase, mail: Mail, clock: Clock, *, public_url: str = "", unsubscribe_url: str = "", retry: Retry | None = None
) -> MailerProcessor:
    """Return the processor that sends by these settings.

    Raises:
        SettingsError: the address of the SMTP server cannot be used.
    """
    retry = retry or Retry()
    composer = Composer(mail.sender, public_url=public_url, unsubscribe_url=unsubscribe_url)
    transport = SmtpTransport(parse_smtp(mail.smtp), timeout=mail.timeout_seconds) if mail.smtp else NoServer()
    return MailerProcessor(
        Deliver(composer, transport, HistoryRunContext(db), clock),
        TableWriter(db, NAME, clock, retry=retry),
        NoticeTable(db, retry),
        clock,
        max_attempts=mail.max_attempts,
    )
