"""The journal: records outlive the process, and a bad disk stops nobody."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runherald.errors import InvalidInput
from runherald.producers.journal import journal as journal_module
from runherald.producers.journal.folder import JournalFolder, JournalHead, journal_folders
from runherald.producers.journal.frames import Frame, frame, scan
from runherald.producers.journal.journal import Journal
from runherald.producers.journal.reader import CHUNK, JournalReader
from runherald.producers.shipping.send_queue import SendQueue

HEAD = JournalHead(workspace="default", run_id="run-1", producer="p", destination="http://here:1")


class HeldClock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def filled(home: Path, count: int, *, size: int = 10, segment_bytes: int = 1_000_000) -> Journal:
    journal = Journal(home, HEAD, segment_bytes=segment_bytes)
    for number in range(count):
        journal.append(b"%06d" % number + b"x" * size)
    return journal


def append(journal: Journal, *payloads: bytes) -> None:
    for payload in payloads:
        journal.append(payload)


def read_all(journal: Journal, start: int = 0, step: int = 7) -> list[int]:
    reader = JournalReader(journal.folder, start)
    found: list[int] = []
    while records := reader.read(step) or reader.release(step):
        found += [ordinal for ordinal, _ in records]
    assert reader.damaged == []
    return found


def test_records_are_read_while_the_journal_is_written(tmp_path: Path) -> None:
    journal = filled(tmp_path, 3)
    reader = JournalReader(journal.folder)
    assert [ordinal for ordinal, _ in reader.read(10)] == [0, 1, 2]
    assert reader.read(10) == []
    journal.append(b"more")
    assert reader.read(10) == [(3, b"more")]
    journal.close()


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of what is written from now on."""
    lengths: list[int] = []
    real = os.write

    def counted(descriptor: int, data: bytes) -> int:
        lengths.append(len(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", counted)
    return lengths


def test_one_write_a_record(tmp_path: Path, writes: list[int]) -> None:
    journal = Journal(tmp_path, HEAD)
    writes.clear()  # the journal's head
    journal.append(b"a" * 100_000)
    assert len(writes) == 1
    journal.close()


def interrupt(monkeypatch: pytest.MonkeyPatch, payload: bytes, handler: Callable[[], None]) -> None:
    """Let a handler of signals run when a record has its number and is not written yet."""

    def framed(ordinal: int, content: bytes) -> bytes:
        if content == payload:
            handler()
        return frame(ordinal, content)

    monkeypatch.setattr(journal_module, "frame", framed)


@pytest.mark.parametrize("segment_bytes", [1_000_000, 20])
def test_records_of_a_handler_that_interrupts_another_come_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment_bytes: int
) -> None:
    journal = filled(tmp_path, 2, segment_bytes=segment_bytes)
    interrupt(monkeypatch, b"2", lambda: append(journal, b"3", b"4"))
    journal.append(b"2")
    journal.append(b"5")
    assert read_all(journal, step=2) == [0, 1, 2, 3, 4, 5]
    queue = SendQueue(HEAD, journal.folder, journal=journal)
    assert [queue._read(4), queue._read(4)] == [
        [(0, b"000000xxxxxxxxxx"), (1, b"000001xxxxxxxxxx"), (2, b"2"), (3, b"3")],
        [(4, b"4"), (5, b"5")],
    ]
    journal.close()


def test_a_record_that_is_interrupted_is_waited_for_while_its_owner_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = filled(tmp_path, 1)
    reader = JournalReader(journal.folder)
    seen: list[list[int]] = []

    def handler() -> None:
        journal.append(b"early")
        seen.append([ordinal for ordinal, _ in reader.read(10)])

    interrupt(monkeypatch, b"late", handler)
    journal.append(b"late")
    assert seen == [[0]]
    assert reader.read(10) == [(1, b"late"), (2, b"early")]
    assert not reader.waits
    journal.close()


def test_what_a_handler_logged_before_it_ended_the_process_is_sent_without_what_it_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = filled(tmp_path, 1)

    def handler() -> None:
        for _ in range(5):
            journal.append(b"last words")
        raise SystemExit  # as os._exit would: the interrupted record is never written

    interrupt(monkeypatch, b"never", handler)
    with pytest.raises(SystemExit):
        journal.append(b"never")
    journal.close()
    queue = SendQueue.adopt(journal.folder)
    reads = [[ordinal for ordinal, _ in queue._read(limit)] for limit in (100, 3, 3, 3)]
    assert reads == [[0], [2, 3, 4], [5, 6], []]
    queue.finish()


def test_a_record_that_the_disk_did_not_take_comes_before_those_that_interrupted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, HEAD, monotonic=HeldClock())
    queue = SendQueue(HEAD, journal.folder, journal=journal)

    def handler() -> None:
        journal.append(b"inner")
        monkeypatch.setattr(os, "write", full)

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    interrupt(monkeypatch, b"outer", handler)
    journal.append(b"outer")
    monkeypatch.undo()
    journal.append(b"in memory too")
    assert queue._read(2) == [(0, b"outer"), (1, b"inner")]
    queue._read_to = 2
    assert queue._read(2) == [(2, b"in memory too")]
    journal.close()


def test_segments_follow_each_other_and_go_when_acknowledged(tmp_path: Path) -> None:
    journal = filled(tmp_path, 100, segment_bytes=500)
    segments = journal.folder.segments()
    assert len(segments) > 5
    assert read_all(journal) == list(range(100))
    assert read_all(journal, start=42) == list(range(42, 100))
    journal.folder.acknowledge(60)
    left = journal.folder.segments()
    assert left[0][0] <= 60 < left[1][0]
    assert read_all(journal, start=60) == list(range(60, 100))
    journal.close()


def test_a_reader_whose_segment_was_dropped_goes_on_with_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD, segment_bytes=200)
    reader = JournalReader(journal.folder)
    read: list[int] = []
    for number in range(60):
        journal.append(b"%040d" % number)
        read += [ordinal for ordinal, _ in reader.read(10)]
        journal.folder.acknowledge(number + 1)
    assert read == list(range(60))
    journal.close()


def test_records_larger_than_a_chunk_are_whole(tmp_path: Path) -> None:
    journal = filled(tmp_path, 5, size=3 * CHUNK)
    assert read_all(journal) == [0, 1, 2, 3, 4]
    journal.close()


def test_a_torn_tail_is_no_record_and_no_damage(tmp_path: Path) -> None:
    journal = filled(tmp_path, 5)
    journal.close()
    path = journal.folder.segment(0)
    path.write_bytes(path.read_bytes()[:-3])
    queue = SendQueue.adopt(journal.folder)
    assert queue.pending() == []
    assert queue.damaged == 0
    queue.finish()


def test_what_is_torn_off_before_a_later_segment_is_damage(tmp_path: Path) -> None:
    journal = filled(tmp_path, 50, segment_bytes=400)
    journal.close()
    _, path = journal.folder.segments()[1]
    path.write_bytes(path.read_bytes()[:-3])
    reader = JournalReader(journal.folder)
    assert len(reader.read(1_000)) == 49
    assert [stretch.segment for stretch in reader.damaged] == [path]


def test_damage_in_the_middle_is_kept_aside_and_the_rest_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = filled(tmp_path, 50, segment_bytes=400)
    journal.close()
    _, path = journal.folder.segments()[2]
    content = bytearray(path.read_bytes())
    content[45] ^= 0xFF
    path.write_bytes(content)
    reader = JournalReader(journal.folder)
    found = [ordinal for ordinal, _ in reader.read(1_000)]
    assert len(found) == 49
    assert len(reader.damaged) == 1

    with caplog.at_level(logging.WARNING):
        queue = SendQueue.adopt(journal.folder)
        while queue.pending():
            queue.acknowledge([])
        queue.finish()
    assert queue.damaged == 1
    assert "journal_damaged" in caplog.text
    kept = list(journal.folder.path.glob("damaged-*"))
    assert len(kept) == 1
    assert kept[0].read_bytes() in content
    assert list(journal_folders(tmp_path)) == []


def test_a_live_owner_keeps_others_away_and_a_dead_one_does_not(tmp_path: Path) -> None:
    journal = filled(tmp_path, 1)
    with pytest.raises(BlockingIOError):
        SendQueue.adopt(journal.folder)
    journal.close()
    SendQueue.adopt(journal.folder).finish()


def test_where_it_was_acknowledged_to_is_kept(tmp_path: Path) -> None:
    journal = filled(tmp_path, 9)
    journal.folder.acknowledge(4)
    journal.close()
    queue = SendQueue.adopt(journal.folder)
    assert queue.acknowledged == 4
    queue.finish()
    assert JournalFolder(journal.folder.path).acknowledged() == 4


@pytest.mark.parametrize("said", [b"", b"-1", b"\xff", b"12x", b"9" * 40])
def test_a_broken_acknowledgement_means_from_the_beginning(tmp_path: Path, said: bytes) -> None:
    journal = filled(tmp_path, 1)
    (journal.folder.path / "acknowledged").write_bytes(said)
    assert journal.folder.acknowledged() == 0
    journal.close()


@pytest.mark.parametrize(("content", "reason"), [(b"{", "no head"), (b'{"run_id":"r"}', "no head"), (None, "newer")])
def test_a_head_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    journal = filled(tmp_path, 1)
    journal.close()
    path = journal.folder.path / "journal.json"
    path.write_bytes(content or path.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(InvalidInput, match=reason) as caught:
        SendQueue.adopt(journal.folder)
    assert str(path) in str(caught.value)


def test_a_full_disk_keeps_records_in_memory_until_it_takes_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HeldClock()
    journal = Journal(tmp_path, HEAD, monotonic=clock)
    queue = SendQueue(HEAD, journal.folder, journal=journal)
    journal.append(b"0")
    real = os.write

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with caplog.at_level(logging.WARNING):
        journal.append(b"1")
        journal.append(b"2")
    assert caplog.text.count("No space left") == 1
    assert "No space left" in journal.problem
    assert [ordinal for ordinal, _ in queue._read(10)] == [0, 1, 2]

    monkeypatch.setattr(os, "write", real)
    journal.append(b"3")  # still behind those in memory
    assert [ordinal for ordinal, _ in journal.backlog(0)] == [1, 2, 3]
    clock.now += 10
    journal.append(b"4")
    assert journal.problem == ""
    assert journal.backlog(0) == []
    assert read_all(journal) == [0, 1, 2, 3, 4], "no record is in danger any more"
    queue._read_to = 3
    assert [ordinal for ordinal, _ in queue._read(10)] == [3, 4], "what was sent from memory is not sent from the disk"
    journal.close()


def test_a_disk_that_fills_again_while_it_takes_what_was_in_memory_keeps_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HeldClock()
    journal = Journal(tmp_path, HEAD, monotonic=clock)
    real, room = os.write, [0]

    def small(descriptor: int, data: bytes) -> int:
        taken, room[0] = min(room[0], len(data)), max(0, room[0] - len(data))
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:taken])

    monkeypatch.setattr(os, "write", small)
    append(journal, *[b"%d" % number for number in range(4)])
    for room[0], kept in ((30, [1, 2, 3, 4]), (15, [1, 2, 3, 4, 5]), (1_000, [])):
        clock.now += 10
        journal.append(b"more")
        assert [ordinal for ordinal, _ in journal.backlog(0)] == kept
    assert read_all(journal) == list(range(7))
    journal.close()


def test_a_write_that_was_cut_short_leaves_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HeldClock()
    journal = Journal(tmp_path, HEAD, monotonic=clock)
    journal.append(b"0")
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    journal.append(b"cut")
    monkeypatch.setattr(os, "write", real)
    assert journal.backlog(0) == [(1, b"cut")]
    journal.forget(2)
    clock.now += 10
    journal.append(b"2")
    assert read_all(journal) == [0, 2]
    journal.close()


def test_many_records_of_one_call_are_as_those_of_many(tmp_path: Path, writes: list[int]) -> None:
    journal = Journal(tmp_path, HEAD, segment_bytes=40_000)
    writes.clear()
    journal.append(b"first")
    journal.extend(b"%d" % number for number in range(5_000))
    journal.extend([])
    journal.append(b"last")
    assert len(writes) == 1 + 3 + 1
    assert journal.next_ordinal == 5_002
    segments = [path for _, path in journal.folder.segments()]
    assert len(segments) == 3
    found = [frame.payload for path in segments for frame in scan(path.read_bytes()) if isinstance(frame, Frame)]
    assert found == [b"first", *(b"%d" % number for number in range(5_000)), b"last"]
    assert read_all(journal) == list(range(5_002))
    journal.close()


@pytest.mark.parametrize("cut", [0, 7, 100], ids=["not taken", "within the first", "within a later one"])
def test_of_many_records_that_the_disk_does_not_take_whole_none_is_twice_and_none_lost(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HeldClock()
    journal = Journal(tmp_path, HEAD, monotonic=clock)
    journal.append(b"0")
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if not cut:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:cut])

    monkeypatch.setattr(os, "write", write)
    journal.extend(b"%d" % number for number in range(1, 11))
    journal.extend([b"11", b"12"])  # the disk is not tried again so soon
    monkeypatch.setattr(os, "write", real)
    assert journal.backlog(0) == [(number, b"%d" % number) for number in range(1, 13)]
    clock.now += 10
    journal.extend([b"13"])
    assert read_all(journal) == list(range(14))
    assert not journal.backlog(0)
    journal.close()


@pytest.mark.parametrize("sent", [0, 2])
def test_the_first_record_that_a_new_segment_takes_after_a_fault_is_read(tmp_path: Path, sent: int) -> None:
    clock = HeldClock()
    home = tmp_path / "home"
    home.write_text("in the way")
    journal = Journal(home, HEAD, monotonic=clock)
    queue = SendQueue(HEAD, journal.folder, journal=journal)
    append(journal, *[b"%d" % number for number in range(sent)])
    assert [ordinal for ordinal, _ in queue._read(10)] == list(range(sent))
    queue._read_to = sent
    journal.forget(sent)  # the server has them: there is nothing in memory when the disk is back
    home.unlink()
    clock.now += 10
    append(journal, b"first", b"second")
    assert journal.on_disk
    assert queue._read(10) == [(sent, b"first"), (sent + 1, b"second")]
    assert read_all(journal, sent) == [sent, sent + 1], "whoever adopts the journal reads it, too"
    journal.close()


def test_what_is_logged_after_the_journal_was_let_go_is_read(tmp_path: Path) -> None:
    journal = filled(tmp_path, 2)
    journal.close()
    journal.folder.discard()
    append(journal, b"2", b"3")
    assert read_all(journal, 2) == [2, 3]
    journal.close()


def test_a_script_that_closes_all_that_is_open_is_told_nothing_and_loses_nothing(tmp_path: Path) -> None:
    clock = HeldClock()
    journal = Journal(tmp_path, HEAD, monotonic=clock)
    journal.append(b"0")
    assert journal._owner is not None
    os.close(journal._descriptor)
    os.close(journal._owner._descriptor)
    journal.append(b"1")
    clock.now += 10
    journal.append(b"2")
    assert read_all(journal) == [0, 1, 2]
    os.close(journal._descriptor)
    journal.close()


def test_without_a_home_all_stays_in_memory_and_what_does_not_fit_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = tmp_path / "file"
    home.write_text("in the way")
    with caplog.at_level(logging.WARNING):
        journal = Journal(home, HEAD, backlog_bytes=10, monotonic=HeldClock())
        for _ in range(5):
            journal.append(b"four")
    assert str(journal.folder.path) in journal.problem
    assert [ordinal for ordinal, _ in journal.backlog(0)] == [0, 1]
    assert journal.lost == 3
    assert journal.next_ordinal == 5
    assert caplog.text.count("journal_full") == 1
    journal.close()
