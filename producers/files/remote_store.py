"""Files of runs on a file system of fsspec: an object store, a server, a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, BinaryIO
from uuid import uuid4

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]  # it has no types

from runherald.errors import RunheraldError
from runherald.producers.files.names import parts_below
from runherald.producers.files.store import Content, StoredFile, copied, taken

_log = logging.getLogger("runherald.files")


class RemoteStore:
    """Keeps files of runs below a place of a file system.

    A file is written under another name and given its own when it is whole, by a rename, or by a copy where the system has no renames.
    No file system of this kind can refuse a name that is taken at the same moment: two processes that write one name of one run at once
    leave one of the two, whole, and history has both.

    Args:
        system: of fsspec.
        root: the place, as the system writes paths.
        address: of the place, for history: without credentials.
    """

    def __init__(self, system: AbstractFileSystem, root: str, address: str) -> None:
        self._system = system
        self._root = root.rstrip("/")
        self._address = address.rstrip("/")

    def put(self, run_id: str, name: str, content: BinaryIO) -> StoredFile:
        """Keep a file, as `FileStore` says."""
        place = self._place(run_id, name)
        with self._said_as_os_error(run_id, name):
            self._refuse_second(run_id, name, place)
            passing = f"{place.rpartition('/')[0]}/.{uuid4().hex}.part"
            try:
                with self._opened(passing) as file:
                    size, digest = copied(content, file)
                self._refuse_second(run_id, name, place)
                self._rename(passing, place)
            except BaseException:
                self._remove(passing)
                raise
        return StoredFile(name=name, size=size, sha256=digest, uri=f"{self._address}/{run_id}/{parts_below(self._address, name)}")

    def open(self, run_id: str, name: str) -> Content | None:
        """Return the content of a file, as `FileStore` says."""
        place = self._place(run_id, name)
        with self._said_as_os_error(run_id, name):
            try:
                file = self._system.open(place, "rb")
            except (FileNotFoundError, IsADirectoryError):
                return None
        return _RemoteContent(file, partial(self._said_as_os_error, run_id, name))

    def _place(self, run_id: str, name: str) -> str:
        return f"{self._root}/{run_id}/{parts_below(self._address, name)}"

    def _refuse_second(self, run_id: str, name: str, place: str) -> None:
        self._system.invalidate_cache()  # some remember what they listed
        if self._system.exists(place):
            raise taken(run_id, name)

    def _opened(self, path: str) -> Any:
        try:
            return self._system.open(path, "wb")
        except FileNotFoundError:
            # Object stores have no folders, and some would make a bucket of a slip: folders are made below a root that is one.
            if not self._system.isdir(self._root):
                raise
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
        return self._system.open(path, "wb")

    def _rename(self, path: str, new: str) -> None:
        # The general `mv` takes names for patterns; systems that have a rename bring their own.
        if type(self._system).mv is not AbstractFileSystem.mv:
            self._system.mv(path, new)
        else:
            self._system.cp_file(path, new)
            self._remove(path)

    def _remove(self, path: str) -> None:
        try:
            self._system.rm_file(path)
        except FileNotFoundError:
            pass
        except Exception as error:  # whatever the system's own client raises: the file counts for nothing
            _log.warning("part_left place=%s path=%s error=%s", self._address, path.removeprefix(self._root), type(error).__name__)

    @contextmanager
    def _said_as_os_error(self, run_id: str, name: str) -> Iterator[None]:
        """Let what a storage's client raises of its own count as what it is; its text may hold what is secret, and stays in the cause."""
        try:
            yield
        except FileNotFoundError as error:
            raise OSError(f"run {run_id}: file {name!r}: {self._address} is not there, or cannot be written; make it first") from error
        except (RunheraldError, OSError):
            raise
        except Exception as error:
            raise OSError(f"run {run_id}: file {name!r}: {self._address} cannot be used now ({type(error).__name__})") from error


class _RemoteContent:
    """The content of a file, of which the errors are said as the store says them."""

    def __init__(self, file: Any, said: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._said = said

    def read(self, size: int, /) -> bytes:
        with self._said():
            return bytes(self._file.read(size))

    def close(self) -> None:
        with self._said():
            self._file.close()
