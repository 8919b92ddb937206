"""The pure parts of the server: batches, the timeline, words, charts, the feed, who may come in."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from runherald import status_words
from runherald.api import RunView, TransitionView
from runherald.durations import short_duration
from runherald.errors import InvalidEvent, InvalidInput, Unreachable
from runherald.events import DebugInfo, ErrorEnvelope, Evidence, RootError
from runherald.limits import DEFAULT_LIMITS
from runherald.sinks.errors import QueryFailed, QueryRefused
from runherald.sinks.metric_queries import Curve
from runherald.status import Cause, Status
from runherald.streams.errors import LogFull
from runherald.studio import words
from runherald.studio.access import is_token, session_of
from runherald.studio.answers import fault_of
from runherald.studio.batch import read_batch
from runherald.studio.charts import MAX_CHARTS, charts_of
from runherald.studio.errors import Busy, Foreign, NotFound, NotYet, TooLarge, TooSlow, Unauthorized
from runherald.studio.headers import read_body
from runherald.studio.live import MAX_PENDING, LiveFeed
from runherald.studio.mails import MailFolder
from runherald.studio.timeline import WIDTH, segments
from runherald.wire import encode_batch
from tests.history_feed import NOW, Teller


def test_a_batch_keeps_the_order_of_what_it_takes() -> None:
    run = Teller("r")
    members = json.loads(encode_batch([run.created(), run.status(Status.RUNNING)]))
    batch = read_batch(json.dumps([members[0], {}, members[1]]).encode(), DEFAULT_LIMITS)
    assert [dict(record.headers)["ce_sequence"] for record in batch.records] == [b"0", b"1"]
    assert batch.run_ids == {"r"}
    assert [rejected.index for rejected in batch.rejected] == [1]


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b"\xff\xfe", b'"text"', b"[" * 100_000])
def test_what_is_no_batch_is_refused_whole(body: bytes) -> None:
    with pytest.raises(InvalidEvent, match="body"):
        read_batch(body, DEFAULT_LIMITS)


def test_a_member_that_is_no_text_is_refused_alone() -> None:
    member = encode_batch([Teller("r").created()])[1:-1]
    batch = read_batch(b"[" + member + b', {"id": "\xff\xfe"}, {"id": 1}]', DEFAULT_LIMITS)
    assert len(batch.records) == 1
    assert [(refused.index, refused.id) for refused in batch.rejected] == [(1, ""), (2, "")]


def test_a_batch_of_too_many_members_is_refused_whole() -> None:
    small = replace(DEFAULT_LIMITS, batch_events=3)
    assert len(read_batch(b"[1,1,1]", small).rejected) == 3
    with pytest.raises(InvalidEvent, match="4 events; at most 3"):
        read_batch(b"[1,1,1,1]", small)


def step(status: str, seconds: float, *, accepted: bool = True) -> TransitionView:
    time = NOW + timedelta(seconds=seconds)
    return TransitionView(run_id="r", status=status, previous_status="", time=time, attempt=1, revision=0, accepted=accepted)


def test_the_timeline_gives_each_status_its_share() -> None:
    steps = [step("Queued", 0), step("Running", 30), step("Completed", 3, accepted=False), step("Completed", 90)]
    parts = segments(steps, NOW + timedelta(hours=1))
    assert [(part.step.status, part.seconds) for part in parts] == [("Queued", 30.0), ("Running", 60.0), ("Completed", None)]
    assert parts[1].width == pytest.approx(2 * parts[0].width, rel=0.02)
    assert parts[-1].x + parts[-1].width == pytest.approx(WIDTH, abs=0.1)


def test_the_last_status_of_a_run_that_goes_on_lasts_until_now() -> None:
    [part] = segments([step("Running", 0)], NOW + timedelta(seconds=5))
    assert (part.seconds, part.end, part.width) == (5.0, None, WIDTH)


def test_clocks_that_disagree_make_no_negative_time() -> None:
    parts = segments([step("Queued", 10), step("Running", 0), step("Failed", 0)], NOW)
    assert [part.seconds for part in parts] == [0.0, 0.0, None]
    assert sum(part.width for part in parts) == pytest.approx(WIDTH, abs=0.1)
    assert segments([], NOW) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0.00 s"), (9.99, "9.99 s"), (9.996, "10.0 s"), (59.96, "1m 00s"), (3_599.6, "1h 00m"), (90_000, "1d 1h")],
)
def test_durations_are_said_as_people_do(seconds: float | None, text: str) -> None:
    assert short_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (24_404, "24.4 kB"),
        (999_600, "1 MB"),
        (3_210_000_000, "3.21 GB"),
        (10**16, "10,000 TB"),
    ],
)
def test_sizes_are_said_as_people_say_them(size: int, said: str) -> None:
    assert words.size_in_bytes(size) == said


def test_every_status_and_cause_has_words_and_a_look() -> None:
    assert set(status_words.KINDS) == set(Status)
    for cause in Cause:
        assert status_words.cause_in_words(cause)
        assert "_" not in status_words.cause_in_words(cause)
    assert status_words.status_name("NotResponding") == "Not responding"
    assert status_words.status_kind("FromTheFuture") == "waiting"


def view(**more: object) -> RunView:
    return RunView(run_id="r", workspace="default", experiment_name="e", status="Failed", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (view(), ""),
        (view(cause="out_of_memory"), "it ran out of memory"),
        (view(cause="out_of_memory", message="Killed\nby the kernel"), "Killed"),
        (view(error=ErrorEnvelope(error=RootError(message="no", debug_info=DebugInfo(type="ValueError")))), "ValueError: no"),
        (view(error=ErrorEnvelope(error=RootError(message="ValueError: no", debug_info=DebugInfo(type="ValueError")))), "ValueError: no"),
        (view(error=ErrorEnvelope(error=RootError(message="User program failed with ValueError: no"))), "ValueError: no"),
    ],
)
def test_the_reason_is_the_most_that_is_known(run: RunView, reason: str) -> None:
    assert words.reason_in_short(run) == reason


def test_evidence_is_told_fact_by_fact() -> None:
    assert words.evidence_in_words(Evidence(exit_code=0, signal=9, host="gpu-07")) == ["exit code 0", "signal SIGKILL", "host gpu-07"]
    assert words.evidence_in_words(None) == []


def curve(run_id: str, name: str, points: int) -> Curve:
    values: list[float | None] = [1.0] * points
    return Curve(run_id=run_id, name=name, steps=list(range(points)), values=values, last=1.0, least=1.0, greatest=1.0, points=points)


def test_charts_hold_all_runs_of_a_metric_and_no_single_numbers() -> None:
    curves = [curve("a", "loss", 2), curve("b", "loss", 1), curve("a", "best", 1)]
    drawn = charts_of([view()], [])
    assert drawn.charts == []
    runs = [RunView(run_id=run_id, workspace="w", experiment_name="e", status="Running", display_name=run_id.upper()) for run_id in "abc"]
    drawn = charts_of(runs, curves)
    assert [(chart.name, [line.label for line in chart.curves]) for chart in drawn.charts] == [("loss", ["A", "B"])]
    assert [run.label for run in drawn.runs] == ["A", "B"]


def test_too_many_charts_are_counted() -> None:
    drawn = charts_of(
        [RunView(run_id="a", workspace="w", experiment_name="e", status="Running")], [curve("a", f"m{n}", 2) for n in range(99)]
    )
    assert (len(drawn.charts), drawn.more) == (MAX_CHARTS, 99 - MAX_CHARTS)


async def test_the_feed_tells_followers_of_a_run_and_of_its_children() -> None:
    feed = LiveFeed()
    with feed.subscribe("p") as one, feed.subscribe() as everything:
        feed.publish("c", "p")
        feed.publish("other")
        feed.publish("c", "p")
        feed.close()
        assert [run_id async for run_id in one.changes()] == ["c"]
        assert [run_id async for run_id in everything.changes()] == ["c", "other"]
    assert not feed.followed


async def test_a_reader_that_does_not_keep_up_is_let_go() -> None:
    feed = LiveFeed()
    with feed.subscribe() as slow:
        for number in range(MAX_PENDING + 1):
            feed.publish(str(number))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert [run_id async for run_id in slow.changes()] == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidEvent("data.x", "is wrong"), 400),
        (InvalidInput("x: is wrong"), 400),
        (QueryRefused("no"), 400),
        (QueryFailed("no"), 400),
        (Unauthorized("no"), 401),
        (Foreign("no"), 403),
        (NotFound("no"), 404),
        (TooLarge("no"), 413),
        (Unreachable("no"), 503),
        (NotYet("no"), 503),
        (LogFull("no"), 503),
        (TooSlow("no"), 408),
        (Busy("no"), 503),
        (ClientDisconnect("secret"), 400),
        (RuntimeError("secret"), 500),
    ],
)
def test_each_error_has_its_status_and_unforeseen_ones_say_nothing(error: Exception, status: int) -> None:
    fault = fault_of(error)
    assert fault.status == status
    assert "secret" not in fault.message


async def test_a_body_that_does_not_come_is_not_waited_for_without_end() -> None:
    async def trickle() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    request = Request({"type": "http", "method": "POST", "headers": []}, trickle)
    with pytest.raises(TooSlow, match=r"within 0\.1 s"):
        await read_body(request, 1_000_000, seconds=0.1)


def test_a_session_proves_the_token_and_does_not_hold_it() -> None:
    assert "s3cret" not in session_of("s3cret")
    assert session_of("s3cret") != session_of("other")
    assert is_token("s3cret", "s3cret")
    assert not is_token("s3cre", "s3cret")
    assert not is_token("schlüssel", "s3cret")


MAIL = (
    b"From: a@example.org\r\nTo: b@example.org\r\nSubject: =?utf-8?q?M=C3=A4il?=\r\nDate: Sun, 01 Mar 2026 12:00:00 +0000\r\n\r\nhello\r\n"
)


BROKEN_MAILS = [
    b"",
    b"\x00\xff",
    b"Date: never\r\nContent-Type: text/html; charset=nonsense\r\n\r\n\xff<b>",
    b"Subject: \r\n\r\n",
    b"From: a <b@\r\n\r\n",
    b"From: <\r\nTo: undisclosed:;<y@z>\r\n\r\n",
    b'To: <"\r\n\r\n',
    b"To: c@[d\r\n\r\n",
    b"Message-ID: <a@\r\n\r\n",
    b"Date: Mon, 1 Jan 2024 00:00:00 " + b"9" * 30 + b"\r\n\r\n",
    b"Content-Type: text/html; charset=u\x00tf-8\r\n\r\nx",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 3_000,
    b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (depth, depth) for depth in range(3_000)),
]


def test_the_mails_of_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(MAIL)
    (tmp_path / "notes.txt").write_text("no mail")
    (tmp_path.parent / "outside.eml").write_bytes(MAIL)
    folder = MailFolder(tmp_path)
    [mail] = folder.newest()
    assert (mail.subject, mail.date) == ("Mäil", datetime(2026, 3, 1, 12, tzinfo=UTC))
    read = folder.read("1.eml")
    assert read is not None
    assert read.text.strip() == "hello"
    for name in ("../outside.eml", "notes.txt", "2.eml", "", ".eml"):
        assert folder.read(name) is None


@pytest.mark.parametrize("content", BROKEN_MAILS)
def test_a_mail_that_is_broken_is_still_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1.eml").write_bytes(content)
    folder = MailFolder(tmp_path)
    [mail] = folder.newest()
    assert mail.subject == "(no subject)"
    read = folder.read("1.eml")
    assert read is not None
    for text in (mail.sender, mail.to, read.text, read.html):
        text.encode()


def test_the_headers_of_a_mail_are_read_as_they_are_meant(tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(
        b"From: =?utf-8?q?M=C3=A4x?= <a@b>\r\nTo: \xff@b,\r\n c@d\r\nSubject: " + b"=?a?q?" * 10_000 + b"\r\n\r\n"
    )
    [mail] = MailFolder(tmp_path).newest()
    assert (mail.sender, mail.to) == ("Mäx <a@b>", "\N{REPLACEMENT CHARACTER}@b, c@d")
    assert len(mail.subject) <= 2_000
