"""A live offline journal that another process sends: in order, once, while it grows, and to its end."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from runherald.errors import Unreachable
from runherald.producers.journal import journal as journal_module
from runherald.producers.journal.entries import Point, encode_entry
from runherald.producers.journal.folder import JournalHead
from runherald.producers.journal.frames import frame
from runherald.producers.journal.journal import Journal
from runherald.producers.shipping.send_queue import SendQueue
from runherald.producers.shipping.sync import JournalSynced, follow, sync
from tests.unit.test_shipper import ScriptedTransport, metric

HEAD = JournalHead(workspace="default", run_id="run-1", producer="p", destination="offline")
TIME = 1_700_000_000_000_000


def log(journal: Journal, count: int = 1) -> None:
    for _ in range(count):
        number = journal.next_ordinal
        journal.append(encode_entry(Point("loss", number, TIME + number, float(number))))


def sent(transport: ScriptedTransport) -> list[float]:
    return [value for event in transport.events for value in metric(event).values]


def test_what_is_appended_is_sent_over_segments_that_come_and_go_and_then_all_is_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD, segment_bytes=150)
    transport = ScriptedTransport()
    for _ in range(30):
        log(journal, 3)
        assert sync(tmp_path, transport, destination="there").complete
    assert sent(transport) == [float(number) for number in range(90)], "each once, in order"
    assert len(journal.folder.segments()) <= 2, "what was sent is dropped while the owner lives"
    log(journal)
    journal.close()
    assert [one.state for one in sync(tmp_path, transport, destination="there").journals] == ["sent"]
    assert sent(transport)[-1] == 90.0
    assert list((tmp_path / "journals").iterdir()) == []


def test_a_record_that_is_being_written_is_waited_for_and_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, HEAD)
    transport = ScriptedTransport()
    late = encode_entry(Point("loss", 0, TIME, 0.0))

    def framed(ordinal: int, payload: bytes) -> bytes:
        if payload == late and ordinal == 0:  # a signal's handler logs in the middle of it
            log(journal, 2)
            sync(tmp_path, transport)
        return frame(ordinal, payload)

    monkeypatch.setattr(journal_module, "frame", framed)
    journal.append(late)
    assert sent(transport) == []
    sync(tmp_path, transport)
    assert sent(transport) == [0.0, 1.0, 2.0]
    journal.close()


def test_one_process_sends_a_journal_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD)
    queue = SendQueue.follow(journal.folder)
    with pytest.raises(BlockingIOError):
        SendQueue.follow(journal.folder)
    queue.finish()
    SendQueue.follow(journal.folder).finish()
    journal.close()


def test_following_says_what_it_sent_and_waits_longer_while_nobody_answers(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD)
    log(journal, 2)
    transport = ScriptedTransport(*[Unreachable("away")] * 6)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 8:
            log(journal)
        if len(waits) == 9:
            journal.close()
        assert len(waits) < 30

    with closing(follow(tmp_path, transport, destination="there", sleep=wait)) as feed:
        told: list[JournalSynced] = []
        while not told or told[-1].state != "sent":
            told.append(next(feed))
    assert [(one.state, one.events) for one in told] == [("waiting", 0), ("live", 1), ("live", 1), ("sent", 0)], "a change, and no more"
    assert waits[:8] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 1.0, 1.0]
    assert sent(transport) == [0.0, 1.0, 2.0]
