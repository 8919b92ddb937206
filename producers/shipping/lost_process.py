"""What is said of a run whose process died without ending it, by whoever sends its journal.

The watcher has to wait for silence: a lease, then a grace. Who finds the journal on the machine where it was written knows at once: the
operating system lets go of the owner's lock when the process dies, and not before.
"""

from __future__ import annotations

import os

from msgspec import UNSET

from runherald.clock import from_micros, system_clock
from runherald.errors import InvalidEvent
from runherald.events import Actor, AmlRunStatusChangedEvent, Event, Evidence, new_event
from runherald.producers.journal.entries import Said, decode_entry, payload_of
from runherald.producers.journal.folder import JournalFolder, JournalHead
from runherald.producers.journal.frames import Frame, scan
from runherald.status import TERMINAL, Cause, Status

PRODUCER = "runherald.journals"

_STATUS = AmlRunStatusChangedEvent.__name__.encode()


def lost_process(folder: JournalFolder, head: JournalHead, *, host: str) -> Event | None:
    """Return the claim that a run failed with its process, for a journal whose owner's lock is held by the caller; None where that is not
    known: the journal is of another machine, of a process that did not begin the run, or tells of the run's end; or another process of
    this machine still reports on the run.

    The sequence is the microsecond of the last record, so that the same claim made again is the same event. It is a claim as those of the
    watcher: a run that is heard of again withdraws it, and one that was heard of since contradicts it.

    Raises:
        OSError: the journal cannot be read.
    """
    process = head.process
    if process is UNSET or not process.lease_seconds or not host or process.host != host or process.pid == os.getpid():
        return None
    last = _last_time(folder)
    if last is None or _others_live(folder, head):
        return None
    time = from_micros(last)
    return new_event(
        AmlRunStatusChangedEvent(
            status=Status.FAILED,
            cause=Cause.LOST_CONTACT,
            message=f"Process {process.pid} on {host} ended without saying how the run ended."
            f" It was last heard of at {time:%Y-%m-%d %H:%M:%S} UTC.",
            actor=Actor(kind="watcher", name=PRODUCER),
            evidence=Evidence(host=host, pid=process.pid, last_seen=time, lease_seconds=process.lease_seconds),
            claim=True,
        ),
        workspace=head.workspace,
        run_id=head.run_id,
        producer=PRODUCER,
        sequence=last,
        time=time,
        recorded_time=system_clock(),
    )


def _last_time(folder: JournalFolder) -> int | None:
    """Return when the last record was made, in microseconds since 1970; None where there is none, or the records tell of the run's end.

    The last segment is there even when all of it is acknowledged; the end of a run is the last that its process says of it.
    """
    for _, path in reversed(folder.segments()):
        payloads = [found.payload for found in scan(path.read_bytes()) if isinstance(found, Frame)]
        if not payloads:
            continue
        try:
            if any(_is_end(payload) for payload in payloads):
                return None
            return decode_entry(payloads[-1]).time
        except InvalidEvent:
            return None  # of a newer version, which knows better
    return None


def _is_end(payload: bytes) -> bool:
    if _STATUS not in payload:
        return False
    entry = decode_entry(payload)
    data = payload_of(entry) if isinstance(entry, Said) else None
    return isinstance(data, AmlRunStatusChangedEvent) and data.status in TERMINAL


def _others_live(folder: JournalFolder, head: JournalHead) -> bool:
    others = folder.path.parent.glob(f"{head.run_id[:100]}~*")
    return any(JournalFolder(path).is_owned() for path in others if path != folder.path)
