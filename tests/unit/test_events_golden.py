"""What was written once is read for ever: files of every version of every payload, and a snapshot of the schemas."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import fields

from runherald.events import VERSIONS
from runherald.validation import check_event
from runherald.wire import decode_cloud_event, decode_data, encode_batch, encode_data, split_batch
from tests.unit.golden_events import PAYLOADS, event_of
from tests.unit.golden_write import FOLDER, SCHEMAS
from tests.unit.schema_changes import breaks, definitions

WRITE = "run `python -m tests.unit.golden_write` and commit what it wrote"
FILES = sorted(path for path in FOLDER.glob("*-*.json") if not path.name.endswith(".batch.json"))


@pytest.mark.parametrize("name", PAYLOADS)
def test_bytes_are_stable(name: str) -> None:
    path = FOLDER / f"{name}.json"
    assert path.exists(), WRITE
    assert encode_data(PAYLOADS[name]) == path.read_bytes()
    assert encode_batch([event_of(PAYLOADS[name])]) == (FOLDER / f"{name}.batch.json").read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_was_written_is_read(path: Path) -> None:
    kind = path.stem.partition("-")[0]
    expected = PAYLOADS[path.stem]
    assert decode_data(kind, path.read_bytes()) == expected
    batch = path.with_suffix(".batch.json").read_bytes()
    (event,) = (decode_cloud_event(member) for member in split_batch(batch))
    assert event == event_of(expected)
    check_event(event)


@pytest.mark.parametrize("kind", VERSIONS, ids=lambda kind: kind.__name__)
def test_every_field_of_every_payload_is_in_a_file(kind: type[msgspec.Struct]) -> None:
    files = [path for path in FILES if path.stem.startswith(f"{kind.__name__}-")]
    assert f"{kind.__name__}-{VERSIONS[kind]}" in {path.stem for path in files}, WRITE
    said = {name for path in files for name in msgspec.json.decode(path.read_bytes())}
    assert {field.encode_name for field in fields(kind)} <= said, "say the new field in a further payload of golden_events"


def test_the_snapshot_is_of_these_schemas() -> None:
    assert msgspec.json.decode(SCHEMAS.read_bytes()) == definitions(), WRITE


def test_the_schemas_break_nothing_that_was_written() -> None:
    assert breaks(msgspec.json.decode(SCHEMAS.read_bytes()), definitions()) == []


@pytest.fixture
def changed() -> dict[str, Any]:
    """Return the schemas, to be changed."""
    return deepcopy(dict(definitions()))


def test_another_field_breaks_nothing(changed: dict[str, Any]) -> None:
    changed["RunHeader"]["properties"]["mood"] = {"type": "string", "default": ""}
    changed["Actor"]["properties"]["kind"]["enum"].append("robot")
    changed["Mood"] = {"type": "object", "properties": {}, "required": []}
    assert breaks(definitions(), changed) == []


def test_what_breaks_is_said_by_its_path(changed: dict[str, Any]) -> None:
    heartbeat, header = changed["AmlRunHeartbeatEvent"], changed["RunHeader"]
    heartbeat["properties"]["lease"] = heartbeat["properties"].pop("leaseSeconds")  # renamed
    header["properties"]["user"]["type"] = "integer"  # retyped
    header["properties"]["mood"] = {"type": "string"}
    header["required"] = [*header["required"], "mood"]  # a new field without a default
    changed["PathStep"]["properties"]["attempt"]["default"] = 0
    changed["Status"]["enum"].remove("Paused")
    changed["AmlRunMetricEvent"]["properties"]["values"]["items"]["type"] = "integer"
    changed["AmlRunStatusChangedEvent"]["properties"]["header"]["anyOf"].pop()
    del changed["DebugInfo"]
    assert sorted(line.partition(" ")[0].rstrip(":") for line in breaks(definitions(), changed)) == [
        "AmlRunHeartbeatEvent.leaseSeconds",
        "AmlRunMetricEvent.values.items",
        "AmlRunStatusChangedEvent.header",
        "DebugInfo",
        "PathStep.attempt",
        "RunHeader.mood",
        "RunHeader.user",
        "Status",
    ]
