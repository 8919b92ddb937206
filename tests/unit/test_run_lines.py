"""Lines of consoles and files: mended, cut, grouped, and in the journal when the call returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from runherald import Experiment, Workspace
from runherald.errors import InvalidInput
from runherald.events import AmlRunLogEvent
from runherald.producers.journal.folder import journal_folders
from runherald.producers.journal.reader import JournalReader
from runherald.producers.run.lines import MAX_CHARACTERS, MAX_LINE, MAX_LINES, fitting, packed
from runherald.producers.shipping.batching import to_events


def test_texts_become_lines_that_can_be_sent() -> None:
    texts = ["plain\n", "windows\r\n", "two\nlines\n", "", "\n", "a\0b", "half \ud83d", "über ✓", "x" * (MAX_LINE + 1)]
    lines = list(fitting(texts))
    assert lines[:9] == ["plain", "windows", "two", "lines", "", "", "a\ufffdb", "half ?", "über ✓"]
    assert lines[9:] == ["x" * (MAX_LINE - 1) + "…"]


def test_lines_are_grouped_in_order_within_the_bounds() -> None:
    lines = [str(number) * (number % 50) for number in range(5_000)]
    groups = list(packed(lines))
    assert [line for group in groups for line in group] == lines
    assert max(map(len, groups)) <= MAX_LINES
    assert max(sum(map(len, group)) for group in groups) <= MAX_CHARACTERS
    assert len(groups) < 30
    assert list(packed([])) == []


def test_lines_are_in_the_journal_numbered_within_their_file(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    workspace = Workspace(url=f"http://127.0.0.1:{free_port}")
    run = Experiment(workspace, "lines").start_logging()
    run._writer.log_lines("user_logs/std_log.txt", ["one\n", "two\n"], "stdout")
    run._writer.log_lines("user_logs/std_log.txt", ["three\n"], "stderr")
    run._writer.log_lines("logs/other.log", (line for line in ["a"]))
    with pytest.raises(InvalidInput, match="name of a file of lines is empty"):
        run._writer.log_lines("", ["x"])
    with pytest.raises(InvalidInput, match="name of a file of lines holds a control character at position 6; take it out"):
        run._writer.log_lines("logs/a\nb", ["x"])
    found = []
    for folder in journal_folders(tmp_path):
        events = to_events(JournalReader(folder).read(100), folder.head()).events
        for data in [event.data for event in events if isinstance(event.data, AmlRunLogEvent)]:
            found += [(data.file, data.stream, line.number, line.text) for line in data.lines]
    assert found == [
        ("user_logs/std_log.txt", "stdout", 0, "one"),
        ("user_logs/std_log.txt", "stdout", 1, "two"),
        ("user_logs/std_log.txt", "stderr", 2, "three"),
        ("logs/other.log", "file", 0, "a"),
    ]
    run.cancel()
    with pytest.raises(InvalidInput, match="has ended"):
        run._writer.log_lines("logs/other.log", ["late"])
    workspace.session.close()
