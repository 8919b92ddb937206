"""The last stage: a notice becomes a mail and is handed to the SMTP server."""

from __future__ import annotations

import logging
from typing import Protocol

from runherald.alerts.addresses import to_ascii
from runherald.alerts.context import RunContextSource
from runherald.alerts.message import Composer
from runherald.alerts.outbox import Notice
from runherald.alerts.smtp import Delivery, Failed
from runherald.clock import Clock
from runherald.sinks.run_context import RunContext

logger = logging.getLogger(__name__)


class Transport(Protocol):
    """Hands messages to a mail server; `runherald.alerts.smtp.SmtpTransport` is one."""

    async def send(self, sender: str, recipient: str, message: bytes) -> Delivery:
        """Hand one message over for one recipient, within a bounded time."""
        ...

    async def close_idle(self, older_than: float = ...) -> None:
        """Close connections that were not used for so many seconds."""
        ...


class Deliver:
    """Composes and sends. Every attempt is bounded: the context by its source, the rest by the transport."""

    def __init__(self, composer: Composer, transport: Transport, context: RunContextSource, clock: Clock) -> None:
        self._composer = composer
        self._transport = transport
        self._context = context
        self._clock = clock

    async def deliver(self, notice: Notice) -> Delivery:
        """Try once to send a notice's mail, and say what became of it."""
        context = await self._load(notice)
        try:
            recipient = to_ascii(notice.recipient)
            message = self._composer.compose(notice, context, self._clock())
        except Exception as error:  # the edge: one notice that cannot be written must not stop the others, and is reported
            logger.exception("mail cannot be composed notice=%s rule=%s", notice.notice_id, notice.rule)
            return Failed(permanent=True, fault="reply", reason=f"not_composed: {type(error).__name__}; see the log of the server")
        return await self._transport.send(self._composer.envelope_sender, recipient, message)

    async def _load(self, notice: Notice) -> RunContext | None:
        header = notice.transition.header
        try:
            return await self._context.load(notice.workspace, notice.run_id, header.parent_run_id if header else "")
        except Exception:  # the edge: what is nice to have must not cost the mail, and is reported
            logger.exception("mail goes without metrics and log lines run=%s", notice.run_id)
            return None

    def message_id(self, notice: Notice) -> str:
        """Return the Message-ID of a notice's mail."""
        return self._composer.message_id(notice.notice_id)

    async def rest(self) -> None:
        """Let go of connections that are not used."""
        await self._transport.close_idle()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._transport.close_idle(0.0)
