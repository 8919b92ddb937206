"""Handing mail to an SMTP server: one envelope a recipient, one connection for a burst."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Literal, NamedTuple

import aiosmtplib
from aiosmtplib import SMTP
from msgspec import Struct

from runherald.alerts.events import Fault
from runherald.alerts.smtp_address import SmtpServer

logger = logging.getLogger(__name__)

CONNECTIONS = 4
"""How many connections at most. Servers commonly allow ten to twenty from one client."""

FRESH_SECONDS = 2.0
IDLE_SECONDS = 20.0
_LONGEST_REPLY = 500
_PERMANENT = 500


class Accepted(Struct, frozen=True):
    """The server took the mail: its 250."""

    reply: str


class Failed(Struct, frozen=True):
    """The server did not take the mail.

    Attributes:
        permanent: whether trying again cannot help.
        fault: whether the server would not take this mail, or takes none now.
        reason: in words, with the server's own.
    """

    permanent: bool
    fault: Fault
    reason: str
    reply: str = ""


Delivery = Accepted | Failed


class _Idle(NamedTuple):
    client: SMTP
    since: float


class SmtpTransport:
    """Sends through one server. All calls belong to one event loop."""

    def __init__(self, server: SmtpServer, *, timeout: float = 30.0, connections: int = CONNECTIONS) -> None:
        self.server = server
        self._timeout = timeout
        self._free = asyncio.Semaphore(connections)
        self._idle: list[_Idle] = []

    async def send(self, sender: str, recipient: str, message: bytes) -> Delivery:
        """Hand one message over for one recipient, and say what became of it within the time for one attempt."""
        async with self._free:
            client: SMTP | None = None
            try:
                async with asyncio.timeout(self._timeout):
                    client = await self._client()
                    _, reply = await client.sendmail(sender, [recipient], message)
            except (aiosmtplib.SMTPException, OSError, ssl.SSLError, ValueError) as error:
                failed = _explain(error, self.server)
                if client is not None:
                    # After a reply the conversation goes on; after anything else nobody knows where it stands.
                    self._keep(client) if failed.fault == "reply" and client.is_connected else client.close()
                return failed
            except BaseException:
                if client is not None:
                    client.close()
                raise
            self._keep(client)
            return Accepted(_short(reply))

    async def close_idle(self, older_than: float = IDLE_SECONDS) -> None:
        """Take leave of the server on the connections that were not used for so many seconds."""
        now = asyncio.get_running_loop().time()
        old = [idle for idle in self._idle if now - idle.since >= older_than]
        self._idle = [idle for idle in self._idle if idle not in old]
        for idle in old:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                async with asyncio.timeout(2):
                    await idle.client.quit()
            idle.client.close()

    def _keep(self, client: SMTP) -> None:
        self._idle.append(_Idle(client, asyncio.get_running_loop().time()))

    async def _client(self) -> SMTP:
        while self._idle:
            client, since = self._idle.pop()
            if await self._alive(client, since):
                return client
            client.close()
        server = self.server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user or None,
            password=server.password or None,
            # The library would ask the resolver for a full name, which can take seconds.
            local_hostname=socket.gethostname() or "localhost",
            timeout=self._timeout,
            use_tls=server.tls == "implicit",
            start_tls={"require": True, "never": False}.get(server.tls),
            validate_certs=server.verify,
            cert_bundle=str(server.ca) if server.ca else None,
        )
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client

    async def _alive(self, client: SMTP, since: float) -> bool:
        """Ask a connection that has rested whether the server still listens: servers hang up on the silent ones."""
        if not client.is_connected:
            return False
        if asyncio.get_running_loop().time() - since < FRESH_SECONDS:
            return True
        try:
            await client.noop()
        except (aiosmtplib.SMTPException, OSError):
            return False
        return True


class NoServer:
    """Stands where a server would when none is set: refuses every notice, and says why."""

    async def send(self, sender: str, recipient: str, message: bytes) -> Delivery:  # noqa: ARG002
        """Refuse."""
        return Failed(permanent=True, fault="reply", reason="no_server: mail.smtp is not set, so no mail can leave")

    async def close_idle(self, older_than: float = IDLE_SECONDS) -> None:
        """Do nothing."""


def _explain(error: Exception, server: SmtpServer) -> Failed:
    """Return what an error of an attempt means.

    A 5xx about the recipient or the message is final. A 5xx before that (sender, password, greeting) is about our own set-up: somebody
    can mend it while the notice waits.
    """
    match error:
        case aiosmtplib.SMTPRecipientsRefused() if error.recipients:
            return _refused("recipient", error.recipients[0].code, error.recipients[0].message)
        case aiosmtplib.SMTPDataError():
            return _refused("message", error.code, error.message)
        case aiosmtplib.SMTPAuthenticationError():
            return _set_up(server, "login", _said(error.code, error.message))
        case aiosmtplib.SMTPSenderRefused():
            return _set_up(server, "sender", _said(error.code, error.message))
        case aiosmtplib.SMTPResponseException():
            return _away("answer", server, _said(error.code, error.message))
        case ssl.SSLError():
            return _set_up(server, "tls", getattr(error, "verify_message", "") or error.reason or "no TLS")
        case aiosmtplib.SMTPConnectError() if isinstance(error.__cause__, ssl.SSLError):
            return _set_up(server, "tls", getattr(error.__cause__, "verify_message", "") or str(error))
        case ValueError():  # behind the certificate's error, which is one too
            return Failed(permanent=True, fault="reply", reason="address_not_sendable: the address cannot be written in an SMTP command")
        case TimeoutError():
            return _away("timeout", server, "no answer in time")
        case aiosmtplib.SMTPServerDisconnected() | aiosmtplib.SMTPConnectError():
            return _away("connection", server, error.message)
        case aiosmtplib.SMTPException():
            return _set_up(server, "not_supported", error.message)
        case _:
            return _away("connection", server, str(error) or type(error).__name__)


def _refused(what: Literal["recipient", "message"], code: int, text: str) -> Failed:
    said = _said(code, text)
    permanent = code >= _PERMANENT
    return Failed(permanent=permanent, fault="reply", reason=f"{what}_{'refused' if permanent else 'deferred'}: {said}", reply=said)


def _said(code: int, text: str) -> str:
    return f"{code} {_short(text)}".strip()


def _away(what: Literal["answer", "timeout", "connection"], server: SmtpServer, said: str) -> Failed:
    return Failed(permanent=False, fault="connection", reason=f"{what}: {server.for_humans}: {_short(said)}", reply=_short(said))


def _set_up(server: SmtpServer, what: Literal["login", "sender", "tls", "not_supported"], said: str) -> Failed:
    logger.error("mail cannot leave, check the settings of mail server=%s %s=%s", server.for_humans, what, _short(said))
    return Failed(permanent=False, fault="connection", reason=f"{what}: {server.for_humans}: {_short(said)}", reply=_short(said))


def _short(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:_LONGEST_REPLY]
