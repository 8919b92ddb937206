"""Mail addresses: which can be written to."""

from __future__ import annotations

import re
from email.utils import parseaddr

_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_DOMAIN = re.compile(r"[^@\s\x00-\x20\x7f,<>\"()\[\]\\]{1,255}")


def wrong_address(address: str) -> str:
    """Return what is wrong with an address, or nothing. The local part is plain ASCII; the domain may be in any script."""
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        return "is no mail address; write name@example.org"
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        return "is a mail address with characters that mail servers do not take; write name@example.org"
    try:
        domain.encode("idna")
    except UnicodeError:
        return "has a domain that cannot be looked up; write name@example.org"
    return ""


def to_ascii(address: str) -> str:
    """Return an address as it goes on the wire: the domain in its ASCII form."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


def bare_address(sender: str) -> str:
    """Return the address of `Name <address>` or of an address alone."""
    return parseaddr(sender)[1] or sender


def domain_of(sender: str) -> str:
    """Return the domain of an address in ASCII."""
    return to_ascii(bare_address(sender)).rpartition("@")[2]
