"""Lines of a console or file, made fit for one record each of a journal: whatever a program prints is mended and never refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from runherald.producers.texts import cut, sendable

Stream = Literal["stdout", "stderr", "file"]

MAX_LINE = 16_384
"""Characters of a line."""
MAX_LINES = 1_000
MAX_CHARACTERS = 32_768
"""Of a record: in UTF-8 and as JSON it stays below what one message may hold, whatever the text."""


def fitting(texts: Iterable[str]) -> Iterator[str]:
    """Go through the lines of texts: without line breaks, NUL and halves of surrogate pairs, and none longer than MAX_LINE."""
    for text in texts:
        clean = sendable(text.replace("\0", "�")) if "\0" in text or not text.isascii() else text
        for line in clean.removesuffix("\n").split("\n"):
            yield cut(line.removesuffix("\r"), MAX_LINE)


def packed(lines: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Group lines into records, in order: up to MAX_LINES, and up to MAX_CHARACTERS, each."""
    group: list[str] = []
    size = 0
    for line in lines:
        if group and (len(group) >= MAX_LINES or size + len(line) > MAX_CHARACTERS):
            yield tuple(group)
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield tuple(group)
