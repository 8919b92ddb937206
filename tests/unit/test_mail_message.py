"""What a mail says, and that nothing in a run's names can make it say something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runherald.alerts.addresses import domain_of, wrong_address
from runherald.alerts.backoff import next_delay
from runherald.alerts.decisions import decide
from runherald.alerts.message import Composer
from runherald.alerts.outbox import Notice, decided_notices
from runherald.alerts.rule import Rule, Severity, StatusCondition
from runherald.alerts.rules import Rules
from runherald.alerts.smtp_address import parse_smtp
from runherald.alerts.subject import subject_of
from runherald.durations import duration_in_words, parse_duration
from runherald.errors import SettingsError
from runherald.events import (
    AmlRunStatusChangedEvent,
    DebugInfo,
    ErrorEnvelope,
    Evidence,
    PathStep,
    RootError,
    RunHeader,
    new_event,
)
from runherald.sinks.run_context import MetricSummary, RunContext
from runherald.status import Cause, Status

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EVERYTHING = StatusCondition(status=tuple(Status))
TRACEBACK = "Traceback (most recent call last):\n" + '  File "train.py", line 1, in f\n' * 40 + "ValueError: boom"


def transition(**said: Any) -> AmlRunStatusChangedEvent:
    header = {"experiment_name": "digits", "display_name": "lr=10", **said.pop("header", {})}
    debug = DebugInfo(type="ValueError", message="boom", stack_trace=TRACEBACK)
    values = {
        "status": Status.FAILED,
        "previous_status": Status.RUNNING,
        "cause": Cause.CODE_ERROR,
        "error": ErrorEnvelope(error=RootError(message="boom", debug_info=debug)),
        "evidence": Evidence(exit_code=1, signal=9, last_seen=NOW - timedelta(seconds=5)),
        "path": (
            PathStep(status=Status.QUEUED, time=NOW - timedelta(minutes=5)),
            PathStep(status=Status.RUNNING, time=NOW - timedelta(minutes=2)),
            PathStep(status=Status.FAILED, time=NOW),
        ),
        "start_time": NOW - timedelta(minutes=2),
        "end_time": NOW,
        "revision": 3,
    }
    return AmlRunStatusChangedEvent(header=RunHeader(**header), **{**values, **said})


def notice(to: str = "me@example.org", run_id: str = "run-1", template: str = "run", **said: Any) -> Notice:
    data = transition(**said)
    event = new_event(data, workspace="default", run_id=run_id, producer="x", sequence=data.revision, time=NOW)
    rule = Rule(name="my-rule", when=EVERYTHING, receivers=(to,), severity=Severity.ERROR, template=template)
    [decision] = decide(Rules([rule]), event, NOW + timedelta(milliseconds=100))
    return next(decided_notices(decision, partition=0, offset=0))


def compose(one: Notice, context: RunContext | None = None, **composer: Any) -> EmailMessage:
    raw = Composer("Run Herald <herald@bücher.example>", **composer).compose(one, context, NOW + timedelta(milliseconds=400))
    raw.decode("ascii")
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    return mail


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_headers_make_one_thread_of_a_run_and_one_message_of_a_notice() -> None:
    first, again, later = (compose(notice(revision=revision)) for revision in (3, 3, 5))
    assert first["Message-ID"] == again["Message-ID"] != later["Message-ID"]
    assert first["References"] == first["In-Reply-To"] == later["References"]
    assert first["References"] != compose(notice(run_id="run-2"))["References"]
    assert first["Message-ID"].endswith("@xn--bcher-kva.example>")
    assert first["From"] == "Run Herald <herald@xn--bcher-kva.example>"
    assert first["To"] == "me@example.org"
    assert first["Date"] == "Sat, 21 Nov 2026 12:00:00 +0000"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["List-Id"] == "<my-rule.runherald.xn--bcher-kva.example>"
    assert first["List-Unsubscribe"] is None


def test_one_click_unsubscription_is_offered_where_the_server_takes_it() -> None:
    one = notice()
    mail = compose(one, unsubscribe_url=f"https://{'runs.' * 20}example.org/unsubscribe/")
    assert mail["List-Unsubscribe"] == f"<https://{'runs.' * 20}example.org/unsubscribe/{one.notice_id}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    ("said", "subject"),
    [
        ({}, "Failed: digits/lr=10 — ValueError: boom"),
        ({"header": {"display_name": ""}}, "Failed: digits/run-1 — ValueError: boom"),
        ({"error": None}, "Failed: digits/lr=10 — error in the code"),
        ({"claim": True, "cause": Cause.LOST_CONTACT}, "Failed: digits/lr=10 — lost contact"),
        ({"error": None, "cause": Cause.OUT_OF_MEMORY}, "Failed: digits/lr=10 — out of memory"),
        ({"status": Status.COMPLETED, "error": None, "cause": None}, "Completed: digits/lr=10"),
        (
            {"status": Status.NOT_RESPONDING, "error": None, "evidence": Evidence(lease_seconds=60.0)},
            "NotResponding: digits/lr=10 — no sign of life for 60 s",
        ),
        (
            {"status": Status.RUNNING, "previous_status": Status.NOT_RESPONDING, "correction": True, "error": None},
            "Corrected: digits/lr=10 — the run is alive, NotResponding was wrong",
        ),
        (
            {"status": Status.COMPLETED, "previous_status": Status.FAILED, "correction": True, "error": None},
            "Corrected: Completed: digits/lr=10 — Failed was wrong",
        ),
        ({"header": {"display_name": "Größe ∂ 汉字 🚀"}}, "Failed: digits/Größe ∂ 汉字 🚀 — ValueError: boom"),
    ],
)
def test_the_subject_says_what_happened(said: dict[str, Any], subject: str) -> None:
    assert compose(notice(**said))["Subject"] == subject


@settings(deadline=None)
@given(st.text(max_size=400), st.text(max_size=400), st.text(min_size=1, max_size=60))
def test_no_name_can_add_a_header_or_markup(name: str, message: str, run_id: str) -> None:
    name, message = f"{name}\r\nBcc: victim@example.org\r\n\r\n<script>", f"\n<b>{message}"
    error = ErrorEnvelope(error=RootError(message=message, debug_info=DebugInfo(type="E\r\nX: y", message=message, stack_trace=message)))
    one = notice(run_id=run_id, header={"display_name": name, "tags": {name: name}}, error=error)
    context = RunContext(lines=(message,), parent_name=name)
    raw = Composer("herald@example.org", public_url="http://h").compose(one, context, NOW)
    mail = message_from_bytes(raw, policy=default)
    assert mail["Bcc"] is None
    assert mail["X"] is None
    assert mail["To"] == "me@example.org"
    assert isinstance(mail, EmailMessage)
    html = body(mail, "html")
    assert "<script>" not in html
    assert "<b>" not in html.replace("<b>my-rule</b>", "")


def test_nothing_in_a_mail_steers_the_terminal_it_is_read_in() -> None:
    steering = "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\ link\x9b2J\x08 end\r"
    error = ErrorEnvelope(error=RootError(message="m", debug_info=DebugInfo(type="E", message="m", stack_trace=f"first\n{steering}")))
    context = RunContext(lines=(steering,))
    mail = message_from_bytes(Composer("herald@example.org").compose(notice(message=steering, error=error), context, NOW), policy=default)
    assert isinstance(mail, EmailMessage)
    for kind in ("plain", "html"):
        text = body(mail, kind)
        assert text.count("red link2J end") == 3
        assert not [character for character in text if not character.isprintable() and character not in "\n\r"]


def test_the_mail_says_what_failed_and_why() -> None:
    context = RunContext(
        lines=("epoch 1", "epoch 2 <nan>"),
        metrics=(MetricSummary(name="loss", last=0.25, lowest=0.125, highest=2.0, last_step=59, points=60),),
        parent_name="digits sweep",
        siblings={"Completed": 3, "Running": 2},
    )
    mail = compose(notice(header={"parent_run_id": "p", "user": "ann"}), context, public_url="http://runs.example.org/")
    text = body(mail, "plain")
    for words in (
        "lr=10 failed\nValueError: boom\n",
        "http://runs.example.org/runs/run-1",
        "… 22 lines above",
        "ValueError: boom",
        "epoch 2 <nan>",
        "Ran for: 2 min",
        "Exit code: 1",
        "Killed by signal: SIGKILL (9)",
        "Last heard of: 2026-11-21 11:59:55.000 UTC",
        "digits sweep: 4 of 6 runs have ended (3 Completed, 2 Running, 1 Failed).",
        "loss: 0.25 at step 59 (0.125 to 2)",
        "Queued for 3 min",
        "Sent 0.4 s after the event.",
        "Decided 2026-11-21 12:00:00.100 UTC",
        "Rule my-rule (error)",
    ):
        assert words in text
    html = body(mail, "html")
    assert "epoch 2 &lt;nan&gt;" in html
    assert "prefers-color-scheme: dark" in html
    assert 'href="http://runs.example.org/runs/run-1"' in html


@pytest.mark.parametrize(
    ("message", "shown"), [("User program failed with ValueError: boom", False), ("boom", False), ("The node was drained.", True)]
)
def test_the_message_is_shown_where_the_error_does_not_say_it(message: str, shown: bool) -> None:
    assert (message in body(compose(notice(message=message)), "plain").split("\n")[2]) is shown


def test_without_an_answer_of_history_the_mail_says_so() -> None:
    text = body(compose(notice()), "plain")
    assert "history did not answer in time" in text
    assert "ValueError: boom" in text


def test_the_brief_mail_is_brief() -> None:
    mail = compose(notice(template="brief"), public_url="http://runs.example.org")
    assert len(body(mail, "plain").splitlines()) == 4
    assert "Traceback" not in body(mail, "html")


def test_a_run_of_which_only_its_id_is_known_is_told() -> None:
    data = AmlRunStatusChangedEvent(status=Status.FAILED)
    assert subject_of(data, "run-1") == "Failed: run-1"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("smtp://mail", ("mail", 25, "", "offered", True)),
        ("smtp://mail:2525?starttls=require", ("mail", 2525, "", "require", True)),
        ("smtp://u%40x.org:p%2Fw@mail", ("mail", 587, "u@x.org", "require", True)),
        ("smtp://u:p@127.0.0.1:25", ("127.0.0.1", 25, "u", "offered", True)),
        ("smtp://u:p@mail?starttls=never&verify=no", ("mail", 587, "u", "never", False)),
        ("smtps://u:p@mail", ("mail", 465, "u", "implicit", True)),
        ("smtp://[::1]:25", ("::1", 25, "", "offered", True)),
    ],
)
def test_the_address_of_the_server(url: str, said: tuple[Any, ...]) -> None:
    server = parse_smtp(url)
    assert (server.host, server.port, server.user, server.tls, server.verify) == said
    assert "p%2Fw" not in repr(server)
    assert server.password not in repr(server) or not server.password or server.password == "p"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://mail", "SMTP server"),
        ("smtp://", "SMTP server"),
        ("smtp://u:hunter2@mail:port", "is not a URL"),
        ("smtp://u:hunter2@mail?tls=yes", "there is no option 'tls'"),
        ("smtp://u:hunter2@mail?verify=maybe", "write one of yes, no"),
        ("smtps://u:hunter2@mail?starttls=never", "no place with smtps"),
        ("smtp://u:hunter2@mail?ca=/nowhere.pem", "ca=/nowhere.pem is not a file"),
        ("smtp://mail/hunter2@host", "has a path"),
    ],
)
def test_a_wrong_address_of_the_server_is_said_without_the_password(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=r"^mail\.smtp: ") as caught:
        parse_smtp(url)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_of_certificates_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    assert parse_smtp(f"smtp://mail?ca={file}").ca == file


@pytest.mark.parametrize(
    ("address", "right"),
    [("a@b", True), ("a.b+c@example.org", True), ("a@bücher.example", True), ("a", False), ("@b", False), ("a@", False), ("a b@c", False)],
)
def test_addresses(address: str, right: bool) -> None:
    assert (wrong_address(address) == "") is right


def test_the_domain_of_a_sender() -> None:
    assert domain_of("Ann <ann@example.org>") == "example.org"


def test_back_off_grows_to_an_hour_and_spreads() -> None:
    assert [next_delay(failures, 0.0).total_seconds() for failures in (1, 2, 3, 4, 7, 100)] == [1, 4, 16, 64, 3600, 3600]
    assert next_delay(3, 1.0) == timedelta(seconds=8)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("0.5h", 1800), ("", None), ("5", None), ("9999d", None)],
)
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.38, "0.4 s"), (9.96, "10 s"), (59.6, "1 min"), (125, "2 min 5 s"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h"), (-1, "0.0 s")],
)
def test_durations_are_said(seconds: float, words: str) -> None:
    assert duration_in_words(timedelta(seconds=seconds)) == words
