"""Whose pages send a request, and by which name it asks for this server: what browsers say of that.

A page on the web can make its reader's browser send requests to this server, and can give its own name this server's address (DNS
rebinding). Browsers say in `Origin` and `Sec-Fetch-Site` which page sends a request, and in `Host` by which name the server is asked.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers

_OWN_PAGES = frozenset({"same-origin", "none"})


def is_from_another_site(headers: Headers, names: Collection[str]) -> bool:
    """Say whether a page that is not this server's sends a request. Programs that are no browsers say nothing, and are no page.

    Over plain HTTP to another machine a browser sends `Origin` alone.
    """
    if headers.get("sec-fetch-site", "none") not in _OWN_PAGES:
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    # A proxy may ask this server by another name than people ask the proxy.
    return not parts.netloc or (parts.netloc.lower() != headers.get("host", "").lower() and parts.hostname not in names)


def is_own_name(host: str, names: Collection[str]) -> bool:
    """Say whether a `Host` can be nobody else's: an address, a name without a dot or below localhost, or one of the names."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return bool(name) and ("." not in name or name.endswith(".localhost") or name in names or _is_address(name))


def host_name(url: str) -> str:
    """Return the host that a URL names, in small letters."""
    return urlsplit(url).hostname or ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
