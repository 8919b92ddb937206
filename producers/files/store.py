"""Where the files of runs lie: a folder, of which each run has one of its own."""

from __future__ import annotations

import hashlib
import mimetypes
import os
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from msgspec import Struct

from runherald.errors import InvalidInput
from runherald.events import AmlRunOutputEvent
from runherald.producers.errors import NotFound
from runherald.producers.files.names import place_below

_CHUNK = 1 << 20


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file of a run.

    Attributes:
        name: with `/` between its parts.
        size: in bytes.
        uri: where it lies.
    """

    name: str
    size: int
    sha256: str
    uri: str

    def event(self) -> AmlRunOutputEvent:
        """Return what history is told of the file."""
        return AmlRunOutputEvent(
            path=self.name,
            size=self.size,
            sha256=self.sha256,
            content_type=mimetypes.guess_type(self.name)[0] or "",
            uri=self.uri,
        )


class FileStore:
    """Keeps files below a folder, each written once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, run_id: str, name: str) -> Path:
        """Return where a file of a run lies."""
        return place_below(self.root / run_id, name)

    def put(self, run_id: str, name: str, content: BinaryIO) -> StoredFile:
        """Keep a file; it is there whole, or not at all.

        Raises:
            InvalidInput: there is one of that name, or a folder.
            OSError: it cannot be written.
        """
        place = self.place(run_id, name)
        self._refuse_second(run_id, name, place)
        place.parent.mkdir(parents=True, exist_ok=True)
        passing = place.with_name(f".{uuid4().hex}.part")
        try:
            with passing.open("xb") as file:
                size, digest = copied(content, file)
            self._give_name(run_id, name, passing, place)
        finally:
            passing.unlink(missing_ok=True)
        return StoredFile(name=name, size=size, sha256=digest, uri=place.as_uri())

    def _give_name(self, run_id: str, name: str, passing: Path, place: Path) -> None:
        try:
            os.link(passing, place)  # fails where the name is taken, unlike a rename
        except FileExistsError:
            self._refuse_second(run_id, name, place)
        except OSError:  # a file system without links
            self._refuse_second(run_id, name, place)
            passing.replace(place)

    def _refuse_second(self, run_id: str, name: str, place: Path) -> None:
        if place.exists():
            raise InvalidInput(f"run {run_id}: file {name!r}: is there already; files are written once: take another name")


def fetch(store: FileStore, run_id: str, name: str, uri: str, sha256: str, target: Path) -> None:
    """Copy a file of a run, from the store or from where it was said to lie; what is there already is replaced.

    Raises:
        NotFound: it cannot be read here.
        InvalidInput: its content is not what was uploaded.
        OSError: the target cannot be written.
    """
    source = next((place for place in (store.place(run_id, name), _local(uri)) if place is not None and place.is_file()), None)
    if source is None:
        raise NotFound(
            f"run {run_id}: file {name!r}: lies at {uri}, which cannot be read here; share that folder and pass files= to Workspace"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    passing = target.with_name(f".{uuid4().hex}.part")
    try:
        with source.open("rb") as content, passing.open("xb") as file:
            _, found = copied(content, file)
        if sha256 and found != sha256:
            raise InvalidInput(f"run {run_id}: file {name!r}: the content at {source} is not what was uploaded; it was changed there")
        passing.replace(target)
    finally:
        passing.unlink(missing_ok=True)


def _local(uri: str) -> Path | None:
    """Return the path that a `file:` URI of this machine is."""
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return Path(url2pathname(parts.path))


def copied(source: BinaryIO, target: BinaryIO) -> tuple[int, str]:
    """Copy a stream to its end; return its size in bytes and its SHA-256."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()
