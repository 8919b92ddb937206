"""What reads bytes that somebody else wrote, and what must hold whatever those bytes are: `DECODERS` is what is fuzzed.

Each is a function of bytes that returns nothing. It raises when a decoder does what it may not: an error that is none of its own, something
that it takes and cannot give back, something that the next part then refuses. Hypothesis calls them in the tests, with inputs made to
measure, and libFuzzer in `tests.fuzz.guided`, with inputs that it finds itself.
"""

from __future__ import annotations

import io
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import msgspec

from runherald.alerts.addresses import to_ascii, wrong_address
from runherald.alerts.conditions import mismatch
from runherald.alerts.errors import InvalidRule
from runherald.alerts.foreign_mail import body_text, header_date, header_text, parse_mail
from runherald.alerts.rule_file import read_rules
from runherald.api import format_positions, parse_positions
from runherald.clock import from_micros, to_micros
from runherald.dead_letters import Letter, mark_record, read_letter, replay_record
from runherald.durations import parse_duration
from runherald.errors import InvalidEvent, InvalidInput, RunheraldError
from runherald.events import AmlRunHeartbeatEvent, AmlRunLogEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, Event, RunHeader, new_event
from runherald.limits import DEFAULT_LIMITS
from runherald.producers.journal.bundle import MANIFEST, import_journals
from runherald.producers.journal.folder import JournalFolder, JournalHead, journal_folders
from runherald.producers.journal.frames import Damage, Frame, frame, scan
from runherald.producers.journal.listing import list_journals
from runherald.producers.journal.reader import JournalReader
from runherald.producers.server.client import ApiClient
from runherald.producers.server.connection import Answer, Connection
from runherald.producers.shipping.batching import to_events
from runherald.producers.shipping.http_transport import HttpTransport
from runherald.records import Headers, Outgoing, Record
from runherald.sinks.state_text import decode_state, encode_state
from runherald.state import fold
from runherald.status import Status
from runherald.streams.history_rows import HistoryRows, state_row
from runherald.streams.logs import LogProjection
from runherald.streams.metrics import MetricProjection
from runherald.streams.reported_event import reported_event
from runherald.studio.batch import read_batch
from runherald.studio.dead_letters import event_of, shown
from runherald.topics import DEAD_LETTERS, EVENTS
from runherald.transitions import accepted_event
from runherald.wire import decode_cloud_event, encode_batch, from_record, split_batch, to_outgoing

Decoder = Callable[[bytes], None]

SEPARATOR = b"\x1e"
"""Stands between the parts of a record that is written as one text: topic, key, value, then each header's name and value."""

HEAD = JournalHead(workspace="default", run_id="digits_1", producer="host-1")
STATUSES = (200, 302, 400, 401, 404, 413, 429, 500)
_ZIP = b"PK"
_URL = "http://127.0.0.1:9"
_EVENT = new_event(
    AmlRunHeartbeatEvent(lease_seconds=60.0),
    workspace="default",
    run_id="r",
    producer="p",
    sequence=0,
    time=datetime(2026, 11, 21, tzinfo=UTC),
)
_RAN = AmlRunStatusChangedEvent(
    status=Status.FAILED,
    header=RunHeader(experiment_name="nightly-7", tags={"team": "vision", "urgent": None}),
    start_time=datetime(2026, 11, 21, 11, tzinfo=UTC),
)
_ENDED = datetime(2026, 11, 21, 12, tzinfo=UTC)
_SCRATCH = tempfile.TemporaryDirectory(prefix="runherald-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def decode_batch(body: bytes) -> None:
    """Take a CloudEvents batch as the intake does: what it takes, the processors take, and sent again it is the same."""
    try:
        batch = read_batch(body, DEFAULT_LIMITS)
    except InvalidEvent as error:
        _said(error)
        return
    for refusal in batch.rejected:
        msgspec.json.encode(refusal)
    events = [from_record(record) for record in batch.records]
    for record in batch.records:
        _store(_placed(record))
    if events:
        again = read_batch(encode_batch(events), DEFAULT_LIMITS)
        assert again.rejected == []
        assert again.records == batch.records


def decode_record(text: bytes) -> None:
    """Take a record of the log as the processors do."""
    outgoing = record_of(text)
    try:
        event = from_record(outgoing)
    except InvalidEvent as error:
        _said(error)
        return
    assert from_record(to_outgoing(event)) == event
    try:
        _store(_placed(outgoing))
    except InvalidEvent as error:
        _said(error)


def decode_letter(text: bytes) -> None:
    """Take a record of the dead letters' topic: it is shown, and replayed or not."""
    outgoing = record_of(text)
    try:
        letter = read_letter(Record(DEAD_LETTERS, 0, 7, 1_700_000_000_000, outgoing.key, outgoing.value, outgoing.headers))
    except InvalidInput as error:
        _said(error)
        return
    msgspec.json.encode(letter)
    if not isinstance(letter, Letter):
        mark_record(letter)
        to_micros(letter.time)
        return
    from_micros(letter.timestamp * 1_000)
    msgspec.json.encode([event_of(letter), shown(letter.value), letter.text_of("ce_id")])
    try:
        replay = replay_record(letter)
    except InvalidInput as error:
        _said(error)
        return
    assert (replay.key, replay.value) == (letter.key, letter.value)


def decode_frames(data: bytes) -> None:
    """Go through a journal's file: every byte is in a frame or in damage, and a reader of the file finds the same."""
    found = list(scan(data))
    starts = [0, *(part.end for part in found)]
    assert starts[-1] == len(data)
    assert all(first < second for first, second in pairwise(starts))
    for start, part in zip(starts, found, strict=False):
        match part:
            case Frame(ordinal, payload, end):
                assert frame(ordinal, payload) == data[start:end]
            case Damage(begin, _, torn):
                assert begin == start
                assert not torn or part is found[-1]
    folder = JournalFolder(Path(_SCRATCH.name))
    folder.segment(0).write_bytes(data)
    reader = JournalReader(folder)
    records: list[tuple[int, bytes]] = []
    while some := reader.read(3) or reader.release(3):
        records += some
    whole = {(part.ordinal, part.payload) for part in found if isinstance(part, Frame)}
    assert set(records) <= whole
    assert all(first < second for (first, _), (second, _) in pairwise(records))
    if not any(isinstance(part, Damage) for part in found):
        assert {ordinal for ordinal, _ in records} == {ordinal for ordinal, _ in whole}
    assert len(reader.damaged) == sum(isinstance(part, Damage) and not part.torn for part in found)


def decode_entry(payload: bytes) -> None:
    """Take a record of a journal: events are made of it that can be sent, or it is put aside."""
    batched = to_events([(0, payload), (1, payload)], HEAD)
    assert len(batched.unreadable) in (0, 2)
    for each in batched.unreadable:
        each.reason.encode()
    members = split_batch(encode_batch(batched.events))
    assert len(members) == len(batched.events)
    for member in members:
        try:
            decode_cloud_event(member)
        except InvalidEvent as error:  # the server may refuse it; the journal keeps it then
            _said(error)


def decode_bundle(text: bytes) -> None:
    """Import journals of another machine: all of them, once, so that they can be listed and sent; or nothing of the file is taken."""
    with tempfile.TemporaryDirectory(dir=_SCRATCH.name) as scratch:
        home, file = Path(scratch) / "home", Path(scratch) / "file.zip"
        file.write_bytes(text if text.startswith(_ZIP) else archive_of(text))
        try:
            carried = import_journals(home, file)
        except InvalidInput as error:
            _said(error)
            assert not home.exists(), "a part of it was taken"
            return
        assert {one.state for one in carried} <= {"imported", "extended", "there"}
        listed = list_journals(home)
        assert {one.run_id for one in carried} == {one.run_id for one in listed}
        assert all(one.state in ("left", "kept") for one in listed)
        for folder in journal_folders(home):
            to_events(JournalReader(folder, folder.acknowledged()).read(1_000), folder.head())
        assert all(one.state == "there" for one in import_journals(home, file))
        assert list_journals(home) == listed


def decode_answer(text: bytes) -> None:
    """Read a server's answer as the SDK does; the first byte says its status. What sends and reads must outlive any."""
    answer = Answer(STATUSES[text[0] % len(STATUSES)] if text else 200, {}, text[1:])
    with patch.object(Connection, "request", lambda *_arguments, **_named: answer):
        client = ApiClient(_URL)
        for call in (partial(HttpTransport(_URL).send, [_EVENT]), partial(client.get_run, "r"), partial(client.metrics, "r")):
            try:
                call()
            except RunheraldError as error:
                str(error).encode()


def decode_rules(text: bytes) -> None:
    """Read a file of rules: each can be asked whether it holds."""
    path = Path(_SCRATCH.name) / "rules.yaml"
    path.write_bytes(text)
    try:
        rules = read_rules(path)
    except InvalidRule as error:
        _said(error)
        _within(text, error.line)
        return
    for rule in rules:
        mismatch(rule.when, _RAN, _ENDED).encode()
        msgspec.json.encode(rule)
        for address in rule.receivers:
            to_ascii(address).encode("ascii")


def decode_mail(content: bytes) -> None:
    """Read a mail that somebody else wrote."""
    mail = parse_mail(content)
    for name in ("From", "To", "Subject"):
        header_text(mail, name).encode()
    header_date(mail)
    for subtype in ("plain", "html"):
        body_text(mail, subtype).encode()


def decode_words(text: bytes) -> None:
    """Read the small things that people write: positions, lengths of time, addresses."""
    word = text.decode(errors="replace")
    parse_duration(word)
    if not wrong_address(word):
        to_ascii(word).encode("ascii")
    try:
        positions = parse_positions(word)
    except InvalidInput as error:
        _said(error)
        return
    assert parse_positions(format_positions(positions)) == positions


DECODERS: Mapping[str, Decoder] = MappingProxyType(
    {
        "batch": decode_batch,
        "record": decode_record,
        "letter": decode_letter,
        "frames": decode_frames,
        "entry": decode_entry,
        "bundle": decode_bundle,
        "answer": decode_answer,
        "rules": decode_rules,
        "mail": decode_mail,
        "words": decode_words,
    }
)


def record_of(text: bytes) -> Outgoing:
    """Return the record that a text says, see `SEPARATOR`."""
    parts = text.split(SEPARATOR)
    topic, key, value, *rest = [*parts, b"", b"", b""] if len(parts) < 3 else parts
    headers: Headers = tuple((name.decode(errors="replace"), content) for name, content in zip(rest[::2], rest[1::2], strict=False))
    return Outgoing(topic.decode(errors="replace"), key or None, value, headers)


def text_of(record: Outgoing) -> bytes:
    """Return a record as a text, see `SEPARATOR`."""
    headers = [part for name, content in record.headers for part in (name.encode(), content)]
    return SEPARATOR.join((record.topic.encode(), record.key or b"", record.value, *headers))


def archive_of(text: bytes) -> bytes:
    """Return the archive that a text says: what lists its journals, then each member's name and content, between `SEPARATOR`s.

    Changed, an archive itself is nearly always one whose checksums are wrong.
    """
    listed, *rest = text.split(SEPARATOR)
    archive = io.BytesIO()
    with warnings.catch_warnings(action="ignore", category=UserWarning), zipfile.ZipFile(archive, "w") as written:  # a name may come twice
        written.writestr(MANIFEST, listed)
        for name, content in zip(rest[::2], rest[1::2], strict=False):
            written.writestr(name.decode(errors="replace").replace("\0", "")[:200] or "x", content)
    return archive.getvalue()


def _placed(record: Outgoing) -> Record:
    return Record(record.topic, 0, 7, 1_700_000_000_000, record.key, record.value, record.headers)


def _store(record: Record) -> None:
    """Make the rows of a record, as the processor of its topic does.

    Raises:
        InvalidEvent: the processor makes a dead letter of it.
    """
    event = reported_event(record)
    rows: list[Any] = []
    if isinstance(event.data, AmlRunMetricEvent):
        points = MetricProjection()
        points.add(record, event)
        rows += [table.columns for table in points.drain() if table.table != "metric_points"]
    elif isinstance(event.data, AmlRunLogEvent):
        lines = LogProjection()
        lines.add(record, event)
        rows += [table.columns for table in lines.drain()]
    else:
        rows += _history(record, event)
    msgspec.json.encode(rows, enc_hook=str)


def _history(record: Record, event: Event) -> Sequence[Any]:
    try:
        payload = record.value.decode()
    except UnicodeDecodeError:
        raise InvalidEvent("data", "is not UTF-8") from None
    folded = fold(None, event)
    made = HistoryRows()
    made.add(record, event, payload, None, folded)
    if folded.transition is not None:
        accepted = accepted_event(folded.transition)
        assert from_record(to_outgoing(accepted)) == accepted
    assert decode_state(encode_state(folded.state)) == folded.state
    rows = [] if folded.state is None else [state_row(folded.state, EVENTS, 0, record.offset)]
    return [table.columns for table in made.tables(rows)]


def _within(text: bytes, line: int) -> None:
    # YAML counts more as line ends than editors do.
    assert 0 <= line <= 2 + sum(text.count(end) for end in (b"\n", b"\r", b"\xc2\x85", b"\xe2\x80"))


def _said(error: InvalidInput) -> None:
    """What is said of a fault can be shown, and is no copy of the input."""
    text = str(error)
    text.encode()
    assert text.strip()
    assert len(text) < 3_000, "the message repeats the input"
