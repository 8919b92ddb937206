"""Names of a run's files: texts with `/` between their parts, the same on every system."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from runherald.errors import InvalidInput
from runherald.producers.allowed import allowed
from runherald.producers.arguments import bounded


def file_name(what: str, name: object) -> str:
    """Return the name that a file of a run gets; `\\` counts as `/`, and `./` before it is left out.

    Raises:
        InvalidInput: it is no text, empty, too long, holds a control character, or leads out of the run's files.
    """
    if not isinstance(name, str):
        raise InvalidInput(f"{what}: a file's name is a {type(name).__name__}; pass a text")
    plain = bounded(f"{what}: a file's name", str.__str__(name), allowed().path)
    if not plain.isprintable():
        raise InvalidInput(f"{what}: a file's name holds a character that cannot be printed; take it out")
    parts = PurePosixPath(plain.replace("\\", "/"))
    if not _stays_below(parts):
        raise InvalidInput(f"{what}: {plain[:80]!r} is no name of a file of the run; pass one such as 'outputs/model.bin'")
    return str(parts)


def place_below(folder: Path, name: str) -> Path:
    """Return where a file of a run goes below a folder: what others named must not lead out of it.

    Raises:
        InvalidInput: it would.
    """
    return folder.joinpath(*parts_below(str(folder), name).parts)


def parts_below(place: str, name: str) -> PurePosixPath:
    """Return the name of a file of a run, whoever gave it, as a path that stays below a place.

    Raises:
        InvalidInput: it would lead out of it.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if not _stays_below(parts):
        raise InvalidInput(f"a file of the run is named {name[:80]!r}, which leads out of {place}; read it from the server instead")
    return parts


def _stays_below(parts: PurePosixPath) -> bool:
    windows = PureWindowsPath(parts)
    return bool(parts.parts) and not parts.is_absolute() and ".." not in parts.parts and not windows.drive and not windows.root
