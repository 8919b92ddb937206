"""A notice as a mail: headers that make it one of a thread, text and HTML."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from email.headerregistry import Address, HeaderRegistry
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, parseaddr
from typing import Any
from uuid import uuid5

from jinja2 import Environment, PackageLoader, StrictUndefined

from runherald.alerts.addresses import bare_address, domain_of, to_ascii
from runherald.alerts.mail_view import mail_view
from runherald.alerts.outbox import Notice
from runherald.alerts.subject import one_line
from runherald.events import NAMESPACE
from runherald.sinks.run_context import RunContext

_ATOMS = frozenset({"message-id", "in-reply-to", "references", "list-id", "list-unsubscribe"})


class _Registry(HeaderRegistry):
    """Keeps the classes of headers: the library would make a class anew for each header, a third of the time that a mail takes."""

    __getitem__ = functools.cache(HeaderRegistry.__getitem__)


class _Policy(EmailPolicy):
    """Leaves ids and addresses whole: the library would encode those longer than a line as if they were text."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        """Return a header's lines."""
        if name.lower() in _ATOMS:
            return f"{name}: {value}\r\n".encode("ascii")
        return super().fold_binary(name, value)


# Seven bits only, so that no server on the way needs an extension.
POLICY = _Policy(linesep="\r\n", cte_type="7bit", header_factory=_Registry())


def templates() -> tuple[Environment, Environment]:
    """Return the templates of mails: for plain text, and for HTML."""
    loader = PackageLoader("runherald.alerts")
    # Not looked at again: asking the disk about each template would be a fifth of a mail's time.
    options: dict[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True, "auto_reload": False}
    text = Environment(loader=loader, autoescape=False, **options)  # noqa: S701 (plain text)
    return text, Environment(loader=loader, autoescape=True, **options)


class Composer:
    """Writes mails.

    Attributes:
        envelope_sender: the bare address that mails come from.
    """

    def __init__(self, sender: str, *, public_url: str = "", unsubscribe_url: str = "") -> None:
        """Take the sender (`Name <address>`), where people reach the server, and where it takes one-click unsubscriptions.

        A mail's link to unsubscribe is `unsubscribe_url`, a slash, and the notice's id; it is offered only where the server answers there.
        """
        self.envelope_sender = to_ascii(bare_address(sender))
        self._name = one_line(parseaddr(sender)[0]) or "runherald"
        self._domain = domain_of(sender)
        self._public_url = public_url.rstrip("/")
        self._unsubscribe_url = unsubscribe_url.rstrip("/")
        self._text, self._html = templates()

    def message_id(self, notice_id: str) -> str:
        """Return the Message-ID of a notice, the same at every attempt."""
        return f"<{notice_id}@{self._domain}>"

    def thread_id(self, workspace: str, run_id: str) -> str:
        """Return the id that all mails about a run refer to; no mail has it."""
        return f"<{uuid5(NAMESPACE, f'thread/{workspace}/{run_id}')}@{self._domain}>"

    def compose(self, notice: Notice, context: RunContext | None, now: datetime) -> bytes:
        """Return the mail of a notice as bytes for the wire; only the line that says when it was sent depends on `now`."""
        view = mail_view(notice, context, now, public_url=self._public_url)
        mail = EmailMessage(policy=POLICY)
        mail["From"] = Address(self._name, addr_spec=self.envelope_sender)
        mail["To"] = Address(addr_spec=to_ascii(notice.recipient))
        mail["Subject"] = one_line(notice.subject)
        mail["Date"] = format_datetime(notice.decided_time.astimezone(UTC))
        mail["Message-ID"] = self.message_id(notice.notice_id)
        thread = self.thread_id(notice.workspace, notice.run_id)
        mail["In-Reply-To"] = thread
        mail["References"] = thread
        mail["Auto-Submitted"] = "auto-generated"
        mail["List-Id"] = f"<{notice.rule}.runherald.{self._domain}>"
        if self._unsubscribe_url:
            mail["List-Unsubscribe"] = f"<{self._unsubscribe_url}/{notice.notice_id}>"
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail["X-Runherald-Run"] = one_line(notice.run_id)
        mail["X-Runherald-Status"] = str(notice.transition.status)
        mail.set_content(self._text.get_template(f"{notice.template}.txt.j2").render(mail=view))
        mail.add_alternative(self._html.get_template(f"{notice.template}.html.j2").render(mail=view), subtype="html")
        return mail.as_bytes()
