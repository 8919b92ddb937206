"""A log that was lost: history goes on with another one, and is still shown and made again, over any number of logs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from runherald.errors import InvalidInput, Unreachable
from runherald.sinks import damaged_parts
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import heal_tables
from runherald.sinks.errors import LogReplaced
from runherald.streams.errors import ProcessorsRun
from runherald.streams.rebuild.former import go_on
from runherald.streams.rebuild.rebuild import compare, rebuild
from tests.contract.test_rebuild import START, leftovers, nobody, select, story, tamper
from tests.fixtures.emptied_parts import empty_parts
from tests.fixtures.live_history import LiveHistory


@pytest.fixture
def live(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[LiveHistory]:
    world = LiveHistory(tmp_path, history_database, START + timedelta(minutes=1))
    yield world
    world.close()


@pytest.mark.timeout(240)
def test_history_goes_on_behind_what_it_holds(live: LiveHistory, tmp_path: Path) -> None:
    live.say(*story("r1"), *story("r2"))
    live.work()
    for log in ("second", "third"):
        live.replace_log(tmp_path / log)
        with pytest.raises(LogReplaced, match="rebuild --new-log"):
            live.work()

        begun = go_on(live.log, live.db, running=nobody, clock=lambda: live.now, say=lambda _: None)

        assert set(begun) == {"history", "metrics", "logs", "mailer", "alerting"}
        runs = select(live, "SELECT count(), countIf(status = 'Failed') FROM runs")
        live.say(*story("r1", log), *story(f"r-{log}"))
        live.work()
        assert select(live, "SELECT count(), countIf(status = 'Failed') FROM runs") == [(runs[0][0] + 1, runs[0][1] + 1)]
        found = compare(live.log, live.db)
        assert found.equal, found
    assert select(live, "SELECT count() FROM run_events FINAL") == [(8 * 6,)]
    assert select(live, "SELECT count(), countDistinct(run_id) FROM metrics") == [(4 * 4, 4)]
    # The first log alone made mails about r1 and r2; each run that failed since then was told of as well.
    assert select(live, "SELECT countDistinct(run_id) FROM notices WHERE state = 'accepted'") == [(4,)]

    tamper(live, "run_state", "UPDATE status = 'Completed' WHERE run_id = 'r2'")
    tamper(live, "run_tags", "DELETE WHERE run_id = 'r1' AND key = 'a'")
    tamper(live, "run_params", "DELETE WHERE run_id = 'r-third' AND key = 'lr'")
    assert rebuild(live.log, live.db, running=nobody).count == 3
    assert compare(live.log, live.db).equal
    live.say(*story("r2", "late"))
    live.work()
    assert compare(live.log, live.db).equal
    assert leftovers(live) == []


def test_a_log_that_goes_on_is_not_taken_for_a_new_one(live: LiveHistory) -> None:
    live.say(*story("r1"))
    live.work()

    with pytest.raises(InvalidInput, match="goes on where history is"):
        go_on(live.log, live.db, running=nobody, clock=lambda: live.now, say=lambda _: None)
    assert compare(live.log, live.db).equal


def test_a_copy_that_a_full_disk_left_empty_takes_nothings_place(
    live: LiveHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.say(*story("r1"))
    live.work()
    lines = select(live, "SELECT count() FROM log_lines")
    live.replace_log(tmp_path / "second")

    def leave_empty(history: HistoryDatabase, *, new_alone: bool = False) -> list[str]:
        empty_parts(history, "log_lines")
        return heal_tables(history, new_alone=new_alone)

    with monkeypatch.context() as full:
        full.setattr(damaged_parts, "heal_tables", leave_empty)
        with pytest.raises(Unreachable, match="a copy on it is not whole; make room"):
            go_on(live.log, live.db, running=nobody, clock=lambda: live.now, say=lambda _: None)
    assert select(live, "SELECT count() FROM log_lines") == lines
    assert leftovers(live) == []
    assert go_on(live.log, live.db, running=nobody, clock=lambda: live.now, say=lambda _: None)
    assert select(live, "SELECT count() FROM log_lines") == lines


def test_running_processors_prevent_it(live: LiveHistory, tmp_path: Path) -> None:
    live.say(*story("r1"))
    live.work()
    live.replace_log(tmp_path / "second")

    with pytest.raises(ProcessorsRun):
        go_on(live.log, live.db, running=lambda _: {"runherald.logs": 1}, clock=lambda: live.now, say=lambda _: None)
    with pytest.raises(LogReplaced):
        live.work()
