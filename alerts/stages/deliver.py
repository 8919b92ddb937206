"""The last stage: a notice becomes a mail and is handed to the SMTP server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from runherald.alerts.addresses import to_ascii
from runherald.alerts.context import RunContextSource
from runherald.alerts.message import Composer
from runherald.alerts.outbox import Notice
from runherald.alerts.smtp import CONNECTIONS, Delivery, Failed
from runherald.clock import Clock
from runherald.sinks.run_context import RunContext, RunKey

logger = logging.getLogger(__name__)

BUSY_SECONDS = 0.25
"""How long new mails of a batch are begun; their outcomes are published after it, and a crash before that sends them again."""

SHORTEST_WAIT = timedelta(seconds=0.15)
"""From the decision; what was logged with the end of a run is stored in about that time."""

LONGEST_WAIT = timedelta(seconds=1)
CROWDED_WAIT = timedelta(seconds=0.25)
FEW = 4
"""From the decision, however late history is: a few mails are better late by a moment than short of a run's last lines; of many none may
hold up the others."""


class Transport(Protocol):
    """Hands messages to a mail server; `runherald.alerts.smtp.SmtpTransport` is one."""

    async def send(self, sender: str, recipient: str, message: bytes) -> Delivery:
        """Hand one message over for one recipient, within a bounded time."""
        ...

    async def close_idle(self, older_than: float = ...) -> None:
        """Close connections that were not used for so many seconds."""
        ...


class Tried(NamedTuple):
    """How an attempt ended, and when."""

    delivery: Delivery
    time: datetime


class Deliver:
    """Composes and sends. Every attempt is bounded: the context by its source, the rest by the transport."""

    def __init__(
        self,
        composer: Composer,
        transport: Transport,
        context: RunContextSource,
        clock: Clock,
        *,
        at_once: int = CONNECTIONS,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._composer = composer
        self._transport = transport
        self._context = context
        self._clock = clock
        self._busy_seconds = busy_seconds
        # Composed one by one as connections come free, so that the first mail does not wait for the last to be written.
        self._free = asyncio.Semaphore(at_once)

    async def deliver(self, notices: Sequence[Notice]) -> Sequence[Tried | None]:
        """Try once to send each notice's mail, and say what became of it, and when.

        None stands for one that was not tried: it waits for history to know its run's end, the server went away, or time was up.
        """
        ready = await self._settled(notices)
        contexts = await self._load(ready)
        batch = _Batch(asyncio.get_running_loop().time() + self._busy_seconds)
        tried = await asyncio.gather(*(self._deliver(notice, contexts.get(_key(notice)), batch) for notice in ready))
        by_id = dict(zip((notice.notice_id for notice in ready), tried, strict=True))
        return [by_id.get(notice.notice_id) for notice in notices]

    async def _settled(self, notices: Sequence[Notice]) -> Sequence[Notice]:
        now = self._clock()
        longest = LONGEST_WAIT if len(notices) <= FEW else CROWDED_WAIT
        patient = {_key(notice) for notice in notices if may_wait(notice, now, longest)}
        try:
            known = await self._context.revisions(patient) if patient else {}
        except Exception:  # the edge: a mail that waits in vain goes a little later, and that is reported
            logger.exception("history cannot say how far it is mails=%d", len(notices))
            known = {}
        return [notice for notice in notices if not may_wait(notice, now, longest) or settled(notice, known.get(_key(notice), 0), now)]

    async def _deliver(self, notice: Notice, context: RunContext | None, batch: _Batch) -> Tried | None:
        async with self._free:
            if batch.over():
                return None
            try:
                recipient = to_ascii(notice.recipient)
                message = self._composer.compose(notice, context, self._clock())
            except Exception as error:  # the edge: one notice that cannot be written must not stop the others, and is reported
                logger.exception("mail cannot be composed notice=%s rule=%s", notice.notice_id, notice.rule)
                reason = f"not_composed: {type(error).__name__}; see the log of the server"
                return Tried(Failed(permanent=True, fault="reply", reason=reason), self._clock())
            delivery = await self._transport.send(self._composer.envelope_sender, recipient, message)
            batch.heard(delivery)
            return Tried(delivery, self._clock())

    async def _load(self, notices: Sequence[Notice]) -> Mapping[RunKey, RunContext]:
        try:
            return await self._context.load({_key(notice) for notice in notices}) if notices else {}
        except Exception:  # the edge: what is nice to have must not cost the mail, and is reported
            logger.exception("mails go without metrics and log lines mails=%d", len(notices))
            return {}

    def message_id(self, notice: Notice) -> str:
        """Return the Message-ID of a notice's mail."""
        return self._composer.message_id(notice.notice_id)

    async def rest(self) -> None:
        """Let go of connections that are not used."""
        await self._transport.close_idle()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._transport.close_idle(0.0)


class _Batch:
    """Whether the mails of a batch may still be begun: none when the server has gone away, or time is up; the first always may."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._begun = False
        self._gone = False

    def over(self) -> bool:
        late = self._begun and asyncio.get_running_loop().time() >= self._end
        self._begun = True
        return self._gone or late

    def heard(self, delivery: Delivery) -> None:
        self._gone |= isinstance(delivery, Failed) and delivery.fault == "connection"


def may_wait(notice: Notice, now: datetime, longest: timedelta) -> bool:
    """Say whether a mail may still wait for what its run said last: once, not long, and by no clock behind the one that decided."""
    return not notice.attempts and timedelta() <= now - notice.decided_time < longest


def settled(notice: Notice, revision: int, now: datetime) -> bool:
    """Say whether history, knowing so many transitions of a run, surely holds what the run said before the one of the notice.

    Metrics and lines are stored beside the transition by processors of their own, about as soon as it: so a moment more is waited for them.
    """
    return revision >= notice.transition.revision and now - notice.decided_time >= SHORTEST_WAIT


def _key(notice: Notice) -> RunKey:
    header = notice.transition.header
    return RunKey(notice.workspace, notice.run_id, header.parent_run_id if header else "")
