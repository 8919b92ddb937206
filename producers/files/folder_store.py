"""Files of runs below a folder of this machine, or one that it shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from runherald.errors import InvalidInput
from runherald.producers.files.names import place_below
from runherald.producers.files.store import StoredFile, copied, taken


class FolderStore:
    """Keeps files of runs below a folder. A name is written once, also by two processes at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, run_id: str, name: str) -> Path:
        """Return where a file of a run lies."""
        return place_below(self.root / run_id, name)

    def put(self, run_id: str, name: str, content: BinaryIO) -> StoredFile:
        """Keep a file, as `FileStore` says."""
        place = self.place(run_id, name)
        if place.exists():
            raise taken(run_id, name)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            own = self.root / run_id
            if not any(parent.is_file() for parent in place.parents if own in parent.parents):
                raise  # it is the place of all files that is none
            raise InvalidInput(f"run {run_id}: file {name!r}: would lie below a file of the run; take another name") from None
        passing = place.with_name(f".{uuid4().hex}.part")
        try:
            with passing.open("xb") as file:
                size, digest = copied(content, file)
            self._give_name(run_id, name, passing, place)
        finally:
            passing.unlink(missing_ok=True)
        return StoredFile(name=name, size=size, sha256=digest, uri=place.as_uri())

    def open(self, run_id: str, name: str) -> BinaryIO | None:
        """Return the content of a file, as `FileStore` says."""
        place = self.place(run_id, name)
        return place.open("rb") if place.is_file() else None

    def _give_name(self, run_id: str, name: str, passing: Path, place: Path) -> None:
        try:
            os.link(passing, place)  # fails where the name is taken, unlike a rename
        except FileExistsError:
            raise taken(run_id, name) from None
        except OSError:  # a file system without links
            if place.exists():
                raise taken(run_id, name) from None
            passing.replace(place)
