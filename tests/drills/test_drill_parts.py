"""The drill's own parts: a schedule can be struck again, and books that do not balance say so."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from runherald.events import AmlRunEvent
from runherald.sinks.connection import HistoryDatabase
from runherald.status import Status
from tests.drills.books import Books, check_books
from tests.drills.kafka_world import was_cut_off
from tests.drills.ledger import Ledger, Said, read_ledgers
from tests.drills.partition_moves import turned
from tests.drills.schedule import schedule
from tests.history_feed import HistoryFeed, Teller


def test_a_seed_gives_the_same_faults_and_each_kind_its_turn() -> None:
    kinds = ["a", "b", "c", "d"]
    faults = schedule(7, 100.0, kinds, every=2.0)
    assert faults == schedule(7, 100.0, list(reversed(kinds)), every=2.0)
    assert faults != schedule(8, 100.0, kinds, every=2.0)
    for first in range(0, len(faults) - 4, 4):
        assert {fault.kind for fault in faults[first : first + 4]} == set(kinds)
    assert 35 < len(faults) < 65
    assert all(0 < before.at < after.at < 100 for before, after in itertools.pairwise(faults))


def test_a_ledger_is_read_back_up_to_the_line_that_was_being_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.begun("r1", "")
    ledger.point("r1", 0)
    ledger.point("r1", 1)
    ledger.tag("r1", 0)
    ledger.ended("r1", "Failed")
    ledger.begun("r2", "r1")
    with (tmp_path / "ledger").open("a") as file:
        file.write("point r2 0")
    assert read_ledgers([tmp_path / "ledger"]) == {"r1": Said(points=2, tags=1, end="Failed"), "r2": Said(parent="r1")}


@pytest.mark.parametrize("draw", [0.0, 0.49, 0.99])
def test_a_full_move_gives_every_partition_another_leader_and_the_same_replicas(draw: float) -> None:
    orders = list(itertools.permutations((1, 2, 3)))
    partitions = [{"partition_index": index, "replica_nodes": list(order)} for index, order in enumerate(orders)]
    moves = turned([{"name": "t", "partitions": partitions}], draw)
    assert {place.partition for place in moves} == set(range(6))
    for place, replicas in moves.items():
        assert sorted(replicas) == [1, 2, 3]
        assert replicas[0] != orders[place.partition][0]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", False),
        ("worker=faust event=ended processor=mailer; the others are stopped", False),
        ("processor=mailer event=ended error=Unreachable: log: Kafka does not answer", True),
        ("processor=mailer event=ended error=Unreachable: log\nprocessor=history event=ended error=KeyError: 'x'", False),
    ],
)
def test_a_worker_may_end_itself_because_something_else_was_away_and_for_nothing_else(said: str, expected: bool) -> None:
    assert was_cut_off(said) is expected


def books_of(history: HistoryDatabase, folder: Path, said: Mapping[str, Said], *, killed: int = 0) -> Books:
    return check_books(said, history, folder, killed_producers=killed, mails_again_allowed=0)


@pytest.fixture
def feed(history_database: HistoryDatabase) -> HistoryFeed:
    """A history without a run."""
    return HistoryFeed(history_database)


@pytest.fixture
def told(feed: HistoryFeed) -> Teller:
    """A history with a run of three points and a tag that was cancelled."""
    teller = Teller("r1")
    tagged = AmlRunEvent(operation="Updated", tags={"tag-0": "2"})
    events = [teller.created(), teller.status(Status.RUNNING), teller.points("loss", [3.0, 2.0, 1.0]), teller.event(tagged)]
    feed.add(*events, teller.status(Status.CANCELED))
    return teller


RIGHT = Said(points=3, tags=1, end="Canceled")


@pytest.mark.parametrize(
    ("said", "killed", "lost", "doubled", "wrong"),
    [
        (RIGHT, 0, "", "", ""),
        (Said(points=4, tags=1, end="Canceled"), 0, "r1 points: 3 of 4", "", ""),
        (Said(points=4, tags=1, end="Canceled"), 1, "r1 points: 3 of 4", "", ""),
        (Said(points=3, tags=2, end="Canceled"), 0, "r1 tags: 1 of 2", "", ""),
        (Said(points=2, tags=1, end="Canceled"), 1, "", "r1 points: 3 instead of 2", ""),
        (Said(points=3, tags=1, end="Completed"), 0, "", "", "r1 is Canceled, and said Completed"),
        (Said(points=3, tags=1), 0, "", "r1 ends: 1 instead of 0", ""),
        (Said(points=3, tags=1), 1, "", "", ""),
        (Said(parent="r0", points=3, tags=1, end="Canceled"), 0, "", "", "r1 has the parent '', and said 'r0'"),
    ],
)
def test_books_tell_what_does_not_balance(
    history_database: HistoryDatabase, tmp_path: Path, told: Teller, said: Said, killed: int, lost: str, doubled: str, wrong: str
) -> None:
    books = books_of(history_database, tmp_path, {told.run_id: said}, killed=killed)
    assert ("; ".join(books.lost), "; ".join(books.doubled), "; ".join(books.wrong)) == (lost, doubled, wrong)
    assert books.balance is (not (lost or doubled or wrong))


def test_books_tell_apart_what_the_sdk_said_it_could_not_keep(history_database: HistoryDatabase, tmp_path: Path, told: Teller) -> None:
    said = {told.run_id: Said(points=9, tags=1)}
    books = check_books(said, history_database, tmp_path, killed_producers=1, mails_again_allowed=0, off_disk={told.run_id})
    assert (books.told, books.lost) == (["r1 points: 3 of 9"], [])
    said[told.run_id].end = "Canceled"
    books = check_books(said, history_database, tmp_path, killed_producers=1, mails_again_allowed=0, off_disk={told.run_id})
    assert (books.told, books.lost) == ([], ["r1 points: 3 of 9"])


def test_books_miss_a_run_and_see_one_that_nobody_began(history_database: HistoryDatabase, tmp_path: Path, told: Teller) -> None:
    assert books_of(history_database, tmp_path, {told.run_id: RIGHT, "r2": Said()}).lost == ["run r2"]
    assert books_of(history_database, tmp_path, {}).wrong == ["1 runs are there that nobody began, such as r1"]
    assert books_of(history_database, tmp_path, {}, killed=1).balance


def test_books_see_a_step_that_stands_for_two(history_database: HistoryDatabase, tmp_path: Path, feed: HistoryFeed, told: Teller) -> None:
    feed.add(told.points("loss", [2.5], first=1))
    doubled = books_of(history_database, tmp_path, {told.run_id: RIGHT}).doubled
    assert doubled == ["r1 points: 4 instead of 3", "r1 has 4 points of 3 steps up to 2"]


def test_books_miss_the_decision_about_a_failure(
    history_database: HistoryDatabase, tmp_path: Path, feed: HistoryFeed, told: Teller
) -> None:
    failed = Teller("r2")
    feed.add(failed.created(), failed.status(Status.RUNNING), failed.status(Status.FAILED))
    books = books_of(history_database, tmp_path, {told.run_id: RIGHT, "r2": Said(end="Failed")})
    [lost] = books.lost
    assert lost.startswith("the decision about r2#")


MESSAGE = "From: a@example.org\nTo: b@example.org\nSubject: s\nMessage-ID: <{}@localhost>\n{}\ntext\n"
OF_THE_PIPELINE = "X-Runherald-Incident: begun 1\n"


@pytest.mark.parametrize(
    ("states", "mails", "lost", "doubled", "wrong"),
    [
        ({"a": "accepted", "b": "refused", "c": "suppressed"}, ["a"], "", "", ""),
        ({"a": "accepted"}, [], "the mail <a@localhost>, which history says was accepted", "", ""),
        ({"a": "pending"}, [], "", "", "1 notices are still pending"),
        ({}, ["a"], "", "", "1 mails that history does not know as accepted, such as <a@localhost>"),
        ({"a": "accepted"}, ["a", "a"], "", "", ""),
        ({"a": "accepted"}, ["a", "a", "a"], "", "2 mails came again, and at most 1 could be under way", ""),
        ({"a": "refused"}, ["a"], "", "", ""),
        ({"a": "refused", "b": "refused"}, ["a", "b"], "", "2 mails came again, and at most 1 could be under way", ""),
        ({}, ["of the pipeline"], "", "", ""),
    ],
)
def test_books_hold_mails_against_notices(
    history_database: HistoryDatabase,
    tmp_path: Path,
    feed: HistoryFeed,
    states: Mapping[str, str],
    mails: Sequence[str],
    lost: str,
    doubled: str,
    wrong: str,
) -> None:
    rows = [["w", notice, state, f"<{notice}@localhost>" if state == "accepted" else ""] for notice, state in states.items()]
    if rows:
        history_database.client().insert("notice_log", rows, ["workspace", "notice_id", "state", "message_id"])
    for number, name in enumerate(mails):
        (tmp_path / f"{number}.eml").write_text(MESSAGE.format(name, OF_THE_PIPELINE if name == "of the pipeline" else ""))
    books = check_books({}, history_database, tmp_path, killed_producers=0, mails_again_allowed=1)
    assert ("; ".join(books.lost), "; ".join(books.doubled), "; ".join(books.wrong)) == (lost, doubled, wrong)
