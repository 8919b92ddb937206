"""Lists of runs say what a plain reading of `run_state` says, however often, how late and in what order runs were written."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from runherald.clock import EPOCH
from runherald.sinks import run_list
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate, migrations
from runherald.sinks.queries import HistoryReader, RunFilter
from runherald.sinks.select import select

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUNS = 120
EXPERIMENTS = ("", "exp-a", "exp-b")
STATUSES = ("NotStarted", "Running", "Completed", "Failed")
LIVES = ("Active", "Active", "Active", "Archived", "Deleted")
TAGS: tuple[dict[str, str], ...] = ({}, {"team": "red"}, {"team": "blue", "x": ""}, {"te": "amred"})
FLAGS: tuple[list[str], ...] = ([], ["keep"], ["team"])
COLUMNS: tuple[str, ...] = (
    "workspace",
    "run_id",
    "version",
    "status",
    "experiment_name",
    "parent_run_id",
    "life",
    "created_time",
    "tags",
    "flags",
)
FILTERS = [
    RunFilter(experiment=experiment, statuses=statuses, parent=parent, root_only=root_only, tag=tag, life=life)
    for (experiment, statuses, tag), (parent, root_only), life in product(
        [
            ("", (), ""),
            ("exp-a", (), ""),
            ("", ("Running",), ""),
            ("", ("Completed", "Failed"), ""),
            ("", (), "team"),
            ("", (), "team=red"),
            ("", (), "x="),
            ("", (), "keep"),
            ("", (), "nothing"),
            ("exp-b", ("Failed",), "team"),
        ],
        [("", False), ("", True), ("r3", False)],
        ("Active", "Archived", ""),
    )
]

Row = tuple[Any, ...]


@pytest.fixture
def reader(history_database: HistoryDatabase) -> HistoryReader:
    migrate(history_database)
    return HistoryReader(history_database, clock=lambda: NOW)


@pytest.mark.parametrize("seed", range(3))
def test_every_filter_finds_what_the_newest_states_say(history_database: HistoryDatabase, reader: HistoryReader, seed: int) -> None:
    newest = _write(history_database, random.Random(seed))
    for wanted in FILTERS:
        expected = [row["run_id"] for row in _newest_first(newest) if _fulfils(row, wanted)]
        assert [run.run_id for run in reader.runs(wanted, limit=1_000).runs] == expected, wanted
        assert _page_by_page(reader, wanted, 7) == expected, wanted


@pytest.mark.parametrize("seed", range(3))
def test_counts_families_and_experiments_are_those_of_the_newest_states(
    history_database: HistoryDatabase, reader: HistoryReader, seed: int
) -> None:
    newest = _write(history_database, random.Random(seed))
    active = [row for row in newest if row["life"] == "Active"]
    for experiment in EXPERIMENTS:
        counted = Counter(row["status"] for row in active if experiment in ("", row["experiment_name"]))
        assert reader.status_counts(experiment) == counted
    last: dict[str, datetime] = {}
    for row in active:
        last[row["experiment_name"]] = max(row["created_time"], last.get(row["experiment_name"], EPOCH))
    del last[""]
    assert reader.experiments() == sorted(last, key=lambda name: (EPOCH - last[name], name))

    ids = [row["run_id"] for row in newest]
    families = reader.families(ids, 2)
    oldest_first = _newest_first(newest)[::-1]
    for parent in ids:
        children = [row for row in oldest_first if row["parent_run_id"] == parent]
        shown = [row for row in children if row["life"] == "Active"]
        assert [run.run_id for run in reader.children(parent)] == [row["run_id"] for row in children if row["life"] != "Deleted"]
        assert (parent in families) == bool(shown)
        if shown:
            assert [run.run_id for run in families[parent].first] == [row["run_id"] for row in shown[:2]]
            assert families[parent].counts == Counter(row["status"] for row in shown)


def test_a_row_of_the_list_is_the_newest_of_its_run(history_database: HistoryDatabase, reader: HistoryReader) -> None:
    newest = {row["run_id"]: row for row in _write(history_database, random.Random(9))}
    page = reader.runs(RunFilter(life=""), limit=1_000)
    for run in page.runs:
        row = newest[run.run_id]
        assert (run.status, run.life, run.parent_run_id) == (row["status"], row["life"], row["parent_run_id"])
        assert run.tags == {**row["tags"], **dict.fromkeys(row["flags"])}
        assert (run.created_time or EPOCH) == row["created_time"]


def test_many_outdated_rows_hide_no_run(history_database: HistoryDatabase, reader: HistoryReader, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every run was running once, and nothing is merged: the one that still runs is the oldest of them.
    history_database.client().command("SYSTEM STOP MERGES")
    monkeypatch.setattr(run_list, "_MAX_ROWS", 16)
    rows = [_row(f"r{number:03}", number + 1, "Running", NOW + timedelta(seconds=number)) for number in range(100)]
    _insert(history_database, rows)
    _insert(history_database, [(*row[:2], row[2] + 1_000, "Completed", *row[4:]) for row in rows[1:]])
    try:
        assert [run.run_id for run in reader.runs(RunFilter(statuses=("Running",)), limit=3).runs] == ["r000"]
        assert reader.status_counts() == {"Running": 1, "Completed": 99}
    finally:
        history_database.client().command("SYSTEM START MERGES")


def test_runs_written_before_the_index_are_in_it_after_migration(
    history_database: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = migrations()
    with monkeypatch.context() as patched:
        patched.setattr("runherald.sinks.migrate.migrations", lambda: [each for each in every if each.name != "0007_run_index"])
        migrate(history_database)
    newest = _write(history_database, random.Random(5))
    assert migrate(history_database) == ["0007_run_index"]

    later = _row("later", 10_000, "Running", NOW)  # as a process writes that knows nothing of the index
    _insert(history_database, [later])
    expected = [row["run_id"] for row in _newest_first([*newest, dict(zip(COLUMNS, later, strict=True))]) if row["life"] == "Active"]
    reader = HistoryReader(history_database, clock=lambda: NOW)
    assert [run.run_id for run in reader.runs(limit=1_000).runs] == expected
    assert sum(reader.status_counts().values()) == len(expected)


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        (RunFilter(experiment="e"), "by_experiment"),
        (RunFilter(statuses=("Failed",)), "by_status"),
        (RunFilter(parent="p"), "by_parent"),
        (RunFilter(tag="t"), "by_tag"),
        (RunFilter(tag="t=v"), "by_tag"),
    ],
)
def test_a_filter_is_looked_up_in_its_index(
    history_database: HistoryDatabase, reader: HistoryReader, monkeypatch: pytest.MonkeyPatch, condition: RunFilter, index: str
) -> None:
    _write(history_database, random.Random(1))
    plans: list[str] = []

    def explained(db: HistoryDatabase, query: str, parameters: dict[str, Any]) -> object:
        if "tag_words" in query or "ORDER BY created_time DESC" in query:
            plans.append("\n".join(line for (line,) in select(db, f"EXPLAIN indexes = 1 {query}", parameters)))
        return select(db, query, parameters)

    monkeypatch.setattr(run_list, "select", explained)
    reader.runs(condition)
    assert any(f"Name: {index}" in plan for plan in plans), plans


def _write(db: HistoryDatabase, draw: random.Random) -> list[dict[str, Any]]:
    """Write runs with several states each, in small inserts, and return the newest state of each.

    Experiment, parent and creation time are empty at first for some, and stay once they are known; all else changes back and forth. Some
    states come twice, and some come after a newer one.
    """
    version = iter(range(1, 100_000))
    rows: list[Row] = []
    for number in range(RUNS):
        # Many share a moment; some are older than each window that a page looks through.
        created = NOW - timedelta(days=draw.choice((0, 0, 0, 1, 20, 31, 40, 300, 500, 900)), minutes=draw.choice((0, number)))
        parent = draw.choice(("", "", f"r{(number + draw.randrange(1, 8)) % 8}"))
        known = SimpleNamespace(experiment=draw.choice(EXPERIMENTS), parent=parent, created=created)
        never = draw.random() < 0.05
        for step in range(draw.choice((1, 1, 2, 3, 8))):
            early = never or (step == 0 and draw.random() < 0.3)
            rows.append(
                (
                    *("default", f"r{number}", next(version), draw.choice(STATUSES)),
                    *("" if early else known.experiment, "" if early else known.parent, draw.choice(LIVES)),
                    *(EPOCH if early else known.created, draw.choice(TAGS), draw.choice(FLAGS)),
                )
            )
    newest = {row[1]: dict(zip(COLUMNS, row, strict=True)) for row in rows}
    rows += draw.sample(rows, 20)
    draw.shuffle(rows)
    size = len(rows) // 8 + 1
    for start in range(0, len(rows), size):
        _insert(db, rows[start : start + size])
    return list(newest.values())


def _row(run_id: str, version: int, status: str, created: datetime) -> Row:
    return ("default", run_id, version, status, "exp-a", "", "Active", created, {}, [])


def _insert(db: HistoryDatabase, rows: Sequence[Row]) -> None:
    db.client().insert("run_state", list(rows), column_names=list(COLUMNS), settings={"max_partitions_per_insert_block": 0})


def _newest_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["created_time"], row["run_id"]), reverse=True)


def _fulfils(row: dict[str, Any], wanted: RunFilter) -> bool:
    key, equals, value = wanted.tag.partition("=")
    tagged = row["tags"].get(key) == value if equals else key in row["tags"] or key in row["flags"]
    return (
        (not wanted.experiment or row["experiment_name"] == wanted.experiment)
        and (not wanted.statuses or row["status"] in wanted.statuses)
        and (not wanted.parent or row["parent_run_id"] == wanted.parent)
        and (not wanted.root_only or not row["parent_run_id"])
        and (not wanted.life or row["life"] == wanted.life)
        and (not key or tagged)
    )


def _page_by_page(reader: HistoryReader, wanted: RunFilter, limit: int) -> list[str]:
    seen: list[str] = []
    cursor = ""
    while True:
        page = reader.runs(wanted, cursor=cursor, limit=limit)
        seen += [run.run_id for run in page.runs]
        cursor = page.next
        if not cursor:
            return seen
