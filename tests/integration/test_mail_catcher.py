"""The mail catcher keeps messages, refuses as it is told, and lets go of everything when it stops."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from runherald.deploy.mail_catcher import MailCatcher

MESSAGE = "From: a@example.org\r\nTo: b@example.org\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n"


def send(catcher: MailCatcher, user: str = "", password: str = "") -> None:
    with smtplib.SMTP("127.0.0.1", catcher.port, timeout=10) as client:
        if user:
            client.login(user, password)
        client.sendmail("a@example.org", ["b@example.org"], MESSAGE)


def test_a_message_is_kept_with_its_envelope(mail_catcher: MailCatcher) -> None:
    send(mail_catcher)
    [mail] = mail_catcher.messages()
    assert (mail.sender, mail.recipients, mail.subject, mail.message_id) == ("a@example.org", "b@example.org", "hello", "<1@example.org>")
    assert b"body" in mail.path.read_bytes()


@pytest.mark.parametrize("headers", ["Message-ID: <a@", "Message-ID: <a@[b>", "Message-ID: <", "Subject: <a@["])
def test_a_message_of_malformed_headers_is_kept(mail_catcher: MailCatcher, headers: str) -> None:
    with smtplib.SMTP("127.0.0.1", mail_catcher.port, timeout=10) as client:
        client.sendmail("a@example.org", ["b@example.org"], f"{headers}\r\n\r\nbody\r\n")
    [mail] = mail_catcher.messages()
    assert headers in (f"Message-ID: {mail.message_id}", f"Subject: {mail.subject}")


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_it_refuses_at_the_stage_it_is_told(tmp_path: Path, stage: str) -> None:
    def refuse(at: str, _address: str) -> str | None:
        return "451 4.3.0 try later" if at == stage else None

    with MailCatcher(tmp_path, refuse=refuse) as catcher:
        with pytest.raises((smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused), match="try later"):
            send(catcher)
        assert catcher.messages() == []


@pytest.mark.parametrize(("stage", "kept"), [("DROP_BEFORE_ACCEPTING", 0), ("ACCEPTED_THEN_DROP", 1)])
def test_it_drops_the_connection_before_or_after_it_keeps_the_message(tmp_path: Path, stage: str, kept: int) -> None:
    with MailCatcher(tmp_path, refuse=lambda at, _: "drop" if at == stage else None) as catcher:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(catcher)
        assert len(catcher.messages()) == kept


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    with MailCatcher(tmp_path, user="me", password="right") as catcher:
        send(catcher, "me", "right")
        with pytest.raises(smtplib.SMTPAuthenticationError):
            send(catcher, "me", "wrong")
        with pytest.raises(smtplib.SMTPException):
            send(catcher)
        assert len(catcher.messages()) == 1
