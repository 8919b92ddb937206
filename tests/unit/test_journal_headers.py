"""What a run was begun with is found in the journals of this machine, past what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from runherald import Experiment, Run, Workspace
from runherald.errors import InvalidInput, Unreachable
from runherald.events import AmlRunEvent, AmlRunHeartbeatEvent, RunHeader
from runherald.producers.journal.entries import Point, decode_entry, encode_entry, said
from runherald.producers.journal.folder import JournalFolder, JournalHead
from runherald.producers.journal.headers import header_in_journal
from runherald.producers.journal.journal import Journal

TIME = 1_700_000_000_000_000
ALIVE = encode_entry(said(AmlRunHeartbeatEvent(lease_seconds=60.0), TIME))
POINT = encode_entry(Point("loss", 0, TIME, 0.5))


def created(name: str) -> bytes:
    header = RunHeader(experiment_name="digits", display_name=name, parent_run_id="above", root_run_id="top")
    return encode_entry(said(AmlRunEvent(operation="Created", header=header), TIME))


def write(home: Path, run_id: str, producer: str, *entries: bytes) -> JournalFolder:
    journal = Journal(home, JournalHead(workspace="default", run_id=run_id, producer=producer))
    for entry in entries:
        journal.append(entry)
    journal.close()
    return journal.folder


def found(home: Path, run_id: str) -> str | None:
    header = header_in_journal(home, run_id)
    return None if header is None else header.display_name


def test_the_header_is_that_of_the_journal_that_begins_with_the_runs_creation(tmp_path: Path) -> None:
    assert header_in_journal(tmp_path, "run") is None, "there is no journal at all"
    write(tmp_path, "run", "a", POINT)
    assert header_in_journal(tmp_path, "run") is None, "who only logs to it does not know"
    write(tmp_path, "run", "b", ALIVE, created("first"), POINT)
    write(tmp_path, "run-2", "c", created("of another run"))
    assert found(tmp_path, "run") == "first"


def test_of_two_long_ids_that_begin_alike_each_has_its_own(tmp_path: Path) -> None:
    one, other = "x" * 100 + "-1", "x" * 100 + "-2"
    write(tmp_path, one, "a", created("one"))
    write(tmp_path, other, "b", created("other"))
    assert (found(tmp_path, one), found(tmp_path, other), found(tmp_path, "x" * 100)) == ("one", "other", None)


def test_a_journal_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    odd = b"\x01no entry"
    with pytest.raises(InvalidInput):
        decode_entry(odd)
    for place in ("a", "z"):  # folders come in any order
        write(tmp_path, "run", f"{place}1", odd)
        (write(tmp_path, "run", f"{place}2", POINT).path / "journal.json").write_bytes(b"{")
        (tmp_path / "journals" / f"run~{place}3").mkdir()
    assert found(tmp_path, "run") is None
    write(tmp_path, "run", "m", created("whole"))
    assert found(tmp_path, "run") == "whole"


def test_the_run_above_is_known_from_the_journal_while_the_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    run = Run(Experiment(Workspace(), "digits"), "run")
    with pytest.raises(Unreachable):
        _ = run.parent
    write(tmp_path, "run", "a", created("first"))
    assert run.parent is not None
    assert (run.parent.id, run.root_run_id) == ("above", "top")
    run.experiment.workspace.session.close()
