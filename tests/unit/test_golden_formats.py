"""Whatever outlives a process is read for ever, with the meaning that it had; and what a newer version adds does not stop this one."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
from contextlib import closing
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from aiokafka.partitioner import DefaultPartitioner
from msgspec.structs import fields, replace

from runherald.alerts.events import Outcome
from runherald.dead_letters import Letter, Mark
from runherald.events import VERSIONS, Event, Unknown
from runherald.producers.journal.entries import Entry, decode_entry, encode_entry
from runherald.producers.journal.folder import JournalFolder
from runherald.producers.journal.frames import frame
from runherald.producers.journal.reader import JournalReader
from runherald.producers.shipping.send_queue import SendQueue
from runherald.records import TopicPartition
from runherald.state import fold
from runherald.status import Status
from runherald.streams.embedded_log import FILE, EmbeddedLog
from runherald.streams.errors import LogUnusable
from runherald.topics import EVENTS, STATUS
from runherald.wire import from_record
from tests.unit.golden_events import TIME, event_of
from tests.unit.golden_formats import ENTRIES, KINDS, REPORTED, SAMPLES, STATE, record_of
from tests.unit.golden_stores import (
    ACKNOWLEDGED,
    COMMITTED,
    FORMER_LOGS,
    GROUP,
    HEAD,
    JOURNAL,
    LOG,
    LOGGED,
    NAMES,
    dump,
    names,
    records_of,
    write_journal,
    write_log,
)
from tests.unit.golden_write import FORMAT_SCHEMAS, FORMATS
from tests.unit.schema_changes import breaks, definitions

WRITE = "run `python -m tests.unit.golden_write` and commit what it wrote"
FILES = sorted(path.name for path in FORMATS.iterdir() if path.suffix in (".record", ".json", ".msgpack") and "-" in path.name)
FREE = {"tags", "properties", "params", "nonfinite", "descriptions", "producers", "value", "sheep"}
"""Objects whose keys are the user's."""


@pytest.mark.parametrize("name", sorted({*FILES, *SAMPLES} - {NAMES}))
def test_what_was_written_is_read_with_its_meaning(name: str) -> None:
    assert name in SAMPLES, "a sample is never removed: mark it as former"
    assert (FORMATS / name).exists(), WRITE
    assert SAMPLES[name].read((FORMATS / name).read_bytes()) == SAMPLES[name].meaning


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if not sample.former])
def test_what_is_written_has_a_file(name: str) -> None:
    another = "the bytes changed: keep this sample as former, with the bytes of its file, and add one with the next number"
    assert SAMPLES[name].written == (FORMATS / name).read_bytes(), another


def test_every_kind_of_thing_has_a_sample() -> None:
    meanings = [sample.meaning for sample in SAMPLES.values()]
    said = {type(meaning.data if isinstance(meaning, Event) else meaning) for meaning in meanings}
    assert {*VERSIONS, *KINDS, *get_args(Outcome), *get_args(Mark), *get_args(Entry), Letter, Unknown} <= said


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}")
def test_every_field_is_said_in_a_sample(kind: type[msgspec.Struct]) -> None:
    meanings = [sample.meaning for sample in SAMPLES.values()]
    found = [each for each in [getattr(meaning, "data", meaning) for meaning in meanings] if type(each) is kind]
    silent = {
        field.name
        for field in fields(kind)
        if field.default is not msgspec.NODEFAULT
        and all(getattr(each, field.name) == field.default for each in found)
        and (kind.__name__, field.name) not in {("JournalHead", "version"), ("Notice", "state"), ("Notice", "done_time")}  # pending alone
    }
    assert silent == set(), "say the new field in a further sample"


def test_the_snapshot_is_of_these_schemas() -> None:
    before, now = msgspec.json.decode(FORMAT_SCHEMAS.read_bytes()), definitions(KINDS)
    assert breaks(before, now) == []
    assert before == now, WRITE


def test_a_changed_entry_of_a_journal_is_noticed() -> None:
    changed: dict[str, Any] = deepcopy(dict(definitions(KINDS)))
    changed["Point"]["prefixItems"].insert(1, {"type": "string"})  # an array: what is put in shifts what follows
    changed["RunState"]["properties"].pop("producers")
    changed["Text"]["prefixItems"].append({"type": "string", "default": ""})
    lines = breaks(definitions(KINDS), changed)
    assert {line.partition(":")[0].partition(" ")[0].partition("[")[0] for line in lines} == {"Point", "RunState.producers"}


@pytest.mark.parametrize("name", [name for name in FILES if name != NAMES])
def test_fields_of_a_newer_version_change_nothing(name: str) -> None:
    data = (FORMATS / name).read_bytes()
    match Path(name).suffix:
        case ".record":
            head, _, value = data.partition(b"\n\n")
            data = b"\n\n".join((head, msgspec.json.encode(_newer(msgspec.json.decode(value)))))
        case ".json":
            data = msgspec.json.encode(_newer(msgspec.json.decode(data)))
        case _:
            data = msgspec.msgpack.encode([*msgspec.msgpack.decode(data), {"later": [1]}])
    meaning, read = SAMPLES[name].meaning, SAMPLES[name].read(data)
    kept = isinstance(meaning, Letter) or (isinstance(meaning, Event) and isinstance(meaning.data, Unknown))
    if kept:  # they hold the bytes themselves
        assert b"aFieldOfLater" in msgspec.json.encode(read) or b"aFieldOfLater" in read.value
    else:
        assert read == meaning


def _newer(value: object, key: str = "") -> object:
    match value:
        case dict() if key not in FREE:
            return {**{name: _newer(each, name) for name, each in value.items()}, "aFieldOfLater": {"a": [1, None]}}
        case list():
            return [_newer(each, key) for each in value]
        case _:
            return value


def test_a_header_of_a_newer_version_changes_nothing() -> None:
    name = "event-AmlRunEvent-1.record"
    record = record_of((FORMATS / name).read_bytes())
    later = replace(record, headers=(("ce_later", b"\xff"), *record.headers, ("traceparent", b"00-1-1-01")))
    assert from_record(later) == SAMPLES[name].meaning


def test_the_fold_goes_on_from_a_state_that_was_stored() -> None:
    name = "run-state-1.json"
    state = SAMPLES[name].read((FORMATS / name).read_bytes())
    assert fold(state, REPORTED).state is state  # the stored state has seen it
    heard = replace(event_of(SAMPLES["event-AmlRunHeartbeatEvent-1.record"].meaning.data), sequence=8, time=TIME + timedelta(seconds=5))
    folded = fold(state, heard)
    assert folded.transition is not None
    assert (folded.state.status, folded.state.revision, folded.transition.correction) == (Status.RUNNING, STATE.revision + 1, True)


def test_names_are_the_same_for_ever() -> None:
    assert msgspec.json.decode((FORMATS / NAMES).read_bytes()) == names()


def test_workers_and_producers_find_the_same_partition() -> None:
    keys = [f"run-{number}".encode() for number in range(12)]
    choose = DefaultPartitioner()
    assert [choose(key, list(range(8)), list(range(8))) for key in keys] == names()["partitions of keys in Kafka, of 8"]


def test_a_journal_of_an_earlier_version_is_read_and_sent(tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path / "run~producer")
    shutil.copytree(FORMATS / JOURNAL, folder.path)
    entries = list(enumerate([*ENTRIES.values(), *ENTRIES.values()]))
    assert folder.head() == HEAD
    assert folder.acknowledged() == ACKNOWLEDGED
    reader = JournalReader(folder)
    assert [(ordinal, decode_entry(payload)) for ordinal, payload in reader.read(100)] == entries
    assert reader.damaged == []

    queue = SendQueue.adopt(folder)
    events = [each for _ in entries for each in _sent(queue)]
    assert sum(getattr(event.data, "records", 1) for event in events) == len(entries) - ACKNOWLEDGED
    assert {event.sequence for event in events} >= {ACKNOWLEDGED}
    assert (queue.behind, queue.rejected, queue.damaged) == (0, 0, 0)
    queue.finish()
    assert not folder.path.exists()


def _sent(queue: SendQueue) -> list[Event]:
    events = list(queue.pending())
    if events:
        queue.acknowledge([])
    return events


def test_a_journal_is_written_as_its_files_are(tmp_path: Path) -> None:
    written = write_journal(tmp_path)
    assert {path.name: path.read_bytes() for path in written.iterdir()} == {
        path.name: path.read_bytes() for path in (FORMATS / JOURNAL).iterdir()
    }, "keep the folder, and add a sample of the present journal with the next number"


def test_a_record_of_a_newer_journal_is_put_aside_and_stops_nothing(tmp_path: Path) -> None:
    folder = JournalFolder(write_journal(tmp_path))
    (first, path) = folder.segments()[-1]
    path.write_bytes(frame(first, msgspec.msgpack.encode([9, "of", "later"])) + frame(first + 1, encode_entry(ENTRIES["said"])))
    queue = SendQueue.adopt(folder)
    events = [each for _ in range(10) for each in _sent(queue)]
    assert max(event.sequence for event in events) == first + 1
    assert folder.keeps_unsent


@pytest.mark.parametrize("name", [LOG, *FORMER_LOGS])
def test_a_log_of_an_earlier_version_is_read_and_goes_on(tmp_path: Path, name: str) -> None:
    (tmp_path / FILE).write_bytes(gzip.decompress((FORMATS / name).read_bytes()))
    with closing(EmbeddedLog(tmp_path, partitions=1)) as log:  # the number of partitions is the file's
        assert log.committed(GROUP, [EVENTS]) == COMMITTED
        found = [*records_of(log, EVENTS), *records_of(log, STATUS)]
        assert sorted((each.key or b"", each.value, each.headers) for each in found) == sorted(
            (each.key or b"", each.value, each.headers) for each in LOGGED
        )
        ends = log.end_offsets([EVENTS])
        assert len(ends) == 3
        places = {each.key: each.topic_partition for each in found if each.topic == EVENTS}
        for record in LOGGED[:8]:  # what follows of a run comes behind what was there of it
            (position,) = log.append([record])
            at = TopicPartition(EVENTS, position.partition)
            assert (at, position.offset) == (places[record.key], ends[at])
            ends[at] += 1


def test_a_log_is_written_as_its_file_is(tmp_path: Path) -> None:
    (tmp_path / "golden.sqlite").write_bytes(gzip.decompress((FORMATS / LOG).read_bytes()))
    another = "raise VERSION in embedded_schema, keep this file as a former one, and add one of the present"
    assert dump(write_log(tmp_path / "log")) == dump(tmp_path / "golden.sqlite"), another


def test_a_log_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = write_log(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
        connection.execute("DROP TABLE committed")
    with pytest.raises(LogUnusable, match=r"version 2, this program reads up to 1.*newer version"):
        EmbeddedLog(tmp_path)
    assert dump(path)[0] == "PRAGMA user_version = 2;"
    assert "committed" not in "".join(dump(path))
