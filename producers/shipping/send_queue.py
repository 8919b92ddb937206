"""The send queue of a journal: what it still has to send, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import msgspec

from runherald.api import Rejected
from runherald.events import Event
from runherald.producers.journal.folder import JournalFolder, JournalHead
from runherald.producers.journal.journal import Journal
from runherald.producers.journal.owner_lock import OwnerLock
from runherald.producers.journal.reader import DamagedStretch, JournalReader
from runherald.producers.origin import host_name
from runherald.producers.shipping.batching import MAX_POINTS, Unreadable, to_events
from runherald.producers.shipping.lost_process import lost_process
from runherald.wire import encode_batch

_log = logging.getLogger("runherald.shipper")

Beat = Callable[[float, int], None]
"""Journals a heartbeat if one is due; given the time (seconds, monotonic) and the ordinal below which all is acknowledged."""


class SendQueue:
    """Hands out a journal's events in order and keeps how far they are acknowledged. Used by the shipper's thread alone.

    It belongs to the live journal of this process, or to one whose owner is dead, or to an offline one whose owner may live (`locks`, held
    until `finish`).

    Attributes:
        acknowledged: the ordinal of the first record that is not yet acknowledged.
        closed: nothing will be appended any more.
        cancel_requested: somebody asked to cancel the run.
        rejected: how many events the server refused.
        damaged: how many stretches could not be read.
        followed: the owner lives, and may append more.
    """

    def __init__(
        self,
        head: JournalHead,
        folder: JournalFolder,
        *,
        journal: Journal | None = None,
        locks: Iterable[OwnerLock] = (),
        followed: bool = False,
    ) -> None:
        self.head = head
        self.folder = folder
        self.journal = journal
        self.acknowledged = folder.acknowledged() if journal is None else 0
        self.closed = journal is None
        self.beat: Beat | None = None
        self.cancel_requested = False
        self.rejected = 0
        self.damaged = 0
        self.followed = followed
        self._locks = list(locks)
        self._reader = JournalReader(folder, self.acknowledged)
        self._read_to = self.acknowledged
        self._pending: list[Event] = []
        self._told: set[str] = set()
        self._exhausted = False
        self._mourned = False

    @classmethod
    def adopt(cls, folder: JournalFolder) -> SendQueue:
        """Take over a journal whose owner is dead.

        Raises:
            BlockingIOError: the owner lives.
            InvalidInput: the head is damaged.
            OSError: the files cannot be read or locked.
        """
        return cls(folder.head(), folder, locks=[folder.lock()])

    @classmethod
    def follow(cls, folder: JournalFolder) -> SendQueue:
        """Send an offline journal, whose owner may live (`followed`).

        Raises:
            BlockingIOError: somebody else does so.
            InvalidInput: the head is damaged.
            OSError: the files cannot be read or locked.
        """
        queue = cls(folder.head(), folder, locks=[folder.lock_sender()], followed=True)
        queue.look_for_owner()
        return queue

    def look_for_owner(self) -> None:
        """See whether the owner of a journal that is followed has died: then nothing is added any more, and it is ours."""
        if not self.followed:
            return
        try:
            self._locks.append(self.folder.lock())
        except BlockingIOError:
            return
        self.followed = False

    @property
    def behind(self) -> int:
        """How many records are not acknowledged; of a dead journal, those that were read already."""
        end = self._read_to if self.journal is None else self.journal.next_ordinal
        return end - self.acknowledged

    @property
    def may_wait(self) -> bool:
        """Whether all of it stands on the disk and nothing will be added: then it may be finished now, and adopted another time."""
        return self.closed and self.journal is not None and self.journal.on_disk

    def pending(self, max_records: int = MAX_POINTS) -> list[Event]:
        """Return the next events, the same ones until they are acknowledged.

        Raises:
            OSError: the journal cannot be read.
        """
        while not self._pending:
            if self.journal is not None and self.journal.next_ordinal == self._read_to:
                return []
            records = self._read(max_records)
            if not records:
                self._exhausted = self.journal is None and not self.followed
                self._pending = self._last_words()
                break
            self._pending, unreadable = to_events(records, self.head)
            self._read_to = records[-1][0] + 1
            for one in unreadable:
                self._keep_unreadable(one)
            if not self._pending:
                self._advance(self._read_to)
        return self._pending

    def acknowledge(self, rejected: list[Rejected]) -> None:
        """Count the pending events as sent, apart from the refused: these are kept, with the reason. `index` is the place in `pending`."""
        for refusal in rejected:
            self._keep_rejected(self._pending[refusal.index], refusal)
        self._pending = []
        self._advance(self._read_to)

    def save(self) -> None:
        """Put on the disk what is in memory alone, for the process is about to end, and say what it does not take."""
        if self.journal is None:
            return
        with self.journal.lock:
            left = self.journal.unload()
        if left:
            _log.error("records_lost run=%s count=%d: neither the server nor the disk took them", self.head.run_id, left)

    def finish(self) -> None:
        """Let go of the journal, and remove it if all of it is acknowledged."""
        complete = not self.behind and (self._exhausted or self.journal is not None)
        if self.journal is not None:
            with self.journal.lock:
                self.journal.close()
        try:
            if complete and self.folder.path.is_dir():
                self.folder.discard()
        except OSError as error:
            self._tell("discard", "journal_not_removed path=%s reason=%r", self.folder.path, str(error))
        while self._locks:
            self._locks.pop().release()

    def _last_words(self) -> list[Event]:
        """Return what is left to say of a run whose process died, once, after all that it said itself."""
        if not self._exhausted or self._mourned:
            return []
        self._mourned = True
        claim = lost_process(self.folder, self.head, host=host_name())
        return [] if claim is None else [claim]

    def _read(self, limit: int) -> list[tuple[int, bytes]]:
        self._reader.expect(self._read_to)
        records = self._reader.read(limit) if self.folder.path.is_dir() else []
        journal = self.journal
        if not records and self._reader.waits:
            records = self._read_interrupted(limit)
        if journal is not None and not records:
            with journal.lock:
                journal.rescue(self._read_to)
        if journal is not None and len(records) < limit and not journal.on_disk:
            with journal.lock:  # nothing is appended now: what the disk has comes before what the memory has
                if self.folder.path.is_dir():
                    records += self._reader.read(limit - len(records))
                if len(records) < limit:
                    self._reader.hold(journal.backlog(records[-1][0] + 1 if records else self._read_to))
                    records += self._reader.release(limit - len(records))
        for stretch in self._reader.damaged:
            self._keep_damaged(stretch)
        self._reader.damaged.clear()
        return records

    def _read_interrupted(self, limit: int) -> list[tuple[int, bytes]]:
        """Return what was held back for a record that a handler of signals had interrupted, with that record if it has come."""
        if self.journal is None:
            return [] if self.followed else self._reader.release(limit)
        with self.journal.lock:  # nothing is appended now: what has not come yet is in memory, or will not come
            records = self._reader.read(limit)
            return records if records or not self.journal.on_disk else self._reader.release(limit)

    def _advance(self, following: int) -> None:
        self.acknowledged = following
        if self.journal is not None:
            with self.journal.lock:
                self.journal.forget(following)
        try:
            if self.folder.path.is_dir():
                self.folder.acknowledge(following)
        except OSError as error:
            self._tell("acknowledge", "journal_not_marked path=%s reason=%r: it will be sent again", self.folder.path, str(error))

    def _keep_rejected(self, event: Event, refusal: Rejected) -> None:
        self.rejected += 1
        event_json = msgspec.Raw(encode_batch([event])[1:-1])
        self._keep({"field": refusal.field, "reason": refusal.reason, "event": event_json})
        self._tell(
            "rejected", "event_rejected run=%s type=%s reason=%r kept_in=%s", event.run_id, event.type, refusal.reason, self.folder.path
        )

    def _keep_unreadable(self, unreadable: Unreadable) -> None:
        self.rejected += 1
        self._keep({"field": f"record {unreadable.ordinal}", "reason": unreadable.reason})
        self._tell("rejected", "record_unreadable run=%s ordinal=%d reason=%r", self.head.run_id, unreadable.ordinal, unreadable.reason)

    def _keep_damaged(self, stretch: DamagedStretch) -> None:
        self.damaged += 1
        try:
            kept = self.folder.keep_damaged(stretch.segment, stretch.start, stretch.content)
        except OSError as error:
            self._tell("keep", "journal_damaged path=%s offset=%d not_kept=%r", stretch.segment, stretch.start, str(error))
            return
        _log.warning("journal_damaged path=%s offset=%d bytes=%d kept_in=%s", stretch.segment, stretch.start, len(stretch.content), kept)

    def _keep(self, line: dict[str, object]) -> None:
        try:
            self.folder.reject(msgspec.json.encode(line))
        except OSError as error:
            self._tell("keep", "rejected_not_kept path=%s reason=%r", self.folder.path, str(error))

    def _tell(self, topic: str, message: str, *values: object) -> None:
        if topic not in self._told:
            self._told.add(topic)
            _log.warning(message, *values)


def share(rejected: list[Rejected], first: int, count: int) -> list[Rejected]:
    """Return those of a batch's refusals that fall to `count` events from `first` on, counted from there."""
    return [msgspec.structs.replace(one, index=one.index - first) for one in rejected if first <= one.index < first + count]
