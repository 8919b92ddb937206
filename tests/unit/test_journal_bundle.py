"""Journals in one file: what is exported is imported, once, whole or not at all."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from runherald.cli.main import main
from runherald.errors import InvalidInput
from runherald.producers.errors import NotFound
from runherald.producers.journal import bundle
from runherald.producers.journal.bundle import MANIFEST, BundledJournal, Manifest, export_journals, import_journals
from runherald.producers.journal.entries import Point, encode_entry
from runherald.producers.journal.folder import JournalFolder, JournalHead, JournalProcess
from runherald.producers.journal.journal import Journal
from runherald.producers.journal.listing import list_journals
from runherald.producers.journal.reader import JournalReader

TIME = 1_700_000_000_000_000
HEAD = JournalHead(
    workspace="default",
    run_id="run-1",
    producer="p",
    destination="http://here:1",
    process=JournalProcess(host="gpu-7", pid=os.getpid(), lease_seconds=60),
)


def log(journal: Journal, count: int) -> None:
    for _ in range(count):
        number = journal.next_ordinal
        journal.append(encode_entry(Point("loss", number, TIME + number, 1.0)))


def read(home: Path) -> list[int]:
    folder = JournalFolder.of(home, HEAD)
    return [ordinal for ordinal, _ in JournalReader(folder, folder.acknowledged()).read(1_000)]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "a", HEAD, segment_bytes=200)
    log(journal, 20)
    return journal


def test_what_is_exported_is_imported_for_any_server_and_of_no_process(tmp_path: Path, journal: Journal) -> None:
    journal.folder.acknowledge(7)
    journal.close()
    exported = export_journals(tmp_path / "a", tmp_path / "file.zip")
    assert [(one.run_id, one.state) for one in exported] == [("run-1", "exported")]
    assert [one.state for one in import_journals(tmp_path / "b", tmp_path / "file.zip")] == ["imported"]
    assert read(tmp_path / "b") == list(range(7, 20))
    head = JournalFolder.of(tmp_path / "b", HEAD).head()
    assert (head.destination, head.process) == ("offline", UNSET)
    assert read(tmp_path / "a") == list(range(7, 20)), "it stays where it was"


def test_imported_twice_or_later_again_it_is_there_once_and_whole(tmp_path: Path, journal: Journal) -> None:
    export_journals(tmp_path / "a", tmp_path / "live.zip")
    log(journal, 10)
    journal.close()
    export_journals(tmp_path / "a", tmp_path / "whole.zip")
    files = ("live.zip", "live.zip", "whole.zip", "live.zip", "whole.zip")
    states = [import_journals(tmp_path / "b", tmp_path / name)[0].state for name in files]
    assert states == ["imported", "there", "extended", "there", "there"]
    assert read(tmp_path / "b") == list(range(30))
    JournalFolder.of(tmp_path / "b", HEAD).acknowledge(25)
    assert import_journals(tmp_path / "b", tmp_path / "whole.zip")[0].state == "there", "what was sent from here is not taken in again"
    assert read(tmp_path / "b") == list(range(25, 30))


def test_where_its_process_lives_nothing_is_taken_in(tmp_path: Path, journal: Journal) -> None:
    export_journals(tmp_path / "a", tmp_path / "file.zip")
    assert import_journals(tmp_path / "a", tmp_path / "file.zip")[0].state == "held"
    journal.close()


def test_only_the_runs_that_are_named_are_exported_and_no_file_is_overwritten(tmp_path: Path, journal: Journal) -> None:
    journal.close()
    other = Journal(tmp_path / "a", JournalHead(workspace="default", run_id="run-2", producer="q"))
    log(other, 1)
    other.close()
    assert [one.run_id for one in export_journals(tmp_path / "a", tmp_path / "file.zip", ["run-2"])] == ["run-2"]
    with pytest.raises(InvalidInput, match="is there already"):
        export_journals(tmp_path / "a", tmp_path / "file.zip")
    with pytest.raises(NotFound, match="run run-3: has no journal"):
        export_journals(tmp_path / "a", tmp_path / "other.zip", ["run-3"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "file.zip"], "nothing half is left"


def rewritten(change: Callable[[Manifest], object], members: bool = True) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        manifest = msgspec.json.decode(contents.pop(MANIFEST), type=Manifest)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(MANIFEST, msgspec.json.encode(change(manifest)))
            for name, content in contents.items() if members else ():
                archive.writestr(name, content)

    return rewrite


def with_journal(**changes: object) -> Callable[[Manifest], object]:
    def change(manifest: Manifest) -> object:
        journals = [msgspec.structs.replace(one, **changes) for one in manifest.journals]
        return msgspec.structs.replace(manifest, journals=journals)

    return change


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[120] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "no whole file of `runherald journals export`"),
        (lambda path: path.write_bytes(b"PK\x03\x04 no archive"), "no whole file"),
        (lambda path: path.write_bytes(b""), "no whole file"),
        (flip, "no whole file"),
        (lambda path: zipfile.ZipFile(path, "w").close(), f"a ZIP archive without {MANIFEST}"),
        (rewritten(lambda manifest: {"journals": 1}), "Expected `array`"),
        (rewritten(lambda manifest: msgspec.structs.replace(manifest, version=2)), "version 2 is newer than this program"),
        (rewritten(lambda manifest: manifest, members=False), "is not as long as it says"),
        (rewritten(with_journal(segments={"../../x.seg": 1})), "a segment of another name"),
        (rewritten(with_journal(segments={"00000000000000000000.seg": 2**40})), "or size than segments have"),
        (rewritten(with_journal(head=JournalHead(workspace="w", run_id="../run", producer="p"))), "run_id"),
        (rewritten(with_journal(head=JournalHead(workspace="w", run_id="run", producer="../p"))), "a name that no folder can have"),
        (rewritten(with_journal(head=JournalHead(workspace="w", run_id="run", producer="p", version=2))), "of a newer version"),
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_nothing_of_it_is_taken(
    tmp_path: Path, journal: Journal, damage: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.close()
    file = tmp_path / "file.zip"
    export_journals(tmp_path / "a", file)
    damage(file)
    with pytest.raises(InvalidInput, match=message) as refused:
        import_journals(tmp_path / "b", file)
    assert str(file) in str(refused.value)
    assert not (tmp_path / "b").exists()
    assert main(["journals", "import", str(file)]) == 2
    assert "Traceback" not in capsys.readouterr().err


@given(
    st.lists(st.tuples(st.sampled_from(["change", "drop", "add"]), st.integers(0, 2_000), st.binary(min_size=1, max_size=8)), max_size=4)
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_bytes_are_taken_as_they_were_or_refused(tmp_path: Path, changes: list[tuple[str, int, bytes]]) -> None:
    file = tmp_path / "file.zip"
    if not file.exists():
        journal = Journal(tmp_path / "a", HEAD, segment_bytes=200)
        log(journal, 20)
        journal.close()
        export_journals(tmp_path / "a", file)
    content = bytearray(file.read_bytes())
    for kind, place, odd in changes:
        at = place % len(content)
        content[at : at + (0 if kind == "add" else len(odd))] = b"" if kind == "drop" else odd
    (tmp_path / "odd.zip").write_bytes(content)
    try:
        import_journals(tmp_path / "b", tmp_path / "odd.zip")
    except InvalidInput:
        assert not (tmp_path / "b").exists(), "refused as a whole"
    shutil.rmtree(tmp_path / "b", ignore_errors=True)


def test_a_bundle_is_read_as_it_was_first_written(tmp_path: Path) -> None:
    """The format outlives the version that wrote it: rename nothing of it."""
    manifest = (
        b'{"journals":[{"head":{"workspace":"w","run_id":"r","producer":"p"},"acknowledged":3,"segments":{"00000000000000000003.seg":0}}]}'
    )
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        archive.writestr("runherald-journals.json", manifest)
        archive.writestr("journals/r~p/00000000000000000003.seg", b"")
    assert import_journals(tmp_path / "b", tmp_path / "old.zip")[0].state == "imported"
    one = BundledJournal(head=JournalHead(workspace="w", run_id="r", producer="p"), acknowledged=3, segments={})
    assert bundle.Manifest(journals=[one]).version == 1


def test_the_list_says_whose_journals_there_are_and_what_waits(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.folder.acknowledge(7)
    (one,) = list_journals(tmp_path / "a")
    assert (one.run_id, one.state, one.destination, one.waiting) == ("run-1", "live", "http://here:1", 13)
    journal.close()
    broken = tmp_path / "a" / "journals" / "run-2~q"
    broken.mkdir()
    (broken / "journal.json").write_text("{")
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "a"))
    assert [one.state for one in list_journals(tmp_path / "a")] == ["left", "unreadable"]
    assert main(["journals", "list", "-o", "tsv", "--query", "[].[run_id, state, waiting]"]) == 0
    assert capsys.readouterr().out == "run-1\tleft\t13\nrun-2\tunreadable\t0\n"
