"""The shipper: what the journal holds arrives, in order and under the same ids, whatever the transport does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from runherald.api import Rejected
from runherald.errors import RunheraldError, Unreachable
from runherald.events import AmlRunEvent, AmlRunHeartbeatEvent, AmlRunMetricEvent, Event
from runherald.producers.journal.folder import JournalHead, journal_folders
from runherald.producers.journal.journal import Journal
from runherald.producers.recorder import Recorder
from runherald.producers.shipping.send_queue import SendQueue
from runherald.producers.shipping.shipper import BACKOFF_CAP_SECONDS, LINGER_SECONDS, Shipper
from runherald.producers.shipping.sync import sync
from runherald.producers.shipping.transport import Sent
from runherald.records import Position


class HeldClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class ScriptedTransport:
    """Takes events, or does what the next step of its script says."""

    def __init__(self, *script: RunheraldError | Sent) -> None:
        self.script = list(script)
        self.batches: list[list[Event]] = []
        self.closed = False

    def send(self, events: Sequence[Event]) -> Sent:
        step = self.script.pop(0) if self.script else Sent()
        if isinstance(step, RunheraldError):
            raise step
        self.batches.append(list(events))
        return step

    def close(self) -> None:
        self.closed = True

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]


class Bench:
    """A home, a transport, a held clock, and runs that record."""

    def __init__(self, home: Path, *script: RunheraldError | Sent) -> None:
        self.home = home
        self.clock = HeldClock()
        self.transport = ScriptedTransport(*script)
        self.saw: list[Position] = []
        self.shipper = Shipper(self.transport, home=home, destination="here", saw=self.saw.extend, monotonic=self.clock, jitter=lambda: 1.0)

    def recorder(self, run_id: str = "run-1", *, producer: str = "p", destination: str = "here", lease_seconds: float = 0.0) -> Recorder:
        head = JournalHead(workspace="default", run_id=run_id, producer=producer, destination=destination)
        journal = Journal(self.home, head)
        queue = SendQueue(head, journal.folder, journal=journal)
        recorder = Recorder(journal, queue, {}, lease_seconds=lease_seconds)
        self.shipper._live.append(queue)  # without the thread
        return recorder

    def dead(self, run_id: str, *, producer: str, destination: str = "here", points: int = 3) -> None:
        """Leave the journal of a process that died."""
        journal = Journal(self.home, JournalHead(workspace="default", run_id=run_id, producer=producer, destination=destination))
        recorder = Recorder(journal, SendQueue(journal.head, journal.folder, journal=journal), {})
        for step in range(points):
            recorder.log("loss", float(step))
        journal.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def metric(event: Event) -> AmlRunMetricEvent:
    assert isinstance(event.data, AmlRunMetricEvent)
    return event.data


def test_points_that_follow_each_other_are_one_event_and_events_stay_alone(bench: Bench) -> None:
    recorder = bench.recorder()
    recorder.say(AmlRunEvent(operation="Created"))
    for number in range(5):
        recorder.log("loss", number / 2)
    recorder.say(AmlRunEvent(operation="Updated", description="d"))
    recorder.log("note", "text")
    assert bench.shipper.step() == LINGER_SECONDS
    assert [(event.type, event.sequence) for event in bench.transport.events] == [
        ("AmlRunEvent", 0),
        ("AmlRunMetricEvent", 1),
        ("AmlRunEvent", 6),
        ("AmlRunMetricEvent", 7),
    ]
    assert metric(bench.transport.events[1]).records == 5
    assert metric(bench.transport.events[1]).values == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert metric(bench.transport.events[1]).steps == [0, 1, 2, 3, 4]
    assert recorder.queue.behind == 0


def test_at_most_a_thousand_points_an_event_and_the_next_at_once(bench: Bench) -> None:
    recorder = bench.recorder()
    for number in range(2_500):
        recorder.log("loss", float(number))
    delays = [bench.shipper.step() for _ in range(3)]
    assert [metric(event).records for event in bench.transport.events] == [1_000, 1_000, 500]
    assert delays[0] == 0.0


def test_the_sequences_leave_no_gap(bench: Bench) -> None:
    recorder = bench.recorder()
    for number in range(30):
        recorder.log(f"m{number % 3}", float(number))
        if number % 7 == 0:
            recorder.say(AmlRunEvent(operation="Updated", display_name=str(number)))
            bench.shipper.step()
    bench.shipper.step()
    following = 0
    for event in bench.transport.events:
        assert event.sequence == following
        following += metric(event).records if isinstance(event.data, AmlRunMetricEvent) else 1
    assert following == recorder.journal.next_ordinal


def test_a_fault_is_waited_out_longer_each_time_and_the_same_events_are_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, *[Unreachable("away")] * 8)
    recorder = bench.recorder()
    recorder.log("loss", 1.0)
    waits = []
    with caplog.at_level(logging.WARNING):
        for _ in range(8):
            wait = bench.shipper.step()
            assert wait is not None
            waits.append(wait)
            assert bench.shipper.step() == wait, "nothing is sent before it is time"
            bench.clock.now += wait
    assert waits == [0.5, 1, 2, 4, 8, 16, BACKOFF_CAP_SECONDS, BACKOFF_CAP_SECONDS]
    assert caplog.text.count("shipper_waits") == 1
    recorder.log("loss", 2.0)
    bench.shipper.step()
    bench.shipper.step()
    assert [event.sequence for event in bench.transport.events] == [0, 1]
    assert bench.shipper.last_error is None


def test_what_is_urgent_does_not_wait_for_the_back_off(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Unreachable("away"))
    bench.recorder().log("loss", 1.0)
    bench.shipper.step()
    bench.shipper.step(urgent=True)
    assert len(bench.transport.events) == 1


def test_a_resend_by_another_process_has_the_same_ids(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    recorder = bench.recorder()
    recorder.say(AmlRunEvent(operation="Created"))
    recorder.log("loss", 1.0)
    recorder.say(AmlRunEvent(operation="Updated", description="d"))
    sent = ScriptedTransport()
    sent.send(recorder.queue.pending())
    recorder.journal.close()  # killed before the acknowledgement
    again = ScriptedTransport()
    report = sync(tmp_path, again)
    assert [event.id for event in again.events] == [event.id for event in sent.events]
    assert again.events == sent.events
    assert report.complete


def test_refused_events_are_kept_with_the_reason_and_the_rest_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path, Sent(rejected=[Rejected(index=1, field="data.tags", reason="too many")]))
    first, second = bench.recorder("run-1"), bench.recorder("run-2", producer="q")
    first.say(AmlRunEvent(operation="Created"))
    second.say(AmlRunEvent(operation="Created"))
    with caplog.at_level(logging.WARNING):
        bench.shipper.step()
    assert (first.queue.rejected, second.queue.rejected) == (0, 1)
    assert second.queue.behind == 0
    line = msgspec.json.decode((second.journal.folder.path / "rejected.jsonl").read_bytes().strip())
    assert line["reason"] == "too many"
    assert line["event"]["subject"] == "run-2"
    assert "too many" in caplog.text
    second.close()
    bench.shipper.step()
    assert (second.journal.folder.path / "rejected.jsonl").exists(), "outlives the journal"


def test_positions_and_requests_to_cancel_reach_who_asks(tmp_path: Path) -> None:
    position = Position("runherald.events", 3, 17)
    bench = Bench(tmp_path, Sent(positions=[position], cancel_requested=["run-2"]))
    first, second = bench.recorder("run-1"), bench.recorder("run-2", producer="q")
    first.log("loss", 1.0)
    bench.shipper.step()
    assert bench.saw == [position]
    assert (first.queue.cancel_requested, second.queue.cancel_requested) == (False, True)


def test_a_closed_journal_goes_when_all_is_acknowledged(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Unreachable("away"))
    recorder = bench.recorder()
    recorder.log("loss", 1.0)
    recorder.close()
    bench.shipper.step()
    assert recorder.journal.folder.path.exists()
    bench.shipper.step(urgent=True)
    bench.shipper.step()
    assert not recorder.journal.folder.path.exists()


def test_heartbeats_come_three_times_a_lease_and_one_at_most_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    recorder = bench.recorder(lease_seconds=60.0)

    def pass_time(seconds: int) -> None:
        for _ in range(seconds):
            bench.clock.now += 1
            bench.shipper.step(urgent=True)

    def beats() -> int:
        return sum(isinstance(event.data, AmlRunHeartbeatEvent) for event in bench.transport.events)

    bench.shipper.step()
    assert beats() == 1
    pass_time(60)
    assert beats() == 4
    bench.transport.script += [Unreachable("away")] * 1_000
    pass_time(90)
    assert recorder.journal.next_ordinal == 5, "one waits, not four"
    bench.transport.script.clear()
    pass_time(1)
    assert beats() == 5
    assert {event.data.lease_seconds for event in bench.transport.events if isinstance(event.data, AmlRunHeartbeatEvent)} == {60.0}


def test_journals_of_dead_processes_are_sent_behind_those_of_the_live(bench: Bench) -> None:
    bench.dead("run-dead", producer="d")
    live = bench.recorder("run-live", producer="l")
    for _ in range(3):
        live.log("loss", 1.0)
        bench.shipper.step()
    assert [event.run_id for event in bench.transport.events] == ["run-live", "run-live", "run-dead", "run-live"]
    assert [folder.path.name for folder in journal_folders(bench.home)] == ["run-live~l"]


def test_journals_meant_for_another_server_stay(bench: Bench) -> None:
    bench.dead("run-elsewhere", producer="e", destination="there")
    bench.recorder()
    for _ in range(3):
        bench.shipper.step()
    assert bench.transport.events == []
    assert len(list(bench.home.glob("journals/run-elsewhere~e/*.seg"))) == 1


def test_sync_sends_the_dead_leaves_the_live_and_says_which(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.dead("run-a", producer="a", points=1_500)
    bench.dead("run-b", producer="b", destination="there")
    live = bench.recorder("run-live", producer="l")
    live.log("loss", 1.0)
    broken = tmp_path / "journals" / "x~y"
    broken.mkdir()
    (broken / "journal.json").write_text("{")
    (broken / "00000000000000000000.seg").write_bytes(b"")

    transport = ScriptedTransport()
    states = {one.path.name: one.state for one in sync(tmp_path, transport, destination="here").journals}
    assert states == {"run-a~a": "sent", "run-b~b": "elsewhere", "run-live~l": "held", "x~y": "unreadable"}
    assert sum(metric(event).records for event in transport.events) == 1_500
    assert not (tmp_path / "journals" / "run-a~a").exists()


def test_sync_without_a_server_keeps_everything(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.dead("run-a", producer="a")
    bench.dead("run-b", producer="b")
    report = sync(tmp_path, ScriptedTransport(Unreachable("away")))
    assert [(one.state, one.reason) for one in report.journals] == [("waiting", "away")] * 2
    assert not report.complete
    assert len(list(journal_folders(tmp_path))) == 2


def test_the_thread_delivers_and_flush_knows(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    threaded = Shipper(bench.transport)
    recorder = bench.recorder()
    threaded.add(recorder.queue)
    recorder.log("loss", 1.0)
    assert threaded.flush(recorder.queue, 10.0)
    assert len(bench.transport.events) == 1
    threaded.stop()
    assert bench.transport.closed


@pytest.mark.parametrize("broken", [Unreachable("away"), RunheraldError("a bug")])
def test_flush_gives_up_at_a_failed_attempt_when_told_so(tmp_path: Path, broken: RunheraldError) -> None:
    bench = Bench(tmp_path, *[broken] * 1_000)
    threaded = Shipper(bench.transport)
    recorder = bench.recorder()
    recorder.log("loss", 1.0)
    threaded.add(recorder.queue)
    assert not threaded.flush(recorder.queue, 30.0, give_up=True)
    assert threaded.last_error is broken
    threaded.stop()


def test_a_bug_in_the_transport_does_not_end_the_thread(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Buggy(ScriptedTransport):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def send(self, events: Sequence[Event]) -> Sent:
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError
            return super().send(events)

    transport = Buggy()
    threaded = Shipper(transport)
    recorder = Bench(tmp_path).recorder()
    recorder.log("loss", 1.0)
    threaded.add(recorder.queue)
    assert threaded.flush(recorder.queue, 10.0)
    assert "ZeroDivisionError" in caplog.text
    threaded.stop()


def test_an_unreadable_journal_is_left_alone_and_told_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.dead("run-dead", producer="d")
    (segment,) = bench.home.glob("journals/run-dead~d/*.seg")
    segment.unlink()
    segment.mkdir()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            bench.shipper.step()
    assert caplog.text.count("journal_unreadable") == 1
    assert len(list(journal_folders(bench.home))) == 1
