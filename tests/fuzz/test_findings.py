"""What fuzzing found, input by input: each of these once broke its decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from runherald.alerts.errors import InvalidRule
from runherald.alerts.rule_file import read_rules
from runherald.errors import InvalidInput
from runherald.events import AmlRunMetricEvent, MetricObject, new_event
from runherald.limits import DEFAULT_LIMITS
from runherald.producers.journal.folder import JournalFolder
from runherald.producers.shipping.batching import to_events
from runherald.studio.batch import read_batch
from runherald.wire import encode_batch
from tests.fuzz.decoders import DECODERS, HEAD
from tests.fuzz.seeds import ENTRIES, SEEDS
from tests.unit.golden_events import TIME

_pack = msgspec.msgpack.encode
_TABLE = _pack([2, "n", 0, 1, "table", None])[:-1]  # a logged object, without its value
_RULE = b"rules:\n  - {name: a, status: Failed, receivers: a@example.org, "

IDENTITY: dict[str, Any] = {"workspace": "w", "run_id": "r", "producer": "p", "sequence": 0, "time": TIME}
MARK = next(text for text in SEEDS["letter"] if b"rh_mark" in text)

FOUND: tuple[tuple[str, str, bytes], ...] = (
    ("entry", "a time that no calendar has", _pack([0, "loss", 1, 2**62, 0.5])),
    ("entry", "a time that no calendar has, of an event", _pack([3, "AmlRunEvent", 2**62, b'{"operation": "Updated"}'])),
    ("entry", "an extension of MessagePack", _pack([2, "n", 0, 1, "table", msgspec.msgpack.Ext(5, b"x")])),
    ("entry", "a key that JSON does not have: null", _TABLE + b"\x81\xc0\x01"),
    ("entry", "a key that JSON does not have: a list", _TABLE + b"\x81\x91\x01\x01"),
    ("entry", "nested deeper than Python goes", _TABLE + b"\x91" * 200_000 + b"\x01"),
    ("letter", "a mark nested deeper than Python goes", MARK.replace(b'"allow":7', b'"x":' + b"[" * 5_000 + b"]" * 5_000)),
    ("letter", "a mark whose time has no time zone", MARK.replace(b"00:00Z", b"00:00")),
    ("letter", "an origin at a time that no calendar has", SEEDS["letter"][0].replace(b"1795262400123", b"9" * 18)),
    ("answer", "an intake that is no UTF-8", b'\x00{"accepted":0,"rejected":[{"index":0,"field":"\xff","reason":""}]}'),
    ("answer", "a value nested deeper than Python goes", b'\x00{"accepted":1,"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
    ("answer", "an error that is no UTF-8", b'\x02{"error":{"code":"c","message":"\xff"}}'),
    ("answer", "an error nested deeper than Python goes", b'\x02{"error":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
    ("rules", "a character beyond Unicode", b'rules:\n  - name: "\\U00110000"\n'),
    ("rules", "a character beyond any integer of C", b'rules:\n  - name: "\\UFFFFFFFF"\n'),
    ("rules", "a version of YAML of 5,000 digits", b"%YAML " + b"1" * 5_000 + b".1\n---\na: 1"),
    ("rules", "half a surrogate pair in a text", _RULE + b'description: "\\ud800"}'),
    ("rules", "half a surrogate pair in a condition", _RULE + b'tags: {"\\udfff": "\\ud800"}}'),
    ("rules", "a tag of 100,000 characters, which the message repeated", b"!<" + b"a" * 100_000 + b"> b"),
    ("rules", "a key of 100,000 characters, which the message repeated", b"? " + b"a" * 100_000 + b"\n: 1"),
)


@pytest.mark.parametrize(("decoder", "content"), [pytest.param(name, content, id=f"{name}: {what}") for name, what, content in FOUND])
def test_what_was_found_stays_mended(decoder: str, content: bytes) -> None:
    DECODERS[decoder](content)


def test_a_record_that_cannot_be_sent_costs_itself_alone() -> None:
    good = ENTRIES[0]
    for _, _, bad in [each for each in FOUND if each[0] == "entry"]:
        batched = to_events([(0, good), (1, bad), (2, good)], HEAD)
        assert [event.sequence for event in batched.events] == [0, 2]
        assert [each.ordinal for each in batched.unreadable] == [1]


def test_a_head_of_a_journal_that_is_nested_too_deep_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_bytes(b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}")
    with pytest.raises(InvalidInput, match=r"journal\.json"):
        JournalFolder(tmp_path).head()


@pytest.mark.parametrize("depth", [100, 101])
def test_an_object_is_taken_no_deeper_than_it_can_be_read(depth: int) -> None:
    value = msgspec.json.decode(b"[" * depth + b"]" * depth)
    event = new_event(AmlRunMetricEvent(objects=(MetricObject(name="n", kind="list", step=0, time=0, value=value),)), **IDENTITY)
    refused = read_batch(encode_batch([event]), DEFAULT_LIMITS).rejected
    assert [each.field for each in refused] == (["data.objects[0].value"] if depth > 100 else [])


@pytest.mark.parametrize("text", [r'"\U00110000"', r'"\ud800"'])
def test_a_rule_file_of_odd_characters_says_what_is_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(f"rules:\n  - name: {text}\n    enabled: false\n")
    with pytest.raises(InvalidRule, match=r"rules\.yaml.*(characters that YAML does not take|half a surrogate pair)"):
        read_rules(path)
