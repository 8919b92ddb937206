"""What values settings may have. Each check returns what is wrong and what to write instead, or nothing; never the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from msgspec.structs import asdict

from runherald.limits import SERVER_LIMITS

EMBEDDED = "embedded"
OFFLINE = "offline"
"""In place of a server's URL: what runs say stays in their journals."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._\-]*[A-Za-z0-9.])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%a-z]*\]?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}=([0-9]{1,4})")
_MAX_SLOTS = 1_024
_ADDRESS = re.compile(r"[^@\s,<>\"()\x00-\x1f]+@[^@\s,<>\"()\x00-\x1f]+")
_SENDER = re.compile(rf"{_ADDRESS.pattern}|[^<>\x00-\x1f\x7f]*<{_ADDRESS.pattern}>")


def _check_url(*schemes: str, optional: bool = False, word: str = "") -> Callable[[str], str]:
    written = " or ".join(f"{scheme}://host:port" for scheme in schemes)
    wanted = f"write {f'{word!r} or ' if word else ''}{written}"

    def check(url: str) -> str:
        if (optional and not url) or (word and url == word):
            return ""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            return f"is not a URL (its port is no number from 0 to 65535, or a bracket is missing); {wanted}"
        if parts.scheme not in schemes:
            return f"{_scheme(parts)}; {wanted}"
        return "" if host else f"is a URL without a host; {wanted}"

    return check


def _scheme(parts: SplitResult) -> str:
    # Only what cannot be a part of a secret: `user:password@host` parses as a scheme too.
    return f"begins with another scheme, {parts.scheme!r}" if parts.netloc else "does not begin with a scheme"


def _check_log(url: str) -> str:
    if url == EMBEDDED:
        return ""
    wanted = f"write {EMBEDDED!r} or kafka://host:port,host:port"
    if not url.startswith("kafka://"):
        return f"is a text of another kind; {wanted}"
    for server in url.removeprefix("kafka://").rstrip("/").split(","):
        host, colon, port = server.strip().rpartition(":")
        if not colon or not _HOST.fullmatch(host) or not (port.isdecimal() and len(port) < 6 and 0 < int(port) < 65_536):
            return f"names a server that is not host:port; {wanted}"
    return ""


def _check_host(host: str) -> str:
    return "" if _HOST.fullmatch(host) else "is a text that is no host name or address; write one such as 127.0.0.1 or 0.0.0.0"


def _check_name(name: str) -> str:
    return "" if _NAME.fullmatch(name) else "is a text that is no name; write letters, digits and underscores, at most 64"


def _check_workspace(name: str) -> str:
    usable = 0 < len(name) <= 255 and name.isprintable()
    return "" if usable else "is a text that is no workspace's name; write 1 to 255 printable characters"


def _check_token(token: str) -> str:
    return (
        ""
        if token.isprintable() and token.isascii()
        else "has characters that no HTTP header can carry, such as a line break; leave them out"
    )


def _check_sender(sender: str) -> str:
    return "" if _SENDER.fullmatch(sender) else "is a text that is no mail address; write name@example.org or Name <name@example.org>"


def _check_to(addresses: tuple[str, ...]) -> str:
    wrong = [index for index, address in enumerate(addresses, 1) if not _ADDRESS.fullmatch(address)]
    return f"address {wrong[0]} of {len(addresses)} is no mail address; write name@example.org" if wrong else ""


def _check_compute(targets: tuple[str, ...]) -> str:
    names = [target.partition("=")[0] for target in targets]
    wanted = "write NAME=SLOTS, such as gpu=1: a name of letters, digits, `_` and `-`, and from 1 to 1024 slots"
    for number, target in enumerate(targets, 1):
        found = _TARGET.fullmatch(target)
        if not found or not 1 <= int(found[1]) <= _MAX_SLOTS:
            return f"its entry {number} is no compute target; {wanted}"
    return f"names a compute target twice; {wanted}" if len(set(names)) != len(names) else ""


def _check_number(low: float, high: float, what: str) -> Callable[[float], str]:
    def check(number: float) -> str:
        return "" if low <= number <= high else f"is a number outside of {low:g} to {high:g}; {what}"

    return check


CHECKS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "url": _check_url("http", "https", word=OFFLINE),
        "token": _check_token,
        "compute": _check_compute,
        "host": _check_host,
        "port": _check_number(0, 65_535, "write a port, or 0 for a free one"),
        "log": _check_log,
        "history": _check_url("http", "https", word=EMBEDDED),
        "query_history": _check_url("http", "https", optional=True),
        "database": _check_name,
        "workspace": _check_workspace,
        "public_url": _check_url("http", "https", optional=True),
        "mail.smtp": _check_url("smtp", "smtps", optional=True),
        "mail.sender": _check_sender,
        "mail.to": _check_to,
        "mail.timeout_seconds": _check_number(0.1, 3_600, "write seconds"),
        "mail.max_attempts": _check_number(1, 1_000, "write how often to try"),
        "mail.max_age_hours": _check_number(0.01, 1_000_000, "write hours"),
        "leases.grace_seconds": _check_number(0, 604_800, "write seconds, at most 7 days"),
        "watch.lag_seconds": _check_number(0, 604_800, "write seconds, at most 7 days, or 0 for never"),
        **{f"limits.{name}": _check_number(1, most, "a server takes no more") for name, most in asdict(SERVER_LIMITS).items()},
        "lease_seconds": _check_number(0.1, 604_800, "write seconds, at most 7 days"),
    }
)
