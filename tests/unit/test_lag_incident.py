"""When the operator is told that the pipeline lags, and what the mail says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

import pytest

from runherald.alerts.lag_incident import MAX_ATTEMPTS, Symptom, Watched, due, look, told
from runherald.alerts.lag_mail import LagComposer
from runherald.alerts.smtp import Accepted, Delivery, Failed
from runherald.api import ServerStatus
from runherald.errors import Unreachable
from runherald.studio.lag_watch import LagWatch, PipelineLook

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMIT = 60.0
STEP = 10
TO = ("a@example.org", "b@example.org")
LATER = Failed(permanent=False, fault="connection", reason="away")
NEVER = Failed(permanent=True, fault="reply", reason="no such user")
OK = Accepted("250 OK")


class Story:
    """Looks at even distances; every mail that is due is taken by what `answer` says."""

    def __init__(self, answer: Callable[[str], Delivery] = lambda _: OK, recipients: Sequence[str] = TO) -> None:
        self.watched = Watched()
        self.now = NOW
        self.answer = answer
        self.recipients = recipients
        self.mails: list[tuple[str, str, str]] = []
        """Kind, incident, and recipient of each that was taken."""

    def see(self, *ages: float) -> Story:
        for age in ages:
            self.now += timedelta(seconds=STEP)
            symptoms = [Symptom("history", age), Symptom("leases", 0.0)]
            incident_id = f"{self.now:%M:%S}"
            self.watched = look(self.watched, symptoms, self.now, limit=LIMIT, recipients=self.recipients, incident_id=incident_id)
            telling = due(self.watched, self.now)
            if telling is not None:
                outcomes = {recipient: self.answer(recipient) for recipient in telling.waiting}
                self.mails += [(telling.kind, telling.incident.incident_id, to) for to, end in outcomes.items() if end is OK]
                self.watched = told(self.watched, outcomes, self.now, chance=0.0)
        return self

    def kinds(self) -> list[str]:
        return [kind for kind, _, recipient in self.mails if recipient == TO[0]]


CASES: dict[str, tuple[list[float], list[str]]] = {
    "within the limit": ([0, 30, 60, 60, 60, 0], []),
    "one look alone, as after a machine has slept": ([61, 0, 3_600, 0, 61, 0], []),
    "once, however long it lasts": ([50, 61, 70, 80, *[3_600.0] * 50], ["begun"]),
    "and once when it is over": ([61, 70, 80, 0, 0, 0, 0, 0, 0, 0], ["begun", "over"]),
    "below the limit is not over yet": ([61, 70, *[31.0] * 20], ["begun"]),
    "it does not flap": ([61, 70, *[0.0, 0.0, 61.0, 70.0] * 10], ["begun"]),
    "the next one is told of again": ([61, 70, 0, 0, 0, 0, 61, 70, 0, 0, 0, 0], ["begun", "over"] * 2),
}


@pytest.mark.parametrize(("ages", "kinds"), CASES.values(), ids=CASES)
def test_an_incident_is_told_of_once_and_once_when_it_is_over(ages: list[float], kinds: list[str]) -> None:
    story = Story().see(*ages)
    assert story.kinds() == kinds
    assert len(story.mails) == 2 * len(kinds), "each recipient is told"


def test_what_is_over_says_when_it_began_and_how_far_it_was_behind() -> None:
    story = Story(answer=lambda _: LATER).see(61, 70, 500, 90, 0, 0, 0, 0)
    telling = story.watched.telling
    assert telling is not None
    assert telling.kind == "over"
    assert telling.incident.began == NOW + timedelta(seconds=2 * STEP)
    assert telling.incident.ended == NOW + timedelta(seconds=5 * STEP), "when it was well again, not when that was believed"
    assert telling.incident.worst == (Symptom("history", 500.0),)


def test_who_could_not_be_told_is_told_later_and_nobody_twice() -> None:
    away = {TO[1]}
    story = Story(answer=lambda to: LATER if to in away else OK).see(61, 70, 80, 90)
    assert story.mails == [("begun", "04:25", TO[0])]
    assert story.watched.telling is not None
    assert story.watched.telling.waiting == (TO[1],)
    away.clear()
    story.see(100, 110, 120, 130)
    assert story.mails == [("begun", "04:25", TO[0]), ("begun", "04:25", TO[1])]
    assert story.watched.telling is None


def test_a_server_that_is_away_is_tried_ever_more_rarely_and_not_for_ever() -> None:
    tries: list[str] = []

    def answer(to: str) -> Delivery:
        tries.append(to)
        return LATER

    story = Story(answer=answer, recipients=TO[:1]).see(*[100.0] * 360)  # an hour
    assert 4 <= len(tries) <= 8
    story.see(*[100.0] * 360 * 8)
    assert len(tries) == MAX_ATTEMPTS
    assert story.watched.telling is None
    assert story.watched.incident is not None


def test_a_clock_that_is_set_back_makes_nobody_wait_for_it() -> None:
    answers: list[Delivery] = [LATER, OK]
    story = Story(answer=lambda _: answers.pop(0), recipients=TO[:1])
    story.now += timedelta(hours=2)
    story.see(61, 61)
    story.now -= timedelta(hours=2)
    assert story.see(61).kinds() == ["begun"]


def test_a_refused_recipient_is_not_tried_again() -> None:
    story = Story(answer=lambda to: NEVER if to == TO[1] else OK).see(61, 70, 80)
    assert story.mails == [("begun", "04:25", TO[0])]
    assert story.watched.telling is None


def test_a_beginning_that_could_not_be_told_gives_way_to_the_end() -> None:
    well = [False]
    story = Story(answer=lambda _: OK if well[0] else LATER).see(61, 70, 0, 0, 0, 0)
    well[0] = True
    story.see(*[0.0] * 10)
    assert story.kinds() == ["over"]


def test_an_end_that_nobody_was_told_of_is_none_when_it_lags_again() -> None:
    answers: dict[str, Delivery] = {"begun": OK, "over": LATER}
    story = Story()
    story.answer = lambda _: answers[story.watched.telling.kind] if story.watched.telling else OK
    story.see(61, 70, 0, 0, 0, 0, 61, 70)
    assert story.kinds() == ["begun"]
    answers["over"] = OK
    story.see(0, 0, 0, 0, 0)
    assert story.mails[::2] == [("begun", "04:25", TO[0]), ("over", "04:25", TO[0])], "it is the same incident"


def test_without_recipients_there_is_an_incident_and_no_mail() -> None:
    story = Story(recipients=()).see(61, 70)
    assert story.watched.incident is not None
    assert story.watched.telling is None


class Sent:
    """Takes mails, or does not."""

    def __init__(self) -> None:
        self.answer: Delivery = OK
        self.mails: list[EmailMessage] = []

    def __call__(self, mails: Mapping[str, bytes]) -> Mapping[str, Delivery]:
        self.mails += [message_from_bytes(mail, policy=default) for mail in mails.values()]
        return dict.fromkeys(mails, self.answer)


class Server:
    """A log and a history that may be away, and the time."""

    def __init__(self) -> None:
        self.now = NOW
        self.away = False

    def log(self) -> ServerStatus:
        return ServerStatus(version="1", log="l", history="h", partitions=[])

    def history(self) -> None:
        if self.away:
            raise Unreachable("history http://h: cannot answer now <b>")

    def watch(self, sent: Sent, file: Path) -> LagWatch:
        look_at = PipelineLook(self.log, self.history, lambda: self.now, seconds=5)
        composer = LagComposer("Run Herald <herald@example.org>", public_url="https://runs.example.org/", limit=LIMIT)
        ids = iter(("first", "second", "third", *["later"] * 99))
        return LagWatch(
            look_at,
            composer,
            sent,
            file,
            limit=LIMIT,
            recipients=TO[:1],
            clock=lambda: self.now,
            chance=lambda: 0.0,
            new_id=lambda: next(ids),
        )

    def let_pass(self, watch: LagWatch, looks: int) -> None:
        for _ in range(looks):
            self.now += timedelta(seconds=STEP)
            watch.step()


def test_a_history_that_is_away_is_told_of_over_restarts_once(tmp_path: Path) -> None:
    server, sent, file = Server(), Sent(), tmp_path / "watch.json"
    watch = server.watch(sent, file)
    server.let_pass(watch, 3)
    assert sent.mails == []
    server.away = True
    server.let_pass(watch, 12)
    assert len(sent.mails) == 1
    again = server.watch(sent, file)
    server.let_pass(again, 12)
    assert len(sent.mails) == 1, "a restart does not tell again"
    server.away = False
    server.let_pass(again, 8)
    server.let_pass(server.watch(sent, file), 8)
    begun, over = sent.mails
    assert begun["Subject"] == "[runherald] The database of history has not answered for 1 min 20 s"
    assert over["Subject"].startswith("[runherald] The pipeline is up to date again after ")
    assert begun["References"] == over["References"]
    assert begun["Message-ID"] != over["Message-ID"]


def test_a_mail_that_is_tried_again_is_the_same_mail(tmp_path: Path) -> None:
    server, sent = Server(), Sent()
    watch = server.watch(sent, tmp_path / "watch.json")
    server.away, sent.answer = True, LATER
    server.let_pass(watch, 12)
    assert len(sent.mails) > 1
    assert len({mail["Message-ID"] for mail in sent.mails}) == 1


def test_the_mail_is_for_people_and_not_for_machines_to_answer(tmp_path: Path) -> None:
    server, sent = Server(), Sent()
    watch = server.watch(sent, tmp_path / "watch.json")
    server.away = True
    server.let_pass(watch, 10)
    (mail,) = sent.mails
    assert (mail["From"], mail["To"]) == ("Run Herald <herald@example.org>", TO[0])
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = (cast("EmailMessage", mail.get_body((kind,))).get_content() for kind in ("plain", "html"))
    for body in (text, html):
        assert "https://runs.example.org/status" in body
        assert "watch.lag_seconds" in body
    assert "history http://h: cannot answer now <b>" in text
    assert "&lt;b&gt;" in html
    assert "<b>cannot" not in html


def test_what_is_kept_and_cannot_be_read_is_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "watch.json"
    file.write_bytes(b"\x00not json")
    server, sent = Server(), Sent()
    watch = server.watch(sent, file)
    assert "event=lag_watch_forgotten" in caplog.text
    server.away = True
    server.let_pass(watch, 10)
    assert len(sent.mails) == 1
