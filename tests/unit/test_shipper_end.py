"""How shipping ends: with the process, with a server that hangs, and at journals of other users."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from runherald.events import AmlRunEvent, Event
from runherald.producers.journal.folder import JournalFolder, JournalHead
from runherald.producers.recorder import Recorder
from runherald.producers.shipping.shipper import HELD_UP_SECONDS
from runherald.producers.shipping.sync import sync
from runherald.producers.shipping.transport import Sent
from runherald.validation import check_event
from tests.unit.test_shipper import Bench, ScriptedTransport, metric


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_is_in_memory_goes_to_the_disk_when_the_process_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = bench.recorder()
    recorder.log("loss", 0.0)
    with monkeypatch.context() as full:
        full.setattr(os, "write", no_space)
        for number in range(1, 4):
            recorder.log("loss", float(number))
    bench.shipper.stop()
    shipped = ScriptedTransport()
    assert sync(bench.home, shipped).complete
    assert [value for event in shipped.events for value in metric(event).values] == [0.0, 1.0, 2.0, 3.0]


def test_what_neither_server_nor_disk_took_is_said_at_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = bench.recorder()
    monkeypatch.setattr(os, "write", no_space)
    for number in range(3):
        recorder.log("loss", float(number))
    with caplog.at_level(logging.ERROR):
        bench.shipper.stop()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "records_lost run=run-1 count=3: neither the server nor the disk took them"
    ]


def no_space(_descriptor: int, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_server_that_keeps_an_attempt_waiting_is_not_waited_for_at_the_end(tmp_path: Path) -> None:
    class Hanging(ScriptedTransport):
        def send(self, events: Sequence[Event]) -> Sent:
            began.set()
            assert let_go.wait(30)
            return super().send(events)

    began, let_go = threading.Event(), threading.Event()
    bench = Bench(tmp_path)
    bench.shipper._transport = Hanging()
    recorder = bench.recorder()
    recorder.log("loss", 1.0)
    bench.shipper.hurry()
    assert began.wait(30)
    bench.clock.now += HELD_UP_SECONDS  # stands still from here on: whoever waited, would wait without end
    assert not bench.shipper.flush(recorder.queue, 10, give_up=True)
    assert bench.shipper.drain(10) == 1
    let_go.set()
    assert bench.shipper.flush(recorder.queue, 10)
    bench.shipper.stop()


def test_a_journal_whose_owner_sends_the_last_of_it_just_now_is_nobodys_trouble(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def vanish(folder: JournalFolder) -> JournalHead:
        shutil.rmtree(folder.path)
        return head(folder)

    head = JournalFolder.head
    monkeypatch.setattr(JournalFolder, "head", vanish)
    bench.dead("run-1", producer="dead")
    bench.shipper.step()
    bench.dead("run-2", producer="dead")
    assert sync(bench.home, bench.transport).journals == []
    assert caplog.records == []


def test_what_is_left_of_a_journal_whose_owner_died_removing_it_is_removed(bench: Bench) -> None:
    bench.dead("run-1", producer="dead")
    (bench.home / "journals" / "run-1~dead" / f"{0:020d}.seg").unlink()
    bench.shipper.step()
    bench.shipper.step()
    assert list((bench.home / "journals").iterdir()) == []


def test_journals_that_may_not_be_looked_into_are_named_by_sync_and_left_by_others(caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        bench = Bench(Path(folder) / "home")
        bench.dead("run-1", producer="dead")
        (bench.home / "journals" / "run-1~dead").chmod(0)
        with as_nobody(), caplog.at_level(logging.WARNING):
            bench.shipper.step()
            (one,) = sync(bench.home, bench.transport).journals
        (bench.home / "journals" / "run-1~dead").chmod(0o700)
    assert one.state == "unreadable"
    assert "Permission denied" in one.reason
    assert caplog.records == []
    assert bench.transport.events == []


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user whom file modes bind."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(0)


def test_no_clock_spoils_what_is_sent(bench: Bench) -> None:
    readings = iter([1_700_000_000_000_000, 1_699_000_000_000_000, 0, -5, 10**17, 4_200_000_000_000_000, 1_700_000_000_000_900])
    journal = bench.recorder().journal
    recorder = Recorder(journal, bench.shipper._live[0], {}, micros=lambda: next(readings))
    for number in range(5):
        recorder.log("loss", float(number))
    recorder.say(AmlRunEvent(operation="Updated"))
    recorder.log("loss", 5.0)
    bench.shipper.step()
    for event in bench.transport.events:
        check_event(event)
    times = [time for event in bench.transport.events if event.type == "AmlRunMetricEvent" for time in metric(event).times]
    assert times == sorted(set(times))
    assert times[-1] == 1_700_000_000_000_900
