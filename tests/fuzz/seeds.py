"""Good inputs of each decoder, to begin from: fuzzing changes them a little at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import msgspec

from runherald.api import ApiError, ApiErrorAnswer, Intake, MetricSeries, Rejected, RunView
from runherald.dead_letters import WentOn, dead_letter, mark_record
from runherald.events import AmlRunHeartbeatEvent, new_event
from runherald.producers.journal.bundle import BundledJournal, Manifest
from runherald.producers.journal.entries import Logged, Point, Text, encode_entry, said
from runherald.producers.journal.folder import JournalHead
from runherald.producers.journal.frames import frame
from runherald.records import Record
from runherald.wire import encode_batch, to_outgoing
from tests.fuzz.decoders import SEPARATOR, archive_of, text_of
from tests.unit.golden_events import MICROS, PAYLOADS, TIME, event_of

RULES = b"""\
receivers:
  on-call: [a@example.org, b@example.org]
rules:
  - name: nightly
    description: The nightly training died.
    status: [failed, NotResponding]
    previous_status: Running
    cause: [out_of_memory, code_error]
    experiment: nightly-*
    display_name: ["*large*", '*x\\u006c*']
    tags: {team: vision, urgent: }
    properties: {dataset: "imagenet*"}
    parent: root_only
    claim: false
    correction: no
    longer_than: 10m
    shorter_than: 1d2h
    severity: critical
    receivers: [on-call, c@example.org]
    template: brief
    corrections: false
  - {name: run-failed, enabled: false}
"""
MAIL = b"""\
From: =?utf-8?q?J=C3=B6rg?= <a@example.org>\r
To: b@example.org\r
Subject: Failed: digits/lr=10\r
Date: Sat, 21 Nov 2026 12:00:00 +0000\r
MIME-Version: 1.0\r
Content-Type: multipart/alternative; boundary="x"\r
\r
--x\r
Content-Type: text/plain; charset="utf-8"\r
Content-Transfer-Encoding: base64\r
\r
SGVsbG8=\r
--x\r
Content-Type: text/html; charset=latin-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
<p>=E9</p>\r
--x--\r
"""

EVENTS = tuple(event_of(data) for data in PAYLOADS.values())
RECORDS = tuple(to_outgoing(event) for event in EVENTS)
ENTRIES = (
    encode_entry(Point("loss", 1, MICROS, 0.5, "Mean of the batch.")),
    encode_entry(Point("loss", 1, MICROS, float("nan"))),
    encode_entry(Text("note", 0, MICROS, "warm-up ✓")),
    encode_entry(Logged("confusion", 0, MICROS, "table", {"data": [[1, 0], [0, 1]], "of": None})),
    *(encode_entry(said(data, MICROS)) for data in PAYLOADS.values()),
)
_HEADS = tuple(JournalHead(workspace="default", run_id=f"digits_{number}", producer="host-1") for number in range(2))
_SEGMENT = frame(7, ENTRIES[0]) + frame(8, ENTRIES[1])
_LISTED = Manifest(
    journals=[
        BundledJournal(head=_HEADS[0], acknowledged=8, segments={"00000000000000000007.seg": len(_SEGMENT)}),
        BundledJournal(head=_HEADS[1], acknowledged=0, segments={"00000000000000000000.seg": 0, "00000000000000000001.seg": 1}),
    ]
)
BUNDLE = SEPARATOR.join(
    (
        msgspec.json.encode(_LISTED),
        *(b"journals/digits_0~host-1/00000000000000000007.seg", _SEGMENT),
        *(b"journals/digits_1~host-1/00000000000000000000.seg", b""),
        *(b"journals/digits_1~host-1/00000000000000000001.seg", b"x"),
    )
)
_REASONS = ("data.status: is none", "table run_events refused it", "no field") * 2
_LETTERS = tuple(
    dead_letter(Record(made.topic, 3, offset, 1_795_262_400_123, made.key, made.value, made.headers), processor="history", reason=reason)
    for offset, (made, reason) in enumerate(zip(RECORDS, _REASONS, strict=True))
)
_UNKNOWN = new_event(AmlRunHeartbeatEvent(lease_seconds=1.0), workspace="w", run_id="r", producer="p", sequence=0, time=TIME)

_ANSWERS = (
    Intake(accepted=0, rejected=[Rejected(index=0, field="data", reason="no")], cancel_requested=["r"]),
    RunView(run_id="r", workspace="w", experiment_name="e", status="Running", created_time=TIME),
    [MetricSeries(run_id="r", name="loss", kind="scalar", steps=[0], times=[1], values=[0.5, "NaN"])],
)
_REFUSAL = ApiErrorAnswer(ApiError(code="c", message="no", field="f"))

SEEDS: Mapping[str, Sequence[bytes]] = MappingProxyType(
    {
        "batch": (
            encode_batch(EVENTS),
            *(encode_batch([event]) for event in EVENTS),
            encode_batch([_UNKNOWN]).replace(b"AmlRunHeartbeatEvent", b"Other"),
        ),
        "record": tuple(text_of(record) for record in RECORDS),
        "letter": (
            *(text_of(letter) for letter in _LETTERS),
            text_of(mark_record(WentOn(processor="history", time=datetime(2026, 11, 21, tzinfo=UTC), allow=7))),
        ),
        "frames": (b"".join(frame(number, entry) for number, entry in enumerate(ENTRIES)), frame(0, b""), frame(2, b"x") + frame(1, b"y")),
        "entry": ENTRIES,
        "bundle": (BUNDLE, archive_of(BUNDLE)),
        "answer": (
            *(b"\x00" + msgspec.json.encode(answer) for answer in _ANSWERS),
            *(bytes([status]) + msgspec.json.encode(_REFUSAL) for status in range(8)),
        ),
        "rules": (RULES, (Path(__file__).parents[2] / "examples" / "rules.yaml").read_bytes()),
        "mail": (MAIL,),
        "words": (b"runherald.events/0/17,runherald.metrics/3/1", b"1d2h3.5m4s", "ann@bücher.example".encode()),
    }
)
