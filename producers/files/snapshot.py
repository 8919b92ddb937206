"""A snapshot of the code of a run: the files of a folder in one ZIP, but for those that its `.amlignore`, else its `.gitignore`, names.

The limits are Azure ML's: 300 MB, 2,000 files. The same files give the same ZIP, and the ZIP its id.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from uuid import uuid5

from runherald.errors import InvalidInput
from runherald.events import NAMESPACE
from runherald.producers.errors import Unsupported

MAX_BYTES = 300_000_000
MAX_FILES = 2_000
IGNORE_FILES = (".amlignore", ".gitignore")
_NEVER = ".git"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a ZIP can say: times of files are left out


def snapshot(what: str, path: Path) -> tuple[str, bytes]:
    """Return the id and the ZIP of a file or folder; `what` begins each error.

    Raises:
        InvalidInput: there is no such path, it is too much, or a file has a name that no ZIP can have.
        Unsupported: the folder has a file of patterns, and nothing here can read these.
        OSError: a file cannot be read.
    """
    if path.is_file():
        files = {path.name: path}
    elif path.is_dir():
        files = _kept(what, path)
    else:
        raise InvalidInput(f"{what}: {path}: is neither a file nor a folder")
    for name in files:
        if not _is_text(name):
            raise InvalidInput(f"{what}: {path}: the name of {name!r} is no UTF-8; rename it, or leave it out in {path / IGNORE_FILES[0]}")
    size = sum(file.stat().st_size for file in files.values())
    if len(files) > MAX_FILES or size > MAX_BYTES:
        raise InvalidInput(
            f"{what}: {path}: has {len(files)} files of {size} bytes; at most {MAX_FILES} files of {MAX_BYTES} bytes are kept:"
            f" name what is to be left out in {path / IGNORE_FILES[0]}"
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), file.read_bytes(), zipfile.ZIP_DEFLATED)
    packed = content.getvalue()
    return str(uuid5(NAMESPACE, sha256(packed).hexdigest())), packed


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kept(what: str, folder: Path) -> dict[str, Path]:
    is_ignored = _ignored(what, next((file for name in IGNORE_FILES if (file := folder / name).is_file()), None))
    return {file.relative_to(folder).as_posix(): file for file in _files(folder, folder, is_ignored)}


def _ignored(what: str, patterns: Path | None) -> Callable[[str], bool]:
    """Return what says of a name, with `/` at its end for a folder, whether it is left out."""
    if patterns is None:
        return lambda _: False
    try:
        from pathspec import GitIgnoreSpec
    except ImportError:
        raise Unsupported(
            f"{what}: {patterns}: cannot be followed without the package pathspec; `pip install 'runherald[files]'`"
        ) from None
    return GitIgnoreSpec.from_lines(patterns.read_text(encoding="utf-8").splitlines()).match_file


def _files(top: Path, folder: Path, is_ignored: Callable[[str], bool]) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        name = entry.relative_to(top).as_posix()
        if entry.is_dir() and not entry.is_symlink():
            # Nothing below a folder that is left out can be taken in again: environments and data are not even looked through.
            if entry.name != _NEVER and not is_ignored(f"{name}/"):
                yield from _files(top, entry, is_ignored)
        elif entry.is_file() and not is_ignored(name):
            yield entry
