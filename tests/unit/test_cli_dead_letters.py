"""`runherald dead-letters` against canned answers: what it asks, what it prints, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runherald.api import Intake, ServerStatus
from runherald.cli.main import main
from runherald.letters_api import (
    Bytes,
    LetterCount,
    LetterDetail,
    LetterPage,
    LetterReplay,
    LetterView,
    ProcessorStop,
    ReplayAnswer,
    ReplayItem,
    Verdict,
)
from runherald.records import Position
from tests.unit.canned_api import CannedApi, canned_api

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Output = pytest.CaptureFixture[str]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[CannedApi]:
    with canned_api() as canned:
        monkeypatch.setenv("RUNHERALD_URL", canned.url)
        yield canned


def letter(number: int = 1, **more: Any) -> LetterView:
    said: dict[str, Any] = {"error": "data.tags[]", "reason": "data.tags[x]: is \x1b[31mlong", "topic": "runherald.events"} | more
    return LetterView(letter_id=f"l{number}", processor="history", partition=0, offset=number, dead_time=NOW, **said)


def item(verdict: Verdict, *, sent: bool = False, number: int = 1) -> ReplayItem:
    position = Position("runherald.events", 0, 99) if sent else None
    return ReplayItem(letter=letter(number), verdict=verdict, reason="because", sent=sent, position=position)


def test_a_list_is_read_page_by_page_up_to_its_limit(api: CannedApi, capsys: Output) -> None:
    api.answer("/dead-letters", LetterPage(letters=[letter(1), letter(2)], next="c"), LetterPage(letters=[letter(3)], next="d"))
    filters = ("-p", "history", "--error", "data.tags[]", "--topic", "t", "--state", "all", "--since", "2026-01-02T03:00:00+01:00")
    assert main(["dead-letters", "list", "-n", "3", *filters]) == 0
    said = capsys.readouterr()
    assert [each["letter_id"] for each in json.loads(said.out)] == ["l1", "l2", "l3"]
    assert "more than 3" in said.err
    assert [asked.parameters.get("cursor", "") for asked in api.asked] == ["", "c"]
    first = api.asked[0].parameters
    assert first == {
        "processor": "history",
        "error": "data.tags[]",
        "topic": "t",
        "state": "all",
        "since": "2026-01-02T02:00:00+00:00",
        "limit": "3",
    }


def test_an_age_is_a_time(api: CannedApi) -> None:
    api.answer("/dead-letters", LetterPage(letters=[]))
    assert main(["dead-letters", "list", "--since", "2h"]) == 0
    asked = datetime.fromisoformat(api.asked[0].parameters["since"])
    assert timedelta(hours=1, minutes=59) < datetime.now(UTC) - asked < timedelta(hours=2, minutes=1)


def test_what_a_letter_says_cannot_steer_the_terminal(api: CannedApi, capsys: Output) -> None:
    api.answer("/dead-letters", LetterPage(letters=[letter()]))
    assert main(["dead-letters", "list", "-o", "table"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[31mlong" in out


def test_a_letter_is_shown_whole_and_its_bytes_can_be_read(api: CannedApi, capsys: Output) -> None:
    detail = LetterDetail(
        letter=letter(state="replayed", replays=1, run_id="r1"),
        record_time=NOW,
        key=None,
        value=Bytes(size=18, hex=b"\xff\x00abcdefghijklmnop".hex()),
        headers=[("ce_id", Bytes(size=2, text="e1")), ("odd", Bytes(size=1, hex="fe"))],
        first_id="l0",
        previous_id="l0",
        following=["l9"],
        replayed=[LetterReplay(replay_id="x", time=NOW, topic="runherald.events", partition=0, offset=99, user="ann", late=True)],
    )
    api.answer("/dead-letters/l1", detail)
    assert main(["dead-letters", "show", "l1", "-o", "table"]) == 0
    out = capsys.readouterr().out
    for piece in (
        "l0",
        "l9",
        "offset 99 late by ann",
        "0xfe",
        "ff 00 61",
        "..abcdefghijklmn",
        "00000010  6f 70",
        "runherald.events/0 offset 1",
    ):
        assert piece in out, piece


@pytest.mark.parametrize(
    ("arguments", "answer", "status", "said"),
    [
        ((), [item("good"), item("fails", number=2), item("late", number=3)], 0, "nothing was sent: 1 of 3 letters would be; --yes"),
        (("--late",), [item("good"), item("late", number=3)], 0, "2 of 2 letters would be"),
        (("--yes",), [item("good", sent=True)], 0, "1 of 1 letters were sent"),
        (("--yes",), [item("good", sent=True), item("fails", number=2)], 1, "1 of 2 letters were sent"),
        (("--yes",), [item("replayed")], 0, "0 of 1 letters were sent"),
        (("--yes",), [], 0, "0 of 0 letters were sent"),
    ],
)
def test_a_replay_says_what_it_did_and_fails_when_letters_were_left(
    api: CannedApi, capsys: Output, arguments: tuple[str, ...], answer: list[ReplayItem], status: int, said: str
) -> None:
    confirmed = "--yes" in arguments
    api.answer("/dead-letters/replay", ReplayAnswer(replay_id="x", confirmed=confirmed, items=answer), method="POST")
    assert main(["dead-letters", "replay", "-p", "history", *arguments]) == status
    assert said in capsys.readouterr().err
    body = json.loads(api.asked[0].body)
    assert body["selection"] == {"processor": "history"}
    assert (body["confirmed"], body["limit"]) == (confirmed, 100)


def test_letters_are_replayed_by_their_ids(api: CannedApi) -> None:
    api.answer("/dead-letters/replay", ReplayAnswer(replay_id="x", confirmed=False, items=[]), method="POST")
    assert main(["dead-letters", "replay", "l1", "l2"]) == 0
    assert json.loads(api.asked[0].body)["selection"] == {"ids": ["l1", "l2"]}


def test_a_processor_is_let_go_on(api: CannedApi, capsys: Output) -> None:
    api.answer("/dead-letters/go-on", Intake(accepted=1), method="POST")
    assert main(["dead-letters", "go-on", "history", "--allow", "5"]) == 0
    assert "start it again" in capsys.readouterr().out
    assert {name: json.loads(api.asked[0].body)[name] for name in ("processor", "allow")} == {"processor": "history", "allow": 5}
    assert main(["dead-letters", "go-on", "nobody"]) == 2


@pytest.mark.parametrize(
    "arguments", [["list", "--since", "yesterday"], ["list", "-n", "0"], ["list", "--state", "x"], ["replay", "-n", "1001"], []]
)
def test_wrong_use_is_status_two(arguments: list[str]) -> None:
    assert main(["dead-letters", *arguments]) == 2


def test_the_status_counts_letters_and_says_who_stopped(api: CannedApi, capsys: Output) -> None:
    stop = ProcessorStop(
        processor="history", reason="500 records", topic="t", partition=0, offset=7, time=NOW, remedy="runherald dead-letters go-on history"
    )
    counts = [LetterCount(processor="history", error="data.tags[]", open=3, replayed=2, failed_again=1)]
    api.answer(
        "/status",
        ServerStatus(version="1", log="embedded", history="embedded", partitions=[], dead_letters=3, letters=counts, stops=[stop]),
    )
    assert main(["status", "-o", "table"]) == 0
    out = capsys.readouterr().out
    assert "3 open of 6" in out
    assert "history stopped" in out
    assert "go-on history" in out
    assert any(line.split() == ["history", "data.tags[]", "3", "2", "1"] for line in out.splitlines())
