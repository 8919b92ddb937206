"""The journals of this machine, as `runherald journals list` shows them."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from runherald.errors import InvalidInput
from runherald.producers.journal.folder import JournalFolder
from runherald.producers.journal.frames import Frame, scan
from runherald.setting_checks import OFFLINE


class JournalListed(Struct, frozen=True, kw_only=True):
    """A journal of this machine.

    Attributes:
        state: live (its process writes it), left (its process has ended, and what it left is to be sent), kept (all was sent but what was
            refused or damaged), or unreadable.
        destination: the server that it goes to; `offline` where that is not said yet.
        waiting: how many records are not yet acknowledged.
        bytes: of its records.
    """

    run_id: str
    workspace: str
    producer: str
    state: str
    destination: str = ""
    waiting: int = 0
    bytes: int = 0
    path: Path
    reason: str = ""


def list_journals(home: Path) -> list[JournalListed]:
    """Return the journals under a home, in order of their names."""
    found = []
    for path in sorted((home.expanduser() / "journals").glob("*~*")):
        try:
            found.append(_describe(JournalFolder(path)))
        except FileNotFoundError:
            continue  # all of it has just been sent
        except (OSError, InvalidInput) as error:
            run_id, _, producer = path.name.rpartition("~")
            found.append(JournalListed(run_id=run_id, workspace="", producer=producer, state="unreadable", path=path, reason=str(error)))
    return found


def _describe(folder: JournalFolder) -> JournalListed:
    head = folder.head()
    segments = [path for _, path in folder.segments()]
    return JournalListed(
        run_id=head.run_id,
        workspace=head.workspace,
        producer=head.producer,
        state="live" if folder.is_owned() else "left" if segments else "kept",
        destination=folder.sent_to() or head.destination if head.destination == OFFLINE else head.destination,
        waiting=max(0, _records(segments) - folder.acknowledged()),
        bytes=sum(path.stat().st_size for path in segments),
        path=folder.path,
    )


def _records(segments: list[Path]) -> int:
    """Return how many records there were: the number after the last one's."""
    for path in reversed(segments):
        ordinals = [found.ordinal for found in scan(path.read_bytes()) if isinstance(found, Frame)]
        if ordinals:
            return max(ordinals) + 1
    return int(segments[-1].stem) if segments else 0
