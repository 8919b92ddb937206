"""The mails that the catcher took, from its folder."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from runherald.alerts.foreign_mail import body_text, header_date, header_text, parse_mail

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
        files = [path for path in self._folder.glob("*.eml") if _NAME.fullmatch(path.name) and path.is_file()]
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
    mail = parse_mail(content)
    return Mail(
        name=name,
        sender=header_text(mail, "From"),
        to=header_text(mail, "To"),
        subject=header_text(mail, "Subject") or "(no subject)",
        date=header_date(mail),
        text=body_text(mail, "plain") if bodies else "",
        html=body_text(mail, "html") if bodies else "",
    )
