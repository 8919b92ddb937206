"""What the journals of this machine know of a run that another process began, while no server can be asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runherald.errors import InvalidInput

if TYPE_CHECKING:
    from runherald.events import RunHeader


_FIRST = 4
"""A run's creation is what its first producer says first of all, but for a heartbeat."""


def header_in_journal(home: Path, run_id: str) -> RunHeader | None:
    """Return what a run was begun with, as it stands in a journal; None where none has it."""
    # Loaded here: a process that imports a script to work for it needs none of it.
    from runherald.events import AmlRunEvent
    from runherald.producers.journal.entries import Said, decode_entry, payload_of
    from runherald.producers.journal.folder import JournalFolder
    from runherald.producers.journal.reader import JournalReader

    for path in (home / "journals").glob(f"{run_id[:100]}~*"):
        folder = JournalFolder(path)
        try:
            if folder.head().run_id != run_id:
                continue
            for _, payload in JournalReader(folder).read(_FIRST):
                entry = decode_entry(payload)
                data = payload_of(entry) if isinstance(entry, Said) else None
                if isinstance(data, AmlRunEvent) and data.header is not None:
                    return data.header
        except (OSError, InvalidInput):
            continue  # another journal of the run may say it
    return None
