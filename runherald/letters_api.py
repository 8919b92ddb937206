"""The part of the HTTP API (`runherald.api`) that is about dead letters, as data."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from runherald.records import Position

LetterState = Literal["open", "replayed", "failed_again"]
Verdict = Literal["good", "late", "uncertain", "fails", "replayed", "impossible"]


class LetterView(Struct, frozen=True, kw_only=True):
    """A dead letter in a list.

    Attributes:
        error: the kind of the reason: the field or table that it names.
        topic, partition, offset: where the record stands that could not be taken.
        state: open, replayed, or failed_again: its replay is a letter of its own.
        replays: how often it was replayed.
    """

    letter_id: str
    processor: str
    error: str
    reason: str
    topic: str
    partition: int
    offset: int
    dead_time: datetime
    state: LetterState = "open"
    replays: int = 0
    run_id: str = ""
    event_type: str = ""


class LetterPage(Struct, frozen=True, kw_only=True):
    """Some dead letters, newest first. `next` continues the list; empty at its end."""

    letters: list[LetterView]
    next: str = ""


class Bytes(Struct, frozen=True, kw_only=True):
    """Bytes to be looked at: as text where they are UTF-8 (`text` is None where not), else as hex."""

    size: int
    text: str | None = None
    hex: str = ""


class LetterReplay(Struct, frozen=True, kw_only=True):
    """That a letter's event was appended again, and where."""

    replay_id: str
    time: datetime
    topic: str
    partition: int
    offset: int
    user: str = ""
    late: bool = False


class LetterDetail(Struct, frozen=True, kw_only=True):
    """All of a dead letter.

    Attributes:
        key: None where the record has none.
        record_time: when the record was appended.
        event: the event as JSON of CloudEvents, where it can be read.
        first_id: the first letter of this event, itself where it is no replay.
        previous_id: the letter whose replay this is.
        following: the letters that replays of this one became.
    """

    letter: LetterView
    record_time: datetime
    key: Bytes | None
    value: Bytes
    headers: list[tuple[str, Bytes]]
    event: Any = None
    event_id: str = ""
    first_id: str = ""
    previous_id: str = ""
    following: list[str] = []
    replayed: list[LetterReplay] = []


class LetterSelection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which dead letters are meant: what is empty does not matter. With `ids`, those alone."""

    ids: list[str] = []
    processor: str = ""
    error: str = ""
    topic: str = ""
    state: LetterState | Literal["all"] = "open"
    since: datetime | None = None
    until: datetime | None = None


class ReplayRequest(Struct, frozen=True, kw_only=True):
    """A replay of at most `limit` letters, oldest first. Without `confirmed` nothing is sent.

    `late`: what would change nothing because its producer has gone on is applied nevertheless, as an event of its own. `again`: a letter
    that was replayed before is replayed once more. `force`: what would fail again is sent as well.
    """

    selection: LetterSelection = LetterSelection()
    limit: int = 100
    confirmed: bool = False
    late: bool = False
    again: bool = False
    force: bool = False
    user: str = ""


class ReplayItem(Struct, frozen=True, kw_only=True):
    """What a replay of a letter would do, or did.

    Attributes:
        verdict: good; late (the run has gone on, so the event would change nothing of it); uncertain (the database refused it, and only
            storing it shows whether it still does); fails (it would be refused again); replayed (before); impossible (no topic for it).
        reason: of the verdict.
        sent: it was appended.
        position: where; None when it was not sent.
    """

    letter: LetterView
    verdict: Verdict
    reason: str = ""
    sent: bool = False
    position: Position | None = None


class ReplayAnswer(Struct, frozen=True, kw_only=True):
    """What became of a replay. `more`: letters beyond the limit are left. `positions`: for reads that are to include what was sent."""

    replay_id: str
    confirmed: bool
    items: list[ReplayItem]
    more: bool = False
    positions: list[Position] = []


class LetterCount(Struct, frozen=True, kw_only=True):
    """Dead letters of a processor and a kind of reason, by state."""

    processor: str
    error: str
    open: int = 0
    replayed: int = 0
    failed_again: int = 0


class ProcessorStop(Struct, frozen=True, kw_only=True):
    """A processor that stopped because of too many dead letters.

    Attributes:
        topic, partition, offset: the record before which it stopped.
        allowed: somebody let it go on; it does when it is started again.
        remedy: what to do, in a sentence.
    """

    processor: str
    reason: str
    topic: str
    partition: int
    offset: int
    time: datetime
    allowed: bool = False
    remedy: str = ""


class GoOnRequest(Struct, frozen=True, kw_only=True):
    """Lets a processor go on that stopped. `allow`: so many dead letters more do not count."""

    processor: str
    allow: int = 0
    user: str = ""
