"""An SMTP server for trials and tests: it keeps each message as a file, and can be told to refuse."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import threading
import warnings
from collections.abc import Callable
from email.parser import BytesHeaderParser
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from msgspec import Struct

from runherald.alerts.foreign_mail import header_text
from runherald.clock import Clock, system_clock
from runherald.errors import RunheraldError

Refuse = Callable[[str, str], str | None]
"""Told the stage (`MAIL`, `RCPT`, `DATA`, `DROP_BEFORE_ACCEPTING`, `ACCEPTED_THEN_DROP`) and the address; the reply that refuses, or None.
For the two drops any text closes the connection instead of the 250, before or after the message is kept."""

_MAX_BYTES = 33_554_432
_HEADERS = BytesHeaderParser()


class CaughtMail(Struct, frozen=True):
    """A message that was kept."""

    path: Path
    time: str
    sender: str
    recipients: str
    subject: str
    message_id: str


class MailCatcher:
    """An SMTP server in a thread of its own, on loopback. Each message is an .eml file in the folder, its envelope in X-Envelope headers.

    Attributes:
        port: where it listens, once started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        refuse: Refuse | None = None,
        user: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        clock: Clock = system_clock,
    ) -> None:
        self.host = host
        self.port = port
        self._handler = _Handler(folder, refuse or _take_all, clock)
        self._credentials = (user.encode(), password.encode()) if user else None
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runherald-mail-catcher", daemon=True)
        self._server: asyncio.Server | None = None
        self._sessions: set[SMTP] = set()

    @property
    def url(self) -> str:
        """What `--smtp` takes."""
        return f"smtp://{self.host}:{self.port}"

    def start(self) -> None:
        """Listen.

        Raises:
            RunheraldError: the port is taken.
        """
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        except OSError as error:
            self.stop()
            raise RunheraldError(f"mail catcher: cannot listen on {self.host}:{self.port} ({error.strerror})") from error

    def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def messages(self) -> list[CaughtMail]:
        """Return what was kept, oldest first."""
        return caught_mails(self._handler.folder)

    def __enter__(self) -> MailCatcher:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _listen(self) -> None:
        tls = self._tls if self._implicit_tls else None
        self._server = await self._loop.create_server(self._session, self.host, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def _session(self) -> SMTP:
        with warnings.catch_warnings():
            # It warns of passwords without TLS: on loopback, in a trial, that is what was asked for.
            warnings.simplefilter("ignore", UserWarning)
            session = _Session(
                self._handler,
                data_size_limit=_MAX_BYTES,
                enable_SMTPUTF8=True,
                hostname="mail-catcher",
                ident="runherald mail catcher",
                tls_context=None if self._implicit_tls else self._tls,
                authenticator=self._check_login if self._credentials else None,
                auth_required=self._credentials is not None,
                auth_require_tls=False,
                loop=self._loop,
            )
        session.kept_in = self._sessions
        self._sessions.add(session)
        return session

    def _check_login(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: object) -> AuthResult:
        good = isinstance(login, LoginPassword) and (login.login, login.password) == self._credentials
        return AuthResult(success=good, handled=False)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            if session.transport is not None:
                session.transport.close()
        # Sessions end on the loop: let each say so before it stops.
        for _ in range(100):
            if not self._sessions:
                break
            await asyncio.sleep(0.01)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Session(SMTP):
    kept_in: set[SMTP]

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.kept_in.discard(self)


class _Handler:
    def __init__(self, folder: Path, refuse: Refuse, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._refuse = refuse
        self._clock = clock

    async def handle_MAIL(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        refusal = self._refuse("MAIL", address)
        if refusal is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return refusal or "250 OK"

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        refusal = self._refuse("RCPT", address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return refusal or "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        recipients = ", ".join(envelope.rcpt_tos)
        refusal = self._refuse("DATA", recipients)
        if refusal is not None:
            return refusal
        if self._refuse("DROP_BEFORE_ACCEPTING", recipients) is not None:
            return _drop(server)
        self._keep(envelope, recipients)
        if self._refuse("ACCEPTED_THEN_DROP", recipients) is not None:
            return _drop(server)
        return "250 OK"

    def _keep(self, envelope: Envelope, recipients: str) -> None:
        content = envelope.original_content or b""
        now = self._clock()
        message_id = header_text(_HEADERS.parsebytes(content), "Message-ID")
        digest = hashlib.sha256(message_id.encode()).hexdigest()[:12]
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{digest}"
        received = now.isoformat(timespec="microseconds")
        head = f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {recipients}\r\nX-Received-Time: {received}\r\n"
        unfinished = self.folder / f".{name}.{os.getpid()}"
        unfinished.write_bytes(head.encode(errors="replace") + content)
        unfinished.replace(_free_name(self.folder, name))


def caught_mails(folder: Path) -> list[CaughtMail]:
    """Return the messages kept in a folder, oldest first."""
    return [_caught(path) for path in sorted(folder.glob("*.eml"))]


def _caught(path: Path) -> CaughtMail:
    message = _HEADERS.parsebytes(path.read_bytes())
    headers = {
        name: header_text(message, name) for name in ("X-Received-Time", "X-Envelope-From", "X-Envelope-To", "Subject", "Message-ID")
    }
    return CaughtMail(path, *headers.values())


def _free_name(folder: Path, name: str) -> Path:
    path = folder / f"{name}.eml"
    number = 1
    while path.exists():
        path = folder / f"{name}-{number}.eml"
        number += 1
    return path


def _drop(server: SMTP) -> str:
    if server.transport is not None:
        server.transport.close()
    return "421 connection dropped"


def _take_all(_stage: str, _address: str) -> None:
    return None
