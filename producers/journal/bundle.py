"""Journals in one file, to be carried to another machine and sent there: `runherald journals export` and `import`.

A ZIP archive:

    runherald-journals.json     `Manifest`: whose the journals are, how far they are sent, their segments
    journals/NAME/SEGMENT       the segments, as in the journal's folder

What was refused, or damaged, stays where it is.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from runherald.errors import InvalidEvent, InvalidInput
from runherald.producers.errors import NotFound
from runherald.producers.journal.folder import JournalFolder, JournalHead, journal_folders
from runherald.producers.journal.frames import MAX_PAYLOAD
from runherald.producers.journal.journal import SEGMENT_BYTES
from runherald.setting_checks import OFFLINE
from runherald.validation import check_run_id

MANIFEST = "runherald-journals.json"
MAX_SEGMENT = SEGMENT_BYTES + MAX_PAYLOAD + 1024
_MAX_MANIFEST = 64 * 1024 * 1024
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)
"""What reading an archive of odd bytes raises: places before its beginning, names that are no text, methods that there are not."""
_SEGMENT = re.compile(r"[0-9]{20}\.seg")
_PRODUCER = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


class BundledJournal(Struct, frozen=True, kw_only=True):
    """A journal in a bundle. `segments`: their sizes in bytes, by name."""

    head: JournalHead
    acknowledged: int
    segments: dict[str, int]


class Manifest(Struct, frozen=True, kw_only=True):
    """What a bundle holds."""

    journals: list[BundledJournal]
    version: int = 1


class JournalCarried(Struct, frozen=True, kw_only=True):
    """What became of one journal. `state`: exported, imported, extended (a part of it was there), there (all of it was), held (its process
    lives here, or somebody sends it), or unreadable; `reason` says more."""

    run_id: str
    producer: str
    state: str
    bytes: int = 0
    reason: str = ""


def export_journals(home: Path, target: Path, run_ids: Collection[str] = ()) -> list[JournalCarried]:
    """Write the journals of some runs, or all, into a new file. They stay where they are; of a live one, what there is by now.

    Raises:
        InvalidInput: the file is there already.
        NotFound: there is no journal of a run.
        OSError: the file cannot be written.
    """
    if target.exists():
        raise InvalidInput(f"{target}: is there already; name a new file")
    carried: list[JournalCarried] = []
    journals: list[BundledJournal] = []
    temporary = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for folder in journal_folders(home.expanduser()):
                try:
                    head = folder.head()
                    if run_ids and head.run_id not in run_ids:
                        continue
                    journals.append(one := _pack(archive, folder, head))
                except FileNotFoundError:
                    continue  # all of it has just been sent
                except (OSError, InvalidInput) as error:
                    carried.append(JournalCarried(run_id="", producer=folder.path.name, state="unreadable", reason=str(error)))
                    continue
                size = sum(one.segments.values())
                carried.append(JournalCarried(run_id=head.run_id, producer=head.producer, state="exported", bytes=size))
            archive.writestr(MANIFEST, msgspec.json.encode(Manifest(journals=journals)))
        missing = sorted(set(run_ids) - {one.run_id for one in carried})
        if missing:
            raise NotFound(f"run {missing[0]}: has no journal under {home}: all of it was sent, or it was logged elsewhere")
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
    return carried


def import_journals(home: Path, source: Path) -> list[JournalCarried]:
    """Put the journals of a file among those of this machine, to be sent to whichever server `runherald sync` names.

    What is there already stays as it is: to import a file twice, or a later one of the same runs, adds what is missing.

    Raises:
        InvalidInput: the file is none of these, of a newer version, or damaged; nothing of it is taken then.
        OSError: the file cannot be read, or the disk does not take it.
    """
    with source.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
            manifest = _manifest(archive, source)
            for journal in manifest.journals:  # all of it, before anything is put anywhere
                _check(journal, source)
                for name in journal.segments:
                    _content(archive, journal, name, source)
        except _DAMAGED as error:
            raise InvalidInput(f"{source}: is no whole file of `runherald journals export` ({error}); export it again") from None
        return [_put(home.expanduser(), archive, journal, source) for journal in manifest.journals]


def _pack(archive: zipfile.ZipFile, folder: JournalFolder, head: JournalHead) -> BundledJournal:
    acknowledged = folder.acknowledged()  # first: segments that go meanwhile were sent
    segments: dict[str, int] = {}
    for _, path in folder.segments():
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        archive.writestr(_member(head, path.name), content)
        segments[path.name] = len(content)
    return BundledJournal(head=head, acknowledged=acknowledged, segments=segments)


def _member(head: JournalHead, segment: str) -> str:
    return f"journals/{head.run_id}~{head.producer}/{segment}"


def _manifest(archive: zipfile.ZipFile, source: Path) -> Manifest:
    try:
        if archive.getinfo(MANIFEST).file_size > _MAX_MANIFEST:
            raise InvalidInput(f"{source}: its list of journals is too long; export fewer runs at once")
        manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
    except KeyError:
        raise InvalidInput(f"{source}: is a ZIP archive without {MANIFEST}; pass a file of `runherald journals export`") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{source}: {MANIFEST}: {error}; export it again") from None
    if manifest.version != 1:
        raise InvalidInput(f"{source}: version {manifest.version} is newer than this program; upgrade runherald to import it")
    return manifest


def _check(journal: BundledJournal, source: Path) -> None:
    try:
        check_run_id("run_id", journal.head.run_id)
    except InvalidEvent as error:
        raise InvalidInput(f"{source}: {error}") from None
    if journal.head.version != 1:
        raise InvalidInput(f"{source}: run {journal.head.run_id}: its journal is of a newer version; upgrade runherald to import it")
    if not _PRODUCER.fullmatch(journal.head.producer):
        raise InvalidInput(f"{source}: run {journal.head.run_id}: its producer has a name that no folder can have; export it again")
    for name, size in journal.segments.items():
        if not _SEGMENT.fullmatch(name) or not 0 <= size <= MAX_SEGMENT:
            raise InvalidInput(f"{source}: run {journal.head.run_id}: has a segment of another name or size than segments have")


def _content(archive: zipfile.ZipFile, journal: BundledJournal, name: str, source: Path) -> bytes:
    try:
        with archive.open(_member(journal.head, name)) as file:
            content = file.read(MAX_SEGMENT + 1)
    except KeyError:
        content = b""
    if len(content) != journal.segments[name]:
        raise InvalidInput(f"{source}: run {journal.head.run_id}: segment {name} is not as long as it says; export it again")
    return content


def _put(home: Path, archive: zipfile.ZipFile, journal: BundledJournal, source: Path) -> JournalCarried:
    # Who wrote it lives elsewhere, and whether it lives is not known here; where it was to go is not where this machine sends.
    head = replace(journal.head, destination=OFFLINE, process=UNSET)
    folder = JournalFolder.of(home, head)
    said = JournalCarried(run_id=head.run_id, producer=head.producer, state="there")
    known = (folder.path / "journal.json").is_file()
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as held:
        try:
            held.callback(folder.lock_sender().release)  # first: nobody sends the half of it
            held.callback((folder.lock() if known else folder.create(head)).release)
        except BlockingIOError:
            return replace(said, state="held", reason="its process lives on this machine, or it is sent just now: nothing is missing")
        taken = 0
        for name in _missing(folder, journal):
            content = _content(archive, journal, name, source)
            temporary = folder.path / f"{name}.new"
            temporary.write_bytes(content)
            temporary.rename(folder.path / name)
            taken += len(content)
        if not known:
            folder.acknowledge(journal.acknowledged)
        if taken:
            return replace(said, state="extended" if known else "imported", bytes=taken)
        return said if known else replace(said, state="imported")


def _missing(folder: JournalFolder, journal: BundledJournal) -> Iterator[str]:
    """Go through the segments of which here is less than in the bundle, but for those that were sent from here."""
    names = sorted(journal.segments)
    sent = {name for name, following in pairwise(names) if int(following[:20]) <= folder.acknowledged()}
    sizes = {path.name: path.stat().st_size for _, path in folder.segments()}
    for name in names:
        if name not in sent and sizes.get(name, -1) < journal.segments[name]:
            yield name
