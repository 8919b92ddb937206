"""The files below a folder, as far as they can be seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def files_below(folder: Path, unseen: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Go through the files below a folder; links to folders are not followed. `unseen` is told of what cannot be looked at or into."""
    for parent, _, names in os.walk(folder, onerror=unseen):
        for name in names:
            path = Path(parent, name)
            try:
                is_file = path.is_file()
            except OSError as error:  # the folder may be listed, and no more
                if unseen is not None:
                    unseen(error)
                continue
            if is_file:
                yield path


def all_files_below(folder: Path) -> list[Path]:
    """Return the files below a folder, by name.

    Raises:
        OSError: one of them, or a folder, cannot be looked at.
    """

    def refuse(error: OSError) -> None:
        raise error

    return sorted(files_below(folder, refuse))
