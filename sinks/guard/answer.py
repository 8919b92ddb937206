"""What a query gives back: JSON lines from the engine, counted as they come and cut at a bound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from runherald.api import Column, QueryAnswer

FORMAT = "JSONCompactEachRowWithNamesAndTypes"

OUTPUT_SETTINGS: dict[str, str | int] = {
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 1,  # nan and inf come as texts: JSON has no such numbers
    "output_format_json_validate_utf8": 1,
}


class QueryLimits(Struct, frozen=True, kw_only=True):
    """What one query may use. The answer is cut at `rows` and `bytes`; the query is ended at `seconds` and `memory` (bytes)."""

    rows: int = 10_000
    bytes: int = 16 * 1024 * 1024
    seconds: float = 10.0
    memory: int = 1024 * 1024 * 1024


class AnswerBuilder:
    """Takes the lines of an answer until a limit is reached."""

    def __init__(self, limits: QueryLimits) -> None:
        self._limits = limits
        self._columns: list[Column] | None = None
        self._rows: list[list[Any]] = []
        self._bytes = 0
        self._truncated = False

    def add(self, names: bytes, types: bytes, lines: Iterable[bytes]) -> bool:
        """Take a block: its two header lines and its rows. Return False when no more is wanted."""
        if self._columns is None:
            self._columns = [Column(name, type_) for name, type_ in zip(_texts(names), _texts(types), strict=True)]
        for line in lines:
            if not line:
                continue
            self._bytes += len(line)
            if len(self._rows) >= self._limits.rows or self._bytes > self._limits.bytes:
                self._truncated = True
                return False
            self._rows.append(_ROW.decode(line))
        return True

    @property
    def is_empty(self) -> bool:
        """Return whether not even a header came."""
        return self._columns is None

    def answer(self) -> QueryAnswer:
        """Return the answer so far."""
        return QueryAnswer(columns=self._columns or [], rows=self._rows, truncated=self._truncated)


_ROW = msgspec.json.Decoder(list[Any])
_TEXTS = msgspec.json.Decoder(list[str])


def _texts(line: bytes) -> list[str]:
    return _TEXTS.decode(line)
