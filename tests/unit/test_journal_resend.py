"""A journal that is sent twice, in other batches, adds nothing to history: a point, text, row or line is known by what it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from runherald.events import AmlRunLogEvent, Event
from runherald.producers.journal.entries import Entry, Lines, Logged, Point, Text, encode_entry
from runherald.producers.journal.folder import JournalHead
from runherald.producers.shipping.batching import to_events
from runherald.records import Record
from runherald.streams.metrics import MetricProjection
from runherald.wire import decode_cloud_event, encode_batch, split_batch

HEAD = JournalHead(workspace="default", run_id="run-1", producer="p")
TIME = 1_700_000_000_000_000


def entry(kind: str, number: int) -> Entry:
    time = TIME + number
    match kind:
        case "point":
            return Point("loss", number, time, number / 2)
        case "text":
            return Text("words", number, time, "the same")
        case "row":
            return Logged("rows", number, time, "row", {"a": 1})
        case _:
            return Lines("logs/out.txt", "stdout", number, time, ("the same",))


def sent(records: Sequence[tuple[int, bytes]], cuts: Iterable[int]) -> list[Event]:
    """Return what arrives at the server of records that are read in pieces."""
    events: list[Event] = []
    start = 0
    for cut in [*sorted(set(cuts)), len(records)]:
        events += to_events(records[start:cut], HEAD).events if cut > start else []
        start = max(start, cut)
    return [decode_cloud_event(one) for one in split_batch(encode_batch(events))]


def keys(events: Iterable[Event]) -> list[object]:
    """Return the keys of all rows that history makes of events: what two rows have in common that are one."""
    projection = MetricProjection()
    found: list[object] = []
    for event in events:
        if isinstance(event.data, AmlRunLogEvent):
            found += [(event.data.file, event.producer, event.data.stream, line.number) for line in event.data.lines]
        else:
            projection.add(Record("runherald.metrics", 0, 7, 0, b"run-1", b""), event)
    for table in projection.drain():
        columns = {name: list(column) for name, column in table.columns.items() if not name.startswith("_")}
        found += [(table.table, *row) for row in zip(*columns.values(), strict=True)]
    return found


@given(
    st.lists(st.sampled_from(["point", "text", "row", "line"]), min_size=1, max_size=30),
    st.lists(st.integers(0, 30), max_size=6),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_however_a_journal_is_cut_into_batches_history_has_the_same_rows(kinds: list[str], first: list[int], second: list[int]) -> None:
    records = [(ordinal, encode_entry(entry(kind, ordinal))) for ordinal, kind in enumerate(kinds)]
    once, again = (keys(sent(records, [cut for cut in cuts if cut < len(records)])) for cuts in (first, second))
    assert len(set(once)) == len(kinds) + ("point" in kinds)
    assert set(again) == set(once)
