"""One sample of everything else that outlives a process: what it means, how the present code writes it, and how it reads it.

A golden file stands in `tests/golden` for each. A format that changes keeps its sample, marked as `former`, and gets a further one with
the next number: what the earlier versions wrote has to be read for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from runherald.alerts.events import (
    DECODERS,
    AlertDecided,
    DecidedNotice,
    NoticeAccepted,
    NoticeAttempted,
    NoticeRefused,
    Outcome,
    decision_event,
    outcome_outgoing,
)
from runherald.alerts.lag_incident import Incident, Symptom, Telling
from runherald.alerts.lag_incident import Watched as WatchedLag
from runherald.alerts.outbox import Notice
from runherald.dead_letters import (
    Letter,
    Mark,
    Replayed,
    Stopped,
    WentOn,
    dead_letter,
    mark_record,
    read_letter,
    replay_record,
)
from runherald.events import AmlRunHeartbeatEvent, AmlRunStatusChangedEvent, Event, PathStep, Unknown, new_event
from runherald.producers.journal.entries import Entry, Lines, Logged, Point, Said, Text, decode_entry, encode_entry
from runherald.producers.journal.folder import JournalHead, JournalProcess
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.state_text import decode_state, encode_state
from runherald.state import RunState, Transition
from runherald.status import Cause, Status
from runherald.streams.watched_runs import Watched, verdict
from runherald.topics import ALERTS, EVENTS, STATUS
from runherald.transitions import accepted_event
from runherald.wire import from_record, to_outgoing
from tests.unit.golden_events import HEADER, MICROS, PAYLOADS, TIME, event_of

APPENDED = 1_795_262_400_200
"""When the sample records were appended, in milliseconds since 1970."""

KINDS: tuple[type[Struct], ...] = (
    *(AlertDecided, NoticeAttempted, NoticeAccepted, NoticeRefused, Notice),
    *(Replayed, Stopped, WentOn),
    *(RunState, JournalHead, WatchedLag),
    *(Point, Text, Logged, Said, Lines),
)
"""The data of these formats; what they are made of is part of the snapshot."""


class Sample(Struct, frozen=True):
    """A thing that is kept.

    Attributes:
        meaning: what its bytes say.
        written: the bytes that the present code makes of it.
        read: returns what bytes say, with the present code.
        former: the bytes are those of earlier versions; the present code writes others.
    """

    meaning: Any
    written: bytes
    read: Callable[[bytes], Any]
    former: bool = False


def record_bytes(record: Outgoing) -> bytes:
    """Return a record as a file: topic, key and headers a line each, an empty line, the value."""
    lines = [b"topic: " + record.topic.encode(), b"key: " + (record.key or b"")]
    lines += [name.encode() + b": " + value for name, value in record.headers]
    return b"\n".join([*lines, b"", record.value])


def record_of(data: bytes, partition: int = 0, offset: int = 41) -> Record:
    """Return the record of a file, at a place of its topic."""
    head, _, value = data.partition(b"\n\n")
    (_, topic), (_, key), *headers = (line.partition(b": ")[::2] for line in head.split(b"\n"))
    named = tuple((name.decode(), text) for name, text in headers)
    return Record(topic.decode(), partition, offset, APPENDED, key or None, value, named)


STATE = RunState(
    workspace="default",
    run_id="digits_1",
    header=HEADER,
    status=Status.NOT_RESPONDING,
    attempt=2,
    revision=5,
    cause=Cause.LOST_CONTACT,
    message="Nothing was heard.",
    error=PAYLOADS["AmlRunStatusChangedEvent-1"].error,  # type: ignore[union-attr]
    actor=PAYLOADS["AmlRunStatusChangedEvent-1"].actor,  # type: ignore[union-attr]
    evidence=PAYLOADS["AmlRunStatusChangedEvent-1"].evidence,  # type: ignore[union-attr]
    claimed_from=Status.RUNNING,
    last_seen=TIME,
    lease_seconds=60.0,
    status_time=TIME,
    start_time=TIME - timedelta(minutes=1),
    end_time=TIME + timedelta(minutes=1),
    params={"lr": "0.1"},
    path=(PathStep(status=Status.RUNNING, time=TIME, attempt=2),),
    producers={"host-1": 7, "runherald.leases": MICROS},
    life="Archived",
)
REPORTED = event_of(PAYLOADS["AmlRunStatusChangedEvent-1"])
ACCEPTED = accepted_event(Transition(REPORTED, STATE, Status.RUNNING, correction=True))
CLAIM = verdict(
    Watched(workspace="default", run_id="digits_1", partition=TopicPartition(EVENTS, 0), heard=TIME, last_seen=TIME, lease_seconds=60.0),
    TIME + timedelta(seconds=61),
    timedelta(seconds=600),
)
assert CLAIM is not None
DREAM = replace(
    new_event(Unknown(Raw(b'{"sheep": [1, 2]}')), workspace="default", run_id="digits_1", producer="host-1", sequence=8, time=TIME),
    type="AmlRunDreamEvent",
    version=7,
)

_TRANSITION = AmlRunStatusChangedEvent(status=Status.FAILED, header=HEADER, previous_status=Status.RUNNING, revision=5, message="boom")
DECIDED = AlertDecided(
    rule="failed",
    severity=1,
    subject="digits_1#5",
    decision="notify",
    reason="route: failed",
    event_id="0d6abc0c-ebb7-5a19-911f-e5b11b00819f",
    event_time=TIME,
    decided_time=TIME + timedelta(milliseconds=20),
    transition=_TRANSITION,
    template="brief",
    notices=(
        DecidedNotice(notice_id="n-1", recipient="ada@example.org", reason="route: failed"),
        DecidedNotice(notice_id="n-2", recipient="bob@example.org", reason="duplicate", suppressed=True),
    ),
)
DECISION = decision_event(DECIDED, ACCEPTED)
OUTCOMES: dict[str, Outcome] = {
    "attempted": NoticeAttempted(
        notice_id="n-1",
        attempt=1,
        reason="the server says: 450 later",
        fault="reply",
        next_attempt_time=TIME + timedelta(seconds=8),
        smtp_reply="450 later",
    ),
    "accepted": NoticeAccepted(notice_id="n-1", attempt=2, accepted_time=TIME, message_id="<n-1@runherald>", smtp_reply="250 taken"),
    "refused": NoticeRefused(notice_id="n-1", attempt=2, refused_time=TIME, reason="no such address", smtp_reply="550 no"),
}
NOTICE = Notice(
    notice_id="n-1",
    decision_id="d-1",
    workspace="default",
    run_id="digits_1",
    rule="failed",
    severity=1,
    template="run",
    recipient="ada@example.org",
    subject="Failed: digits/lr=0.1 — boom",
    event_id="e-1",
    event_time=TIME,
    decided_time=TIME,
    transition=_TRANSITION,
    partition=3,
    version=42,
    state="pending",
    reason="the server says: 450 later",
    attempts=1,
    fault="connection",
    last_attempt_time=TIME,
    next_attempt_time=TIME + timedelta(seconds=8),
    message_id="<n-1@runherald>",
    smtp_reply="450 later",
)

_HEARTBEAT = replace(event_of(AmlRunHeartbeatEvent(lease_seconds=60.0)), recorded_time=None)
_ORIGIN = record_of(record_bytes(to_outgoing(_HEARTBEAT)), partition=3, offset=17)
_LETTER = Letter(
    letter_id="5b513583-b856-5521-bcee-564555925ea6",
    processor="history",
    error="data.leaseSeconds",
    reason="data.leaseSeconds: a lease is above 0",
    topic=EVENTS,
    partition=3,
    offset=17,
    timestamp=APPENDED,
    key=b"digits_1",
    value=_ORIGIN.value,
    headers=_ORIGIN.headers,
    first_id="5b513583-b856-5521-bcee-564555925ea6",
    previous_id="",
    replays=0,
    dead_time=TIME.replace(microsecond=200_000),
)
_REPLAY = replay_record(_LETTER, late=True)
MARKS: dict[str, Mark] = {
    "replayed": Replayed(
        letter_id=_LETTER.letter_id, replay_id="r-1", time=TIME, topic=EVENTS, partition=3, offset=99, user="ada", late=True
    ),
    "stopped": Stopped(processor="history", topic=EVENTS, partition=3, offset=18, time=TIME, reason="100 of 100 records"),
    "went-on": WentOn(processor="history", time=TIME, user="ada", allow=5),
}

ENTRIES: dict[str, Entry] = {
    "point": Point("loss", 3, MICROS, float("inf"), "Mean of the batch."),
    "text": Text("note", 3, MICROS, "warm-up ✓", "Free."),
    "logged": Logged("confusion", 3, MICROS, "confusion_matrix", {"data": [[1, 0], [0, 1]]}, "At the end."),
    "said": Said("AmlRunHeartbeatEvent", MICROS, b'{"leaseSeconds":60.0}'),
}

HEAD = JournalHead(workspace="default", run_id="digits_1", producer="host-1", destination="http://here:1")

LINES = Lines("logs/python.log", "file", 7, MICROS, ("epoch 1 ✓", ""))
"""An entry that the sample journal is older than."""

TELLING = Telling(
    kind="begun",
    incident=Incident("i-1", TIME, (Symptom("log", 70.0),)),
    waiting=("ada@example.org",),
    attempts=2,
    tried_time=TIME,
    next_time=TIME + timedelta(seconds=4),
)
WATCHED = WatchedLag(
    above=1,
    incident=Incident("i-1", TIME, (Symptom("history", 61.5, "12 records wait in runherald.events"),), TIME),
    calm_since=TIME,
    telling=TELLING,
)
WATCHED_BEFORE = replace(WATCHED, telling=replace(TELLING, tried_time=None, next_time=TIME))
"""Of the time before it was kept when somebody was last told."""


def _event_sample(event: Event, topic: str | None = None) -> Sample:
    decoders = DECODERS if topic == ALERTS else None
    read = partial(from_record, decoders=decoders) if decoders is not None else from_record
    return Sample(event, record_bytes(to_outgoing(event, topic)), lambda data: read(record_of(data)))


def _outcome_sample(outcome: Outcome) -> Sample:
    written = record_bytes(outcome_outgoing(outcome, workspace="default", run_id="digits_1", time=TIME))
    return Sample(outcome, written, lambda data: from_record(record_of(data), DECODERS).data)


def _letter_sample(meaning: Letter | Mark, written: Outgoing) -> Sample:
    return Sample(meaning, record_bytes(written), lambda data: read_letter(record_of(data)))


def _json_sample(meaning: Struct) -> Sample:
    return Sample(meaning, msgspec.json.encode(meaning), partial(msgspec.json.decode, type=type(meaning)))


SAMPLES: dict[str, Sample] = {
    **{f"event-{name}.record": _event_sample(event_of(data)) for name, data in PAYLOADS.items()},
    "event-unknown-type-1.record": _event_sample(DREAM),
    "event-claim-of-the-leases-1.record": _event_sample(CLAIM),
    "event-accepted-transition-1.record": _event_sample(ACCEPTED, STATUS),
    "alert-decided-1.record": _event_sample(DECISION, ALERTS),
    "alert-decided-2.record": _event_sample(replace(DECISION, data=replace(DECIDED, transition_partition=3, transition_offset=41)), ALERTS),
    **{f"notice-{name}-1.record": _outcome_sample(outcome) for name, outcome in OUTCOMES.items()},
    "dead-letter-1.record": _letter_sample(_LETTER, dead_letter(_ORIGIN, processor="history", reason=_LETTER.reason)),
    "dead-letter-of-a-replay-1.record": _letter_sample(
        replace(
            _LETTER,
            letter_id="6d7d063b-c23a-58ca-89b9-6d761012c1a8",
            offset=99,
            headers=_REPLAY.headers[:-3],
            previous_id=_LETTER.letter_id,
            replays=1,
        ),
        dead_letter(record_of(record_bytes(_REPLAY), partition=3, offset=99), processor="history", reason=_LETTER.reason),
    ),
    **{f"mark-{name}-1.record": _letter_sample(mark, mark_record(mark)) for name, mark in MARKS.items()},
    "run-state-1.json": Sample(STATE, encode_state(STATE).encode(), lambda data: decode_state(data.decode())),
    "notice-pending-1.json": _json_sample(NOTICE),
    "lag-watch-1.json": replace(_json_sample(WATCHED_BEFORE), former=True),
    "lag-watch-2.json": _json_sample(WATCHED),
    "journal-head-1.json": _json_sample(HEAD),
    "journal-head-2.json": _json_sample(replace(HEAD, process=JournalProcess(host="gpu-7", pid=4711, lease_seconds=60.0))),
    **{f"journal-entry-{name}-1.msgpack": Sample(entry, encode_entry(entry), decode_entry) for name, entry in ENTRIES.items()},
    "journal-entry-lines-1.msgpack": Sample(LINES, encode_entry(LINES), decode_entry),
}
"""By the names of their files."""
