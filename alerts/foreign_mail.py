"""Mails that somebody else wrote: their headers and bodies as text, whatever they hold.

The library's own header parser (`email.policy.default`) raises IndexError, AttributeError and others for headers that are malformed in
certain ways, so that one such mail would take a list of mails with it. Its older policy takes a header for a text.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime

_LONGEST_HEADER = 2_000  # characters; the library takes time in the square of a header's length


def parse_mail(content: bytes) -> Message:
    """Return a message of bytes, be they one or not."""
    try:
        return message_from_bytes(content)
    except RecursionError:  # parts within parts within parts
        return BytesHeaderParser().parsebytes(content)


def header_text(mail: Message, name: str) -> str:
    """Return a header in one line, encoded words decoded; as it is written where they cannot be, and empty where there is none."""
    raw = mail.get(name)
    if raw is None:
        return ""
    text = str(raw)[:_LONGEST_HEADER]
    with suppress(MessageError, LookupError, ValueError):
        text = str(make_header(decode_header(text)))
    return " ".join(_whole(text).split())


def header_date(mail: Message) -> datetime | None:
    """Return when a mail says it was sent, or None where that is no time."""
    try:
        return parsedate_to_datetime(header_text(mail, "Date"))
    except (ValueError, OverflowError, TypeError):
        return None


def body_text(mail: Message, subtype: str) -> str:
    """Return the first body of a type `text/…` that is no attachment, or an empty text."""
    for part in mail.walk():
        if part.get_content_type() != f"text/{subtype}" or part.get_content_disposition() == "attachment":
            continue
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            return _decoded(payload, part)
    return ""


def _decoded(payload: bytes, part: Message) -> str:
    try:
        return payload.decode(part.get_content_charset("utf-8"), errors="replace")
    except (LookupError, ValueError):  # a character set that nobody knows
        return payload.decode(errors="replace")


def _whole(text: str) -> str:
    """Return a text without halves of surrogate pairs, which is what the library makes of bytes that are not ASCII."""
    return text.encode(errors="surrogateescape").decode(errors="replace") if _is_escaped(text) else text.encode(errors="replace").decode()


def _is_escaped(text: str) -> bool:
    return all(not 0xD800 <= ord(character) <= 0xDFFF or 0xDC80 <= ord(character) <= 0xDCFF for character in text)
