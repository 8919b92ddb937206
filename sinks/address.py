"""Where history is: a folder of the embedded engine, or a ClickHouse server."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from runherald.errors import SettingsError


class ChdbFolder(Struct, frozen=True):
    """A folder of the embedded engine. `path` is absolute and free of links."""

    path: Path

    @property
    def for_humans(self) -> str:
        """Return the address as text."""
        return f"chdb://{self.path}"


class HttpServer(Struct, frozen=True, kw_only=True):
    """A ClickHouse server's HTTP interface. `user` is None for the server's default user."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str

    def __repr__(self) -> str:
        return f"HttpServer({self.for_humans})"

    @property
    def for_humans(self) -> str:
        """Return the address as text, without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


Address = ChdbFolder | HttpServer

_PORTS = {"http": 8123, "https": 8443}
_FORMS = "use chdb:///absolute/folder, or http(s)://user:password@host:port"


def parse_address(url: str) -> Address:
    """Return what an address means.

    Raises:
        SettingsError: it is neither form; the message shows no part of it but the scheme.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"history: the address cannot be read; {_FORMS}") from error
    if parts.scheme == "chdb":
        return _folder(url, parts.netloc)
    if parts.scheme not in _PORTS:
        raise SettingsError(f"history: the address has scheme {parts.scheme!r}; {_FORMS}")
    if not parts.hostname:
        raise SettingsError(f"history: the {parts.scheme} address names no host; {_FORMS}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(f"history: the {parts.scheme} address goes on after the port; {_FORMS}; the database has a setting of its own")
    return HttpServer(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else "",
    )


def _folder(url: str, netloc: str) -> ChdbFolder:
    text = url.removeprefix("chdb://")
    if netloc or not text.startswith("/"):
        raise SettingsError("history: a chdb address needs an absolute folder, with three slashes: chdb:///absolute/folder")
    # chDB's own connection string takes what follows a question mark for options.
    if "?" in text or "\0" in text:
        raise SettingsError("history: the folder of a chdb address may not hold a question mark or NUL; choose another folder")
    return ChdbFolder(Path(text).resolve())
