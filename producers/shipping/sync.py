"""Sends what dead processes left in their journals: `runherald sync`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from runherald.errors import InvalidInput, RunheraldError
from runherald.producers.journal.folder import JournalFolder, journal_folders
from runherald.producers.shipping.send_queue import SendQueue
from runherald.producers.shipping.transport import Transport


class JournalSynced(Struct, frozen=True, kw_only=True):
    """What became of one journal. `state`: sent, held (its process lives), elsewhere (meant for another server), unreadable, or waiting
    (the transport failed); `reason` says more. Counts: events sent, of these refused, and stretches that held no whole record."""

    path: Path
    run_id: str
    state: str
    reason: str = ""
    events: int = 0
    rejected: int = 0
    damaged: int = 0


class SyncReport(Struct, frozen=True, kw_only=True):
    """What became of the journals under a home, the oldest first."""

    journals: list[JournalSynced]

    @property
    def events(self) -> int:
        """How many events were sent, the refused ones included."""
        return sum(journal.events for journal in self.journals)

    @property
    def rejected(self) -> int:
        """How many events were refused; they stand in `rejected.jsonl` beside their journal."""
        return sum(journal.rejected for journal in self.journals)

    @property
    def complete(self) -> bool:
        """Whether nothing is left but what live processes send themselves."""
        return all(journal.state in ("sent", "held") for journal in self.journals)


def sync(home: Path, transport: Transport, *, destination: str = "") -> SyncReport:
    """Send all journals under a home whose owners are dead, and remove those that are acknowledged.

    `destination`: only those meant for this URL; all when it is empty. A transport that fails ends it: the report says what is left.
    """
    journals: list[JournalSynced] = []
    failed = ""
    for folder in journal_folders(home.expanduser()):
        try:
            one = _describe(folder, failed, destination)
            if one is None:
                one = _send(folder, transport)
                failed = one.reason if one.state == "waiting" else ""
        except FileNotFoundError:
            continue  # its owner has just sent all of it
        journals.append(one)
    return SyncReport(journals=journals)


def _describe(folder: JournalFolder, failed: str, destination: str) -> JournalSynced | None:
    """Return what is to say of a journal that is not to be sent; None for one that is."""
    try:
        head = folder.head()
    except FileNotFoundError:
        raise
    except (OSError, InvalidInput) as error:
        return JournalSynced(path=folder.path, run_id="", state="unreadable", reason=str(error))
    if destination and head.destination != destination:
        return JournalSynced(path=folder.path, run_id=head.run_id, state="elsewhere", reason=f"is meant for {head.destination}")
    if failed:
        return JournalSynced(path=folder.path, run_id=head.run_id, state="waiting", reason=failed)
    return None


def _send(folder: JournalFolder, transport: Transport) -> JournalSynced:
    run_id = folder.head().run_id
    try:
        queue = SendQueue.adopt(folder)
    except BlockingIOError:
        return JournalSynced(path=folder.path, run_id=run_id, state="held", reason="its process lives and sends it itself")
    except FileNotFoundError:
        raise
    except (OSError, InvalidInput) as error:
        return JournalSynced(path=folder.path, run_id=run_id, state="unreadable", reason=str(error))
    events, state, reason = 0, "sent", ""
    try:
        for count in _batches(queue, transport):
            events += count
    except RunheraldError as error:
        state, reason = "waiting", str(error)
    except OSError as error:
        state, reason = "unreadable", str(error)
    finally:
        queue.finish()
    return JournalSynced(
        path=folder.path, run_id=run_id, state=state, reason=reason, events=events, rejected=queue.rejected, damaged=queue.damaged
    )


def _batches(queue: SendQueue, transport: Transport) -> Iterator[int]:
    while events := queue.pending():
        sent = transport.send(events)
        queue.acknowledge(list(sent.rejected))
        yield len(events)
