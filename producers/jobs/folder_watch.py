"""What a program leaves in a folder: told from what lay there before, for a working folder may have seen other runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from runherald.errors import RunheraldError
from runherald.producers.files.listing import files_below

from .lines import MAX_LINE_BYTES, Allowance

MAX_FOLLOWED = 500
"""Files whose lines are followed at once; of more, all are kept at the end."""
BURST_BYTES = 4 << 20
BYTES_A_SECOND = 64 << 10
_CHUNK = 1 << 18

_log = logging.getLogger("runherald.jobs")


class _Seen(NamedTuple):
    """What a file is known by: one that is written anew has another of these."""

    inode: int
    size: int
    changed: int


class FolderWatch:
    """Knows the files of a folder that were made or changed since it was made itself. Links to folders are not followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before = {path: seen for path in files_below(folder) if (seen := _seen(path)) is not None}

    def changed(self, unseen: Callable[[OSError], None] | None = None) -> Iterator[tuple[str, Path]]:
        """Go through the files that are new or not as they were: their names below the folder, and where they are.

        `unseen` is told of folders that cannot be looked into.
        """
        for path in sorted(files_below(self.folder, unseen)):
            seen = _seen(path)
            if seen is not None and self._before.get(path) != seen:
                yield path.relative_to(self.folder).as_posix(), path

    def size_before(self, path: Path) -> int:
        """Return how long a file was that lay there before; 0 for a new one."""
        before, now = self._before.get(path), _seen(path)
        return before.size if before is not None and now is not None and before.inode == now.inode else 0


class LinesFollowed:
    """Tells the lines that come to the text files of a folder. A file that becomes shorter is read from its beginning again.

    Args:
        tell: is given a file's name below the folder, and lines; each whole, but the last ones at the end.
    """

    def __init__(
        self, watch: FolderWatch, tell: Callable[[str, list[str]], None], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._watch = watch
        self._tell = tell
        self._monotonic = monotonic
        self._places: dict[Path, _Place] = {}
        self._untold: set[str] = set()
        self._too_many = False

    def look(self) -> None:
        """Tell what has come since the last look, of each file a stretch. A file that cannot be read now is looked at again."""
        for name, place in self._followed():
            self._say(name, place, place.following())

    def close(self) -> None:
        """Tell all that is left."""
        for name, place in self._followed():
            while lines := place.following():
                self._say(name, place, lines)
            self._say(name, place, place.rest())
            if name not in self._untold and (said := place.allowance.close()):
                self._tell_history(name, said)

    def _followed(self) -> Iterator[tuple[str, _Place]]:
        for name, path in self._watch.changed():
            place = self._places.get(path)
            if place is None and len(self._places) < MAX_FOLLOWED:
                allowance = Allowance(self._monotonic(), burst=BURST_BYTES, rate=BYTES_A_SECOND)
                place = self._places[path] = _Place(path, self._watch.size_before(path), allowance)
            if place is not None:
                yield name, place
            elif not self._too_many:
                self._too_many = True
                _log.warning("files_not_followed folder=%s more_than=%d: they are kept at the end", self._watch.folder, MAX_FOLLOWED)

    def _say(self, name: str, place: _Place, lines: list[str]) -> None:
        if lines and name not in self._untold and (admitted := place.allowance.admit(lines, self._monotonic())):
            self._tell_history(name, admitted)

    def _tell_history(self, name: str, lines: list[str]) -> None:
        try:
            self._tell(name, lines)
        except RunheraldError as error:  # the program is not to end of it
            self._untold.add(name)
            _log.warning("file_not_followed file=%r reason=%r: it is kept at the end, if it can be", name, str(error))


class _Place:
    """How far a file is read. `allowance` bounds what of it goes to history."""

    def __init__(self, path: Path, offset: int, allowance: Allowance) -> None:
        self.allowance = allowance
        self._path = path
        self._offset = offset
        self._inode = 0
        self._rest = b""
        self._is_text = True

    def following(self) -> list[str]:
        """Return the lines of the next stretch; none where there is nothing new, or where the file is no text."""
        lines: list[bytes] = []
        while not lines and (chunk := self._chunk()):
            self._is_text = self._is_text and b"\0" not in chunk
            if not self._is_text:
                self._rest = b""
                continue
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if len(self._rest) > MAX_LINE_BYTES:
                lines.append(self._rest)
                self._rest = b""
        return [_text(line) for line in lines]

    def rest(self) -> list[str]:
        """Return the last line, if it has no end."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []

    def _chunk(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_size < self._offset or self._inode not in (0, status.st_ino):
                    self._offset, self._rest, self._is_text = 0, b"", True  # begun anew, or another file under its name
                self._inode = status.st_ino
                file.seek(self._offset)
                chunk = file.read(_CHUNK)
        except OSError:
            return b""
        self._offset += len(chunk)
        return chunk


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").removesuffix("\r")


def _seen(path: Path) -> _Seen | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _Seen(status.st_ino, status.st_size, status.st_mtime_ns)
