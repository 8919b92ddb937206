"""What is said of a run whose process died, and when nothing is; heartbeats of runs that nobody sends; what resuming asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald import Experiment, Workspace
from runherald.errors import InvalidInput, Unreachable
from runherald.events import AmlRunStatusChangedEvent, Data
from runherald.producers.journal.entries import Point, encode_entry, said
from runherald.producers.journal.folder import JournalHead, JournalProcess
from runherald.producers.journal.frames import frame
from runherald.producers.journal.journal import Journal
from runherald.producers.recorder import Recorder, to_go_on
from runherald.producers.run.resume import wanted
from runherald.producers.shipping.lost_process import lost_process
from runherald.producers.shipping.offline import OfflineShipper
from runherald.producers.shipping.send_queue import SendQueue
from runherald.status import Cause, Status
from tests.unit.test_journal import HeldClock

TIME = 1_700_000_000_000_000
PROCESS = JournalProcess(host="gpu-7", pid=-1, lease_seconds=60.0)


def journal_of(home: Path, *records: Data, process: JournalProcess = PROCESS, producer: str = "p", segment_bytes: int = 10_000) -> Journal:
    head = JournalHead(workspace="default", run_id="run-1", producer=producer, process=process)
    journal = Journal(home, head, segment_bytes=segment_bytes)
    for number, data in enumerate(records):
        journal.append(encode_entry(said(data, TIME + number)))
    return journal


RUNNING, COMPLETED = (AmlRunStatusChangedEvent(status=status) for status in (Status.RUNNING, Status.COMPLETED))


def test_a_run_whose_process_died_is_claimed_to_have_failed_as_of_its_last_record(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, RUNNING)
    journal.append(encode_entry(Point("loss", 0, TIME + 5, 1.0)))
    journal.close()
    claim = lost_process(journal.folder, journal.head, host="gpu-7")
    assert claim is not None
    again = lost_process(journal.folder, journal.head, host="gpu-7")
    assert again is not None
    assert again.id == claim.id, "made again it is the same event"
    assert (claim.sequence, claim.producer, claim.run_id) == (TIME + 5, "runherald.journals", "run-1")
    assert isinstance(claim.data, AmlRunStatusChangedEvent)
    assert (claim.data.status, claim.data.cause, claim.data.claim) == (Status.FAILED, Cause.LOST_CONTACT, True)
    assert claim.data.evidence is not None
    assert claim.data.evidence.last_seen == claim.time


@pytest.mark.parametrize("segment_bytes", [10_000, 1])
def test_where_it_is_not_known_nothing_is_said(tmp_path: Path, segment_bytes: int) -> None:
    others = (
        JournalProcess(host="gpu-8", pid=-1, lease_seconds=60.0),  # another machine
        JournalProcess(host="gpu-7", pid=-1),  # did not begin the run
        JournalProcess(host="gpu-7", pid=os.getpid(), lease_seconds=60.0),  # this very process
    )
    for number, process in enumerate(others):
        journal = journal_of(tmp_path, RUNNING, process=process, producer=f"other-{number}", segment_bytes=segment_bytes)
        journal.close()
        assert lost_process(journal.folder, journal.head, host="gpu-7") is None
    ended = journal_of(tmp_path, RUNNING, COMPLETED, producer="ended", segment_bytes=segment_bytes)
    ended.close()
    assert lost_process(ended.folder, ended.head, host="gpu-7") is None
    newer = journal_of(tmp_path, RUNNING, producer="newer", segment_bytes=segment_bytes)
    newer.append(b"\x91\x63")
    newer.close()
    assert lost_process(newer.folder, newer.head, host="gpu-7") is None
    empty = journal_of(tmp_path, producer="empty")
    empty.close()
    assert lost_process(empty.folder, empty.head, host="gpu-7") is None


def test_a_torn_record_at_the_end_hides_nothing(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, RUNNING)
    journal.close()
    with journal.folder.segment(0).open("ab") as file:
        file.write(frame(1, b"torn")[:-2])
    claim = lost_process(journal.folder, journal.head, host="gpu-7")
    assert claim is not None
    assert claim.sequence == TIME


def test_while_another_process_logs_to_the_run_nobody_says_that_it_failed(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, RUNNING)
    journal.close()
    worker = journal_of(tmp_path, producer="worker")
    assert lost_process(journal.folder, journal.head, host="gpu-7") is None
    worker.close()
    assert lost_process(journal.folder, journal.head, host="gpu-7") is not None


def test_one_heartbeat_waits_while_nobody_sends_and_the_next_comes_when_it_was_sent(tmp_path: Path) -> None:
    clock = HeldClock()
    shipper = OfflineShipper(monotonic=clock)
    journal = journal_of(tmp_path, RUNNING)
    queue = SendQueue(journal.head, journal.folder, journal=journal)
    Recorder(journal, queue, {}, lease_seconds=30.0)
    shipper._live.append(queue)  # without the thread
    for _ in range(100):
        clock.now += 1
        shipper.step()
    assert journal.next_ordinal == 2
    journal.folder.acknowledge(2)
    for _ in range(100):
        clock.now += 1
        shipper.step()
    assert journal.next_ordinal == 3
    assert queue.behind == 1
    shipper.stop()


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    for name in ("RUNHERALD_LOG", "RUNHERALD_CONFIG", "RUNHERALD_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    workspace = Workspace(url="offline")
    yield Experiment(workspace, "digits")
    workspace.session.close()


@pytest.mark.parametrize(
    ("resume", "run_id", "message"),
    [
        ("never", "run-1", "resume: is neither True, 'allow' nor 'must'"),
        (3, "run-1", "resume: is neither True"),
        (True, None, "pass its run_id"),
        ("must", "a/b", "run_id"),
    ],
)
def test_what_cannot_be_resumed_is_named_and_begins_nothing(
    tmp_path: Path, offline: Experiment, resume: str, run_id: str | None, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        offline.start_logging(run_id=run_id, resume=resume)
    assert not (tmp_path / "home").exists()


def test_a_run_that_must_be_there_and_of_which_nobody_knows_is_not_begun(tmp_path: Path, offline: Experiment) -> None:
    with pytest.raises(Unreachable):
        offline.start_logging(run_id="run-1", resume="must")
    assert not (tmp_path / "home").exists()
    assert offline.start_logging(run_id="run-1", resume=True).id == "run-1"


def test_not_to_resume_asks_nobody() -> None:
    assert (wanted(None, None), wanted(False, None), wanted(True, "run-1")) == ("", "", "allow")


def test_a_metric_of_another_process_goes_on_or_is_given_steps_from_now_on(offline: Experiment) -> None:
    run = offline.start_logging()
    run._writer.go_on({"goes on": 7, "given": 7, "rows": 7}, {})
    run.log("goes on", 1)
    run.log("goes on", 1)
    run.log("given", 1, step=3)
    run.log_row("rows", a=1)
    assert run._writer._steps == {"goes on": 9, "given": -1, "rows": 8}
    with pytest.raises(InvalidInput, match="with a step before"):
        run.log("given", 1)
    with pytest.raises(InvalidInput, match="without a step before"):
        run.log("goes on", 1, step=3)
    assert to_go_on(to_go_on(0)) == 0
