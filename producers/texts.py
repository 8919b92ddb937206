"""Texts from anywhere, made fit to be sent: what says why a run failed, or where it ran, is mended and never refused."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def text_of(value: object, length: int) -> str:
    """Return `str(value)`, at most so many characters of it. A value whose text raises gets one that says so."""
    try:
        text = str(value)
    except Exception as broken:  # the user's own code: it must not hide what is being told
        return f"(no text: {type(broken).__name__})"
    return sendable(cut(text, length))


def line_of(value: object, length: int) -> str:
    """Return what `text_of` does, with a blank for each control character."""
    return _CONTROL.sub(" ", text_of(value, length))


def sendable(text: str) -> str:
    """Return a text with a question mark for each half of a surrogate pair, which UTF-8 does not have."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def given_number(value: object) -> str:
    """Return what an error says of a value where a number was wanted: the number itself, or its kind."""
    return str(value) if isinstance(value, (int, float)) else f"a {type(value).__name__}"


def cut(text: str, length: int) -> str:
    """Return a text of at most so many characters; of a longer one the beginning."""
    return text if len(text) <= length else text[: length - 1] + "…"
