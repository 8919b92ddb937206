"""Where the files of runs lie: each run has a place of its own, and in it each name is written once."""

from __future__ import annotations

import hashlib
import mimetypes
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from msgspec import Struct

from runherald.errors import InvalidInput
from runherald.events import AmlRunOutputEvent
from runherald.producers.errors import NotFound

_CHUNK = 1 << 20


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file of a run.

    Attributes:
        name: with `/` between its parts.
        size: in bytes.
        uri: where it lies, without credentials.
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


class Content(Protocol):
    """What a file of a run holds. Reading raises OSError where it cannot go on."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most so many; none at the end."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class FileStore(Protocol):
    """Keeps files of runs."""

    def put(self, run_id: str, name: str, content: BinaryIO) -> StoredFile:
        """Keep a file; it is there whole, or not at all.

        Raises:
            InvalidInput: there is one of that name, or a folder; or the name leads out of the run's place.
            OSError: it cannot be written.
        """
        ...

    def open(self, run_id: str, name: str) -> Content | None:
        """Return the content of a file, or None where there is none.

        Raises:
            InvalidInput: the name leads out of the run's place.
            OSError: it cannot be read.
        """
        ...


def fetch(store: FileStore, run_id: str, name: str, uri: str, sha256: str, target: Path) -> None:
    """Copy a file of a run, from the store or from where on this machine it was said to lie; what is at the target is replaced.

    Raises:
        NotFound: it cannot be read here.
        InvalidInput: its content is not what was uploaded.
        OSError: the target cannot be written, or the store cannot be read.
    """
    # An address that another gave is not followed to other machines: this one's credentials go where its user says.
    content = store.open(run_id, name) or _local(uri)
    if content is None:
        raise NotFound(
            f"run {run_id}: file {name!r}: lies at {uri}, which cannot be read here; share that place and pass files= to Workspace"
        )
    with closing(content):
        target.parent.mkdir(parents=True, exist_ok=True)
        passing = target.with_name(f".{uuid4().hex}.part")
        try:
            with passing.open("xb") as file:
                _, found = copied(content, file)
            if sha256 and found != sha256:
                raise InvalidInput(f"run {run_id}: file {name!r}: the content at {uri} is not what was uploaded; it was changed there")
            passing.replace(target)
        finally:
            passing.unlink(missing_ok=True)


def copied(source: Content, target: BinaryIO) -> tuple[int, str]:
    """Copy a stream to its end; return its size in bytes and its SHA-256."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def taken(run_id: str, name: str) -> InvalidInput:
    """Return the error that a name cannot be written a second time."""
    return InvalidInput(f"run {run_id}: file {name!r}: is there already; files are written once: take another name")


def _local(uri: str) -> BinaryIO | None:
    """Return the content that a `file:` URI of this machine names."""
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    path = Path(url2pathname(parts.path))
    return path.open("rb") if path.is_file() else None
