"""Sends what lies in journals: what dead processes left, and what offline runs say. `runherald sync`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from runherald.errors import InvalidInput, RunheraldError
from runherald.producers.journal.folder import JournalFolder, JournalHead, journal_folders
from runherald.producers.shipping.send_queue import SendQueue
from runherald.producers.shipping.transport import Transport
from runherald.setting_checks import OFFLINE

FOLLOW_SECONDS = 1.0
FOLLOW_CAP_SECONDS = 30.0
"""While nobody answers, it is tried less and less often, down to this."""


class JournalSynced(Struct, frozen=True, kw_only=True):
    """What became of one journal. `state`: sent, live (sent so far; its process goes on), held (its process lives and sends it itself, or
    somebody else does), elsewhere (meant for another server), unreadable, or waiting (the transport failed); `reason` says more. Counts:
    events sent, of these refused, and stretches that held no whole record."""

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
        """Whether nothing is left but what live processes send themselves, or have yet to say."""
        return all(journal.state in ("sent", "live", "held") for journal in self.journals)


def sync(home: Path, transport: Transport, *, destination: str = "", every: bool = False) -> SyncReport:
    """Send all journals under a home whose owners are dead, and remove those that are acknowledged; of live offline runs, what they said
    so far.

    `destination`: where the transport leads. Only journals meant for it are sent, and offline ones that were not sent to another place
    before; all with `every`, or when it is empty. A transport that fails ends it: the report says what is left.
    """
    with closing(_Sender(home, transport, "" if every else destination, destination)) as sender:
        return sender.round()


def follow(
    home: Path,
    transport: Transport,
    *,
    destination: str = "",
    every: bool = False,
    sleep: Callable[[float], object] = time.sleep,
) -> Generator[JournalSynced]:
    """Send as `sync` does, again and again, and yield what became of a journal whenever something did. It ends with its caller.

    While the transport fails, rounds come less and less often.
    """
    told: dict[Path, tuple[str, str]] = {}
    wait = FOLLOW_SECONDS
    with closing(_Sender(home, transport, "" if every else destination, destination)) as sender:
        while True:
            report = sender.round()
            for journal in report.journals:
                if journal.events or told.get(journal.path) != (journal.state, journal.reason):
                    yield journal
            told = {journal.path: (journal.state, journal.reason) for journal in report.journals}
            failed = any(journal.state == "waiting" for journal in report.journals)
            wait = min(FOLLOW_CAP_SECONDS, wait * 2) if failed else FOLLOW_SECONDS
            sleep(wait)


class _Sender:
    """Sends what is there, round by round. `wanted`: only journals meant for it; `destination` is kept in offline ones."""

    def __init__(self, home: Path, transport: Transport, wanted: str, destination: str) -> None:
        self._home = home.expanduser()
        self._transport = transport
        self._wanted = wanted
        self._destination = destination
        self._live: dict[Path, SendQueue] = {}

    def close(self) -> None:
        """Let go of the journals of live runs."""
        while self._live:
            self._live.popitem()[1].finish()

    def round(self) -> SyncReport:
        """Go through all journals once."""
        journals: list[JournalSynced] = []
        failed = ""
        for folder in journal_folders(self._home):
            try:
                one = self._one(folder, failed)
            except FileNotFoundError:
                continue  # its owner has just sent all of it
            failed = one.reason if one.state == "waiting" else failed
            journals.append(one)
        for path in self._live.keys() - {journal.path for journal in journals}:
            self._live.pop(path).finish()  # its owner has ended, after all of it was sent
        return SyncReport(journals=journals)

    def _one(self, folder: JournalFolder, failed: str) -> JournalSynced:
        said = JournalSynced(path=folder.path, run_id="", state="unreadable")
        try:
            head = folder.head()
            said = replace(said, run_id=head.run_id)
            meant = folder.sent_to() if head.destination == OFFLINE else head.destination
            if self._wanted and meant and meant != self._wanted:
                return replace(said, state="elsewhere", reason=f"is meant for {meant}; `runherald sync --every` sends it here")
            if failed:
                return replace(said, state="waiting", reason=failed)
            queue = self._open(folder, head)
        except BlockingIOError:
            return replace(said, state="held", reason="its process lives, or another `runherald sync` runs: it is sent there")
        except FileNotFoundError:
            raise
        except (OSError, InvalidInput) as error:
            return replace(said, reason=str(error))
        return self._send(queue, said)

    def _open(self, folder: JournalFolder, head: JournalHead) -> SendQueue:
        if (known := self._live.pop(folder.path, None)) is not None:
            known.look_for_owner()
            return known
        if head.destination != OFFLINE:
            return SendQueue.adopt(folder)
        return SendQueue.follow(folder)

    def _send(self, queue: SendQueue, said: JournalSynced) -> JournalSynced:
        events, state, reason = 0, "live" if queue.followed else "sent", ""
        rejected, damaged = queue.rejected, queue.damaged
        try:
            for count in self._batches(queue):
                events += count
        except RunheraldError as error:
            state, reason = "waiting", str(error)
        except OSError as error:
            state, reason = "unreadable", str(error)
        finally:
            if queue.followed:
                self._live[queue.folder.path] = queue
            else:
                queue.finish()
        counts = {"rejected": queue.rejected - rejected, "damaged": queue.damaged - damaged}
        return replace(said, state=state, reason=reason, events=events, **counts)

    def _batches(self, queue: SendQueue) -> Iterator[int]:
        while events := queue.pending():
            sent = self._transport.send(events)
            if self._destination and queue.head.destination == OFFLINE and not queue.folder.sent_to():
                queue.folder.send_to(self._destination)
            queue.acknowledge(list(sent.rejected))
            yield len(events)
