"""The mails that the catcher took, from its folder."""

from __future__ import annotations

import re
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

from msgspec import Struct

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}\.eml")
_HEAD_BYTES = 64 * 1024


class Mail(Struct, frozen=True, kw_only=True):
    """A message. `text` and `html` are its bodies, empty when it has none or only its head was read."""

    name: str
    sender: str
    to: str
    subject: str
    date: datetime | None
    text: str = ""
    html: str = ""


class MailFolder:
    """Reads the messages of a folder; calls block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self, limit: int = 200) -> list[Mail]:
        """Return the heads of the messages that came last, newest first."""
        files = [path for path in self._folder.glob("*.eml") if _NAME.fullmatch(path.name)]
        files.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
        return [_mail(path.name, _head(path), bodies=False) for path in files[:limit]]

    def read(self, name: str) -> Mail | None:
        """Return a message, or None if there is none of that name."""
        path = self._folder / name
        if not _NAME.fullmatch(name) or not path.is_file():
            return None
        return _mail(name, path.read_bytes(), bodies=True)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _mail(name: str, content: bytes, *, bodies: bool) -> Mail:
    message = message_from_bytes(content, policy=policy.default)
    return Mail(
        name=name,
        sender=str(message["From"] or ""),
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or "(no subject)"),
        date=_date(str(message["Date"] or "")),
        text=_body(message, "plain") if bodies else "",
        html=_body(message, "html") if bodies else "",
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except LookupError:  # a character set that nobody knows
        return bytes(part.get_payload(decode=True) or b"").decode(errors="replace")


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
