"""Where journals lie on the disk.

HOME/journals/RUN~PRODUCER/
    owner                      locked while the process that writes the journal lives
    sender                     of an offline journal: locked while a process sends it, perhaps beside its owner
    journal.json               whose it is, and where it is to be sent (`JournalHead`)
    00000000000000000000.seg   frames (`producers.frames`); the name is the ordinal of the first
    acknowledged               the ordinal of the first record that is not yet acknowledged
    sent-to                    of an offline journal: the address that it was first sent to
    rejected.jsonl             events that the server refused, each with the reason
    damaged-SEGMENT-OFFSET     stretches of a segment that hold no whole frame
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from runherald.errors import InvalidInput
from runherald.producers.journal.owner_lock import OwnerLock, is_held

_SEGMENT = ".seg"


class JournalProcess(Struct, frozen=True, kw_only=True):
    """A process that writes a journal. `lease_seconds`: of the run that it began; 0 where it only says something of a run of another."""

    host: str
    pid: int
    lease_seconds: float = 0.0


class JournalHead(Struct, frozen=True, kw_only=True):
    """Whose a journal is.

    Attributes:
        destination: the URL that its events go to: another server's leftovers stay where they are. `offline`: wherever they are sent first.
        process: the process that writes it; older versions did not say so.
    """

    workspace: str
    run_id: str
    producer: str
    destination: str = ""
    version: int = 1
    process: JournalProcess | UnsetType = UNSET


class JournalFolder:
    """The files of one journal."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, home: Path, head: JournalHead) -> JournalFolder:
        """Return the folder of a producer's journal; its name begins with the run's id, shortened where that is long."""
        return cls(home / "journals" / f"{head.run_id[:100]}~{head.producer}")

    def create(self, head: JournalHead) -> OwnerLock:
        """Make the folder and say whose it is. The lock comes first: who finds a head without a lock finds a dead owner.

        Raises:
            OSError: the disk does not take it.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self.lock()
        try:
            _write(self.path / "journal.json", msgspec.json.encode(head))
        except OSError:
            lock.release()
            raise
        return lock

    def lock(self) -> OwnerLock:
        """Take the journal over; raises what `OwnerLock` does."""
        return OwnerLock(self.path / "owner")

    def is_owned(self) -> bool:
        """Say whether the process that writes the journal lives."""
        return is_held(self.path / "owner")

    def lock_sender(self) -> OwnerLock:
        """Take the sending of an offline journal over, whose owner may live; raises what `OwnerLock` does."""
        return OwnerLock(self.path / "sender")

    def head(self) -> JournalHead:
        """Return whose it is.

        Raises:
            InvalidInput: the file is damaged, or of a newer version.
            OSError: it cannot be read.
        """
        path = self.path / "journal.json"
        try:
            head = msgspec.json.decode(path.read_bytes(), type=JournalHead)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"{path}: is no head of a journal ({error}); the journal beside it stays as it is") from None
        if head.version != 1:
            raise InvalidInput(f"{path}: version {head.version} is newer than this program; upgrade runherald to send it")
        return head

    def segments(self) -> list[tuple[int, Path]]:
        """Return the segments in order, each with the ordinal of its first record."""
        found = [(path.name.removesuffix(_SEGMENT), path) for path in self.path.glob(f"*{_SEGMENT}")]
        return sorted((int(first), path) for first, path in found if first.isdecimal())

    def segment(self, first: int) -> Path:
        """Return the path of the segment that begins with a record."""
        return self.path / f"{first:020d}{_SEGMENT}"

    def acknowledged(self) -> int:
        """Return the ordinal of the first record that is not acknowledged; 0 when nothing says so: sent twice is harmless."""
        try:
            text = (self.path / "acknowledged").read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return 0
        return int(text) if text.isdecimal() and len(text) < 20 else 0

    def acknowledge(self, following: int) -> None:
        """Keep that all records below an ordinal are acknowledged, and drop segments that hold no others.

        Raises:
            OSError: the disk does not take it.
        """
        segments = self.segments()
        for (_, path), (following_first, _) in pairwise(segments):
            if following_first <= following:
                path.unlink(missing_ok=True)
        _write(self.path / "acknowledged", str(following).encode())

    def sent_to(self) -> str:
        """Return the address that an offline journal was first sent to; empty where it was not."""
        try:
            return (self.path / "sent-to").read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def send_to(self, address: str) -> None:
        """Keep the address that an offline journal is sent to, lest half of a run go elsewhere.

        Raises:
            OSError: the disk does not take it.
        """
        _write(self.path / "sent-to", address.encode())

    def reject(self, line: bytes) -> None:
        """Add a line to the rejected events.

        Raises:
            OSError: the disk does not take it.
        """
        with (self.path / "rejected.jsonl").open("ab") as file:
            file.write(line + b"\n")

    def keep_damaged(self, segment: Path, start: int, content: bytes) -> Path:
        """Put a damaged stretch aside, so that it outlives the segment.

        Raises:
            OSError: the disk does not take it.
        """
        path = self.path / f"damaged-{segment.stem}-{start}"
        path.write_bytes(content)
        return path

    @property
    def keeps_unsent(self) -> bool:
        """Whether it keeps events that were refused, or damaged stretches."""
        return any(self.path.glob("rejected.jsonl")) or any(self.path.glob("damaged-*"))

    def discard(self) -> None:
        """Remove the journal after all of it is acknowledged. What was refused or damaged stays, with the head that says whose it is."""
        for _, path in self.segments():
            path.unlink(missing_ok=True)
        (self.path / "acknowledged").unlink(missing_ok=True)
        if self.keeps_unsent:
            return
        for name in ("sent-to", "journal.json", "sender", "owner"):
            (self.path / name).unlink(missing_ok=True)
        self.path.rmdir()


def journal_folders(home: Path) -> Iterator[JournalFolder]:
    """Go through the journals under a home, the oldest first: those with records, those that may not be looked into, and empty ones, whose
    owner died while it removed them. Where nothing but refused or damaged events are kept, nobody has anything to do."""
    found = [(_age_key(path / "journal.json"), path) for path in (home / "journals").glob("*~*")]
    for _, path in sorted(found):
        folder = JournalFolder(path)
        if _is_left(folder):
            yield folder


def _is_left(folder: JournalFolder) -> bool:
    try:
        return (folder.path / "journal.json").is_file() and (bool(folder.segments()) or not folder.keeps_unsent)
    except PermissionError:
        return True


def _age_key(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)  # noqa: PTH105  # says the atomic call by its name
    except OSError:
        temporary.unlink(missing_ok=True)  # a full disk leaves an empty file, for which the folder could never be removed
        raise
