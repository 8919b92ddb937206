"""What keeps files of runs keeps them whole and each name once, wherever they lie."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]  # it has no types
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from runherald.errors import InvalidInput
from runherald.producers.errors import NotFound
from runherald.producers.files.address import store_at, without_credentials
from runherald.producers.files.folder_store import FolderStore
from runherald.producers.files.remote_store import RemoteStore
from runherald.producers.files.store import FileStore, fetch

NAMES = ("a", "deep/er/b.bin", "odd [1]* ?/é% #.txt")


class Place(NamedTuple):
    """A store, all that lies in its place by path, and how to change a file behind its back."""

    store: FileStore
    content: Callable[[], dict[str, bytes]]
    write: Callable[[str, bytes], object]
    address: str


class Client(RuntimeError):
    """What a client of a storage raises of its own."""


class Unreadable(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise Client("secret=hunter2")


class Wavering(MemoryFileSystem):  # type: ignore[misc]  # it has no types
    """Fails at the call that is named, once the file is begun."""

    cachable = False
    failing = ""

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        if self.failing == "copy":
            raise Client("secret=hunter2")
        super().cp_file(path1, path2, **kwargs)

    def open(self, path: str, mode: str = "rb", *rest: Any, **kwargs: Any) -> Any:
        return Unreadable() if self.failing == "read" and mode == "rb" else super().open(path, mode, *rest, **kwargs)

    def exists(self, path: str, **kwargs: Any) -> bool:
        if self.failing == "exists":
            raise Client("secret=hunter2")
        return bool(super().exists(path, **kwargs))


def folder_place(folder: Path) -> Place:
    return Place(
        FolderStore(folder), lambda: in_folder(folder), lambda path, content: (folder / path).write_bytes(content), folder.as_uri()
    )


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def local_place(folder: Path) -> Place:
    """fsspec's own local file system: one that has folders and renames, as SFTP and clusters do."""
    folder.mkdir()
    store = RemoteStore(LocalFileSystem(), str(folder), f"local://{folder}")
    return Place(store, lambda: in_folder(folder), lambda path, content: (folder / path).write_bytes(content), f"local://{folder}")


def memory_place(folder: Path) -> Place:
    address = f"memory://{folder.name}-{uuid4().hex}"
    root = address.removeprefix("memory:/")
    system = MemoryFileSystem()

    def content() -> dict[str, bytes]:
        return {path.removeprefix(root + "/"): system.cat_file(path) for path in system.find(root)}

    return Place(store_at(address), content, lambda path, content: system.pipe_file(f"{root}/{path}", content), address)


@pytest.fixture(params=[folder_place, local_place, memory_place])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield request.param(tmp_path / "files")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_comes_back_as_it_was(place: Place, tmp_path: Path, name: str) -> None:
    content = os.urandom(2_500_000)
    kept = place.store.put("r", name, io.BytesIO(content))
    assert (kept.name, kept.size, kept.sha256) == (name, len(content), hashlib.sha256(content).hexdigest())
    assert place.content() == {f"r/{name}": content}
    fetch(place.store, "r", name, kept.uri, kept.sha256, tmp_path / "out" / "copy")
    assert (tmp_path / "out" / "copy").read_bytes() == content


def test_history_is_told_where_it_lies(place: Place) -> None:
    assert place.store.put("r", "a/b", io.BytesIO(b"x")).uri == f"{place.address}/r/a/b"


def test_a_name_is_written_once(place: Place) -> None:
    place.store.put("r", "a", io.BytesIO(b"first"))
    place.store.put("other", "a", io.BytesIO(b"another run's"))
    with pytest.raises(InvalidInput, match="run r: file 'a': is there already; files are written once"):
        place.store.put("r", "a", io.BytesIO(b"second"))
    assert place.content() == {"r/a": b"first", "other/a": b"another run's"}


def test_a_name_that_is_taken_meanwhile_is_left_to_who_was_first(place: Place) -> None:
    class Overtaken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if not self.tell():
                place.store.put("r", "a", io.BytesIO(b"first"))
            return super().read(size)

    with pytest.raises(InvalidInput, match="is there already"):
        place.store.put("r", "a", Overtaken(b"second"))
    assert place.content() == {"r/a": b"first"}


def test_a_folder_is_no_file(place: Place, tmp_path: Path) -> None:
    place.store.put("r", "a/b", io.BytesIO(b"x"))
    with pytest.raises(InvalidInput, match="is there already"):
        place.store.put("r", "a", io.BytesIO(b"x"))
    with pytest.raises(NotFound):
        fetch(place.store, "r", "a", "", "", tmp_path / "copy")


class Breaking(io.BytesIO):
    """A stream that ends in an error after its first bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise ConnectionResetError("the cable is out")
        return super().read(10)


def test_half_a_file_is_none(place: Place) -> None:
    with pytest.raises(OSError, match="cable"):
        place.store.put("r", "a", Breaking(b"x" * 100))
    assert place.content() == {}
    place.store.put("r", "a", io.BytesIO(b"whole"))
    assert place.content() == {"r/a": b"whole"}


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "..\\a", "C:/a", "//host/a", ""])
def test_no_name_leads_out(place: Place, name: str) -> None:
    with pytest.raises(InvalidInput, match="leads out"):
        place.store.put("r", name, io.BytesIO(b"x"))
    with pytest.raises(InvalidInput, match="leads out"):
        place.store.open("r", name)
    assert place.content() == {}


def test_content_that_changed_where_it_lies_is_not_given_out(place: Place, tmp_path: Path) -> None:
    kept = place.store.put("r", "a", io.BytesIO(b"content"))
    target = tmp_path / "copy"
    fetch(place.store, "r", "a", kept.uri, kept.sha256, target)
    place.write("r/a", b"another")
    with pytest.raises(InvalidInput, match="is not what was uploaded"):
        fetch(place.store, "r", "a", kept.uri, kept.sha256, target)
    assert target.read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_what_lies_nowhere_here_is_said_with_its_place(place: Place, tmp_path: Path) -> None:
    for uri in ("s3://bucket/a", "file://other-host/a", (tmp_path / "gone").as_uri()):
        with pytest.raises(NotFound, match=f"lies at {uri}, which cannot be read here"):
            fetch(place.store, "r", "a", uri, "", tmp_path / "copy")


def test_a_file_kept_in_a_folder_of_this_machine_is_found_whatever_the_store(place: Place, tmp_path: Path) -> None:
    kept = FolderStore(tmp_path / "former").put("r", "a", io.BytesIO(b"content"))
    fetch(place.store, "r", "a", kept.uri, kept.sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"


@pytest.mark.parametrize("failing", ["copy", "exists"])
def test_a_storage_that_fails_half_way_leaves_nothing_and_its_words_unsaid(failing: str) -> None:
    system = Wavering()
    store = RemoteStore(system, f"/{uuid4().hex}", "memory://place")
    system.failing = failing
    with pytest.raises(OSError, match=r"run r: file 'a': memory://place cannot be used now \(Client\)") as caught:
        store.put("r", "a", io.BytesIO(b"content"))
    assert "hunter2" not in str(caught.value)
    assert isinstance(caught.value.__cause__, Client)
    system.failing = ""
    assert store.open("r", "a") is None
    assert system.find(store._root) == []
    store.put("r", "a", io.BytesIO(b"content"))


def test_a_storage_that_fails_while_it_is_read_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    system = Wavering()
    store = RemoteStore(system, f"/{uuid4().hex}", "memory://place")
    kept = store.put("r", "a", io.BytesIO(b"content"))
    (tmp_path / "copy").write_bytes(b"former")
    system.failing = "read"
    with pytest.raises(OSError, match=r"run r: file 'a': memory://place cannot be used now \(Client\)$"):
        fetch(store, "r", "a", kept.uri, kept.sha256, tmp_path / "copy")
    assert in_folder(tmp_path) == {"copy": b"former"}


def test_a_place_with_folders_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    store = RemoteStore(LocalFileSystem(), str(tmp_path / "slip"), "local://slip")
    with pytest.raises(OSError, match="local://slip is not there, or cannot be written; make it first"):
        store.put("r", "a", io.BytesIO(b"x"))
    assert not (tmp_path / "slip").exists()


def test_without_links_a_name_in_a_folder_is_taken_once_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    store = FolderStore(tmp_path)
    store.put("r", "a", io.BytesIO(b"first"))
    with pytest.raises(InvalidInput, match="is there already"):
        store.put("r", "a", io.BytesIO(b"second"))
    assert in_folder(tmp_path) == {"r/a": b"first"}


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("s3://bucket/runs", "s3://bucket/runs"),
        ("s3://key:secret@bucket/runs", "s3://bucket/runs"),
        ("sftp://user:p@ss@host:22/a@b", "sftp://host:22/a@b"),
        ("sftp://user@host/a", "sftp://user@host/a"),
        ("abfs://container@account.dfs.core.windows.net/runs", "abfs://container@account.dfs.core.windows.net/runs"),
    ],
)
def test_history_is_told_no_credentials(address: str, told: str) -> None:
    assert without_credentials(address) == told
