"""Reads a journal's records in order, while it is written or after its owner died."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from runherald.producers.frames import MAX_PAYLOAD, Damage, Frame, scan
from runherald.producers.journal_folder import JournalFolder

CHUNK = 128 * 1024


class DamagedStretch(NamedTuple):
    """Bytes of a segment that hold no whole record."""

    segment: Path
    start: int
    content: bytes


class JournalReader:
    """Goes through the records from an ordinal on.

    What is torn off at the very end is no record yet: a live owner is about to write the rest, a dead one never promised it. Damage
    anywhere else is handed out in `damaged`, and reading goes on behind it.
    """

    def __init__(self, folder: JournalFolder, start: int = 0) -> None:
        self._folder = folder
        self._start = start
        self._segment: tuple[int, Path] | None = None
        self._offset = 0
        self.damaged: list[DamagedStretch] = []

    def read(self, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` further records, each with its ordinal; none when there are no more now.

        Raises:
            OSError: the files cannot be read.
        """
        records: list[tuple[int, bytes]] = []
        while len(records) < limit:
            segments = self._folder.segments()  # before the read: what is the last now may be followed, then it is whole
            if self._segment not in segments:  # none yet, or acknowledged to its end and dropped
                self._segment = self._first_segment(segments)
                self._offset = 0
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
        return records

    def _first_segment(self, segments: list[tuple[int, Path]]) -> tuple[int, Path] | None:
        earlier = [found for found in segments if found[0] <= self._start]
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
                    if ordinal >= self._start:
                        records.append((ordinal, payload))
                        self._start = ordinal + 1
                    self._offset = begin + end
                case Damage(start, end, torn):
                    if end == len(data) and not at_end:
                        return self._offset > begin  # the rest of it may be whole in a larger chunk
                    if torn and last:
                        return True
                    self.damaged.append(DamagedStretch(path, begin + start, data[start:end]))
                    self._offset = begin + end
        return self._offset > begin
