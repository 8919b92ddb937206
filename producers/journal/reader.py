"""Reads a journal's records in order, while it is written or after its owner died."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from runherald.producers.journal.folder import JournalFolder
from runherald.producers.journal.frames import MAX_PAYLOAD, Damage, Frame, scan

CHUNK = 128 * 1024
MOST_EARLY = 100_000
"""Records kept in memory for one that has not come: more than a handler of signals logs in the middle of another record."""


class DamagedStretch(NamedTuple):
    """Bytes of a segment that hold no whole record."""

    segment: Path
    start: int
    content: bytes


class JournalReader:
    """Goes through the records from an ordinal on, in the order of their ordinals.

    A handler of signals may log in the middle of a record: its own then stand before the one it interrupted. They are held back until that
    one comes, or whoever knows that it will not calls `release`.

    What is torn off at the very end is no record yet: a live owner is about to write the rest, a dead one never promised it. Damage
    anywhere else is handed out in `damaged`, and reading goes on behind it.
    """

    def __init__(self, folder: JournalFolder, start: int = 0) -> None:
        self._folder = folder
        self._next = start
        self._early: dict[int, bytes] = {}
        self._after_damage = False
        self._segment: tuple[int, Path] | None = None
        self._offset = 0
        self.damaged: list[DamagedStretch] = []

    def read(self, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` further records, each with its ordinal; none when there are no more now, or one has not come (`waits`).

        Raises:
            OSError: the files cannot be read.
        """
        records = self._in_order(limit)
        while len(records) < limit:
            segments = self._folder.segments()  # before the read: what is the last now may be followed, then it is whole
            if self._segment not in segments:  # none yet, or acknowledged to its end and dropped
                self._segment = self._first_segment(segments)
                self._offset = 0
                self._skip_what_went_before()
            if self._segment is None:
                break
            last = segments[-1][0] <= self._segment[0]
            before = self._offset
            self._read_chunk(self._segment[1], records, limit, last=last)
            if self._offset > before:
                continue
            if last:
                break
            self._segment = next(found for found in segments if found[0] > self._segment[0])
            self._offset = 0
            self._skip_what_went_before()
        return records

    @property
    def waits(self) -> bool:
        """Whether records are held back for one that has not come."""
        return bool(self._early)

    def expect(self, ordinal: int) -> None:
        """Take everything below an ordinal for read: it was in memory and not in the files."""
        if ordinal > self._next:
            self._next = ordinal
            self._early = {early: payload for early, payload in self._early.items() if early >= ordinal}

    def hold(self, records: Iterable[tuple[int, bytes]]) -> None:
        """Take records in that are not in the files, to hand them out in their place."""
        self._early.update((ordinal, payload) for ordinal, payload in records if ordinal >= self._next)

    def release(self, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` of the records that are held back: what is missing before them will not come."""
        ordinals = sorted(self._early)[:limit]
        if ordinals:
            self._next = ordinals[-1] + 1
        return [(ordinal, self._early.pop(ordinal)) for ordinal in ordinals]

    def _skip_what_went_before(self) -> None:
        # A segment is named for the first record it was made for. What is missing before it was never in a file, unless it was interrupted.
        if self._segment is not None and not self._early:
            self._next = max(self._next, self._segment[0])

    def _first_segment(self, segments: list[tuple[int, Path]]) -> tuple[int, Path] | None:
        earlier = [found for found in segments if found[0] <= self._next]
        return earlier[-1] if earlier else (segments[0] if segments else None)

    def _read_chunk(self, path: Path, records: list[tuple[int, bytes]], limit: int, *, last: bool) -> None:
        size = CHUNK
        while True:
            with path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(size)
            whole = len(data) < size
            if self._take(path, data, records, limit, at_end=whole, last=last) or whole:
                return
            size = size * 2 if size < 2 * MAX_PAYLOAD else os.stat(path).st_size  # noqa: PTH116

    def _take(self, path: Path, data: bytes, records: list[tuple[int, bytes]], limit: int, *, at_end: bool, last: bool) -> bool:
        begin = self._offset
        for found in scan(data):
            match found:
                case Frame(ordinal, payload, end):
                    if len(records) >= limit:
                        return True
                    self._offset = begin + end
                    self._take_frame(ordinal, payload, records, limit)
                case Damage(start, end, torn):
                    if end == len(data) and not at_end:
                        return self._offset > begin  # the rest of it may be whole in a larger chunk
                    if torn and last:
                        return True
                    self.damaged.append(DamagedStretch(path, begin + start, data[start:end]))
                    self._offset = begin + end
                    # What is missing may have stood there.
                    records += self.release(limit - len(records))
                    self._after_damage = True
        return self._offset > begin

    def _take_frame(self, ordinal: int, payload: bytes, records: list[tuple[int, bytes]], limit: int) -> None:
        if self._after_damage and not self._early:
            self._next = max(self._next, ordinal)
            self._after_damage = False
        if ordinal == self._next:
            records.append((ordinal, payload))
            self._next = ordinal + 1
            if self._early:
                records += self._in_order(limit - len(records))
        elif ordinal > self._next:
            self._early[ordinal] = payload
            if len(self._early) > MOST_EARLY:
                self._next = min(self._early)

    def _in_order(self, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` of the records that were held back and whose turn it is."""
        records: list[tuple[int, bytes]] = []
        while len(records) < limit and self._next in self._early:
            records.append((self._next, self._early.pop(self._next)))
            self._next += 1
        return records
