"""Mail to a real SMTP server that refuses, hangs up, asks for a password, speaks TLS, or is away."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from runherald.alerts.smtp import Accepted, Failed, SmtpTransport
from runherald.alerts.smtp_address import parse_smtp
from runherald.deploy.mail_catcher import MailCatcher

SENDER = "herald@example.org"
MESSAGE = b"Message-ID: <1@example.org>\r\nSubject: one\r\n\r\nbody\r\n"

Open = Callable[..., SmtpTransport]


@pytest.fixture
async def transport() -> AsyncIterator[Open]:
    """Make transports, and close their connections at the end."""
    opened: list[SmtpTransport] = []

    def open_transport(url: str, timeout: float = 5.0) -> SmtpTransport:
        opened.append(SmtpTransport(parse_smtp(url), timeout=timeout))
        return opened[-1]

    yield open_transport
    for one in opened:
        await one.close_idle(0.0)


def script(**answers: list[str]) -> Callable[[str, str], str | None]:
    """Return what refuses at a stage by its list of replies, and takes all after it."""
    return lambda stage, _: answers[stage].pop(0) if answers.get(stage) else None


async def test_a_mail_is_taken_as_it_is(mail_catcher: MailCatcher, transport: Open) -> None:
    delivery = await transport(mail_catcher.url).send(SENDER, "me@example.org", MESSAGE)
    assert isinstance(delivery, Accepted)
    [mail] = mail_catcher.messages()
    assert (mail.sender, mail.recipients, mail.subject, mail.message_id) == (SENDER, "me@example.org", "one", "<1@example.org>")
    assert mail.path.read_bytes().endswith(MESSAGE)


async def test_a_burst_goes_over_one_connection(mail_catcher: MailCatcher, transport: Open) -> None:
    sender = transport(mail_catcher.url)
    for number in range(5):
        await sender.send(SENDER, f"{number}@example.org", MESSAGE)
    assert len(mail_catcher.messages()) == 5
    assert len(mail_catcher._sessions) == 1


@pytest.mark.parametrize(
    ("stage", "reply", "permanent", "fault", "reason"),
    [
        ("RCPT", "451 4.3.0 try later", False, "reply", "recipient_deferred: 451"),
        ("RCPT", "452 4.2.2 mailbox full", False, "reply", "recipient_deferred: 452"),
        ("RCPT", "550 5.1.1 no such user", True, "reply", "recipient_refused: 550"),
        ("DATA", "451 4.3.0 try later", False, "reply", "message_deferred: 451"),
        ("DATA", "554 5.7.1 looks like spam", True, "reply", "message_refused: 554"),
        ("MAIL", "553 5.1.8 not your domain", False, "connection", "sender: smtp://127.0.0.1"),
        ("DROP_BEFORE_ACCEPTING", "drop", False, "connection", "connection: smtp://127.0.0.1"),
        ("ACCEPTED_THEN_DROP", "drop", False, "connection", "connection: smtp://127.0.0.1"),
    ],
)
async def test_a_refusal_is_understood_and_the_next_mail_goes(
    tmp_path: Path, transport: Open, stage: str, reply: str, permanent: bool, fault: str, reason: str
) -> None:
    with MailCatcher(tmp_path, refuse=script(**{stage: [reply]})) as catcher:
        sender = transport(catcher.url)
        refused = await sender.send(SENDER, "me@example.org", MESSAGE)
        assert isinstance(refused, Failed)
        assert (refused.permanent, refused.fault) == (permanent, fault)
        assert refused.reason.startswith(reason)
        assert isinstance(await sender.send(SENDER, "me@example.org", MESSAGE), Accepted)
        ids = Counter(mail.message_id for mail in catcher.messages())
        assert ids == {"<1@example.org>": 2 if stage == "ACCEPTED_THEN_DROP" else 1}


async def test_a_server_that_is_away_is_named_and_found_when_it_is_back(tmp_path: Path, free_port: int, transport: Open) -> None:
    sender = transport(f"smtp://127.0.0.1:{free_port}")
    failed = await sender.send(SENDER, "me@example.org", MESSAGE)
    assert isinstance(failed, Failed)
    assert (failed.permanent, failed.fault) == (False, "connection")
    assert f"smtp://127.0.0.1:{free_port}" in failed.reason
    with MailCatcher(tmp_path, port=free_port) as catcher:
        assert isinstance(await sender.send(SENDER, "me@example.org", MESSAGE), Accepted)
        assert len(catcher.messages()) == 1


async def test_a_server_that_restarts_costs_no_mail(tmp_path: Path, free_port: int, transport: Open) -> None:
    sender = transport(f"smtp://127.0.0.1:{free_port}")
    for _ in range(2):
        with MailCatcher(tmp_path, port=free_port):
            answers = [await sender.send(SENDER, "me@example.org", MESSAGE) for _ in range(2)]
            assert isinstance(answers[-1], Accepted)


async def test_a_server_that_says_nothing_is_given_up_in_time(transport: Open) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    failed = await transport(f"smtp://127.0.0.1:{port}", timeout=0.3).send(SENDER, "me@example.org", MESSAGE)
    assert isinstance(failed, Failed)
    assert (failed.permanent, failed.fault) == (False, "connection")
    assert failed.reason.startswith("timeout: ")
    server.close()
    await server.wait_closed()


async def test_a_password_is_used_and_a_wrong_one_is_our_own_fault(
    tmp_path: Path, transport: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with MailCatcher(tmp_path, user="herald", password="s3cret/") as catcher:
        good = await transport(f"smtp://herald:s3cret%2F@127.0.0.1:{catcher.port}").send(SENDER, "me@example.org", MESSAGE)
        assert isinstance(good, Accepted)
        bad = await transport(f"smtp://herald:hunter2@127.0.0.1:{catcher.port}").send(SENDER, "me@example.org", MESSAGE)
        assert isinstance(bad, Failed)
        assert not bad.permanent
        assert bad.reason.startswith("login: smtp://127.0.0.1")
        assert "check the settings of mail" in caplog.text
        assert "hunter2" not in caplog.text + bad.reason


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, with its key in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run([openssl, *command, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(("options", "taken"), [("?ca={ca}", True), ("?verify=no", True), ("", False)])
async def test_tls_with_a_certificate_that_must_be_good(
    tmp_path: Path, transport: Open, certificate: Path, implicit: bool, options: str, taken: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with MailCatcher(tmp_path, tls=context, implicit_tls=implicit) as catcher:
        url = f"{'smtps' if implicit else 'smtp'}://127.0.0.1:{catcher.port}{options.format(ca=certificate)}"
        sender = transport(url)
        delivery = await sender.send(SENDER, "me@example.org", MESSAGE)
        await sender.close_idle(0.0)
        assert isinstance(delivery, Accepted) is taken
        if isinstance(delivery, Failed):
            assert not delivery.permanent
            assert "certificate" in delivery.reason
        assert len(catcher.messages()) == taken


async def test_no_password_goes_over_the_wire_in_the_clear(tmp_path: Path, transport: Open) -> None:
    with MailCatcher(tmp_path, user="herald", password="s3cret") as catcher:
        refused = await transport(f"smtp://herald:s3cret@127.0.0.1:{catcher.port}?starttls=require").send(SENDER, "me@example.org", MESSAGE)
        assert isinstance(refused, Failed)
        assert refused.reason.startswith("not_supported: ")
        assert not catcher.messages()
