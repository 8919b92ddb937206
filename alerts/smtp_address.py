"""The address of an SMTP server, as people type it."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from runherald.errors import SettingsError

Tls = Literal["implicit", "require", "offered", "never"]

_FORM = "write smtp://user:password@host:port or smtps://user:password@host:port"
_CHOICES: dict[str, dict[str, Tls | bool]] = {
    "starttls": {"require": "require", "offered": "offered", "never": "never"},
    "verify": {"yes": True, "no": False},
}
_PORTS = {"smtp": 25, "submission": 587, "smtps": 465}


class SmtpServer(Struct, frozen=True, kw_only=True):
    """An SMTP server and how to talk to it.

    Attributes:
        tls: implicit from the first byte; else STARTTLS required, used when it is offered, or never used.
        verify: whether its certificate must be good.
        ca: a file of certificates to trust instead of the system's.
    """

    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: Tls = "offered"
    verify: bool = True
    ca: Path | None = None

    @property
    def for_humans(self) -> str:
        """The address without user and password."""
        return f"{'smtps' if self.tls == 'implicit' else 'smtp'}://{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"SmtpServer({self.for_humans})"


def parse_smtp(url: str) -> SmtpServer:
    """Return the server that a URL names.

    `smtp://[user:password@]host[:port][?starttls=require|offered|never&verify=no&ca=/file]`, or `smtps://` for TLS from the first byte.
    The port is 465 for smtps, else 587 with a user and 25 without. A password is sent without TLS to this machine alone, unless
    `starttls=never` says so.

    Raises:
        SettingsError: the URL cannot be used. The message never holds the password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SettingsError(f"mail.smtp: is not a URL; {_FORM}") from None
    if parts.scheme not in ("smtp", "smtps") or not host:
        raise SettingsError(f"mail.smtp: is not the address of an SMTP server; {_FORM}")
    if parts.path not in ("", "/") or parts.fragment:
        raise SettingsError(f"mail.smtp: has a path after the port; {_FORM}, and write characters such as / in a password as %2F")
    said = _options(parts)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    implicit = parts.scheme == "smtps"
    if implicit and "starttls" in said:
        raise SettingsError("mail.smtp: starttls has no place with smtps://, which is TLS from the first byte; leave it out or use smtp://")
    ca = Path(said["ca"]) if "ca" in said else None
    if ca is not None and not ca.is_file():
        raise SettingsError(f"mail.smtp: ca={ca} is not a file; name one with the certificates to trust")
    starttls = _CHOICES["starttls"].get(said.get("starttls", ""))
    tls: Tls = starttls if isinstance(starttls, str) else "require" if password and not _is_here(host) else "offered"
    return SmtpServer(
        host=host,
        port=port or _PORTS["smtps" if implicit else "submission" if user else "smtp"],
        user=user,
        password=password,
        tls="implicit" if implicit else tls,
        verify=said.get("verify", "yes") == "yes",
        ca=ca,
    )


def _options(parts: SplitResult) -> dict[str, str]:
    said: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key != "ca" and key not in _CHOICES:
            raise SettingsError(f"mail.smtp: there is no option {key[:40]!r}; there are ca, starttls and verify")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise SettingsError(f"mail.smtp: {key} is none of its values; write one of {', '.join(_CHOICES[key])}")
        said[key] = value
    return said


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
