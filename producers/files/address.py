"""Addresses of places for files: a path, `file:///path`, or `PROTOCOL://place` of what fsspec reaches."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from runherald.errors import InvalidInput
from runherald.producers.errors import Unsupported
from runherald.producers.files.folder_store import FolderStore
from runherald.producers.files.store import FileStore

EXTRA = "pip install 'runherald[files]'"


def checked_address(given: str | os.PathLike[str]) -> str:
    """Return an address that files can be kept at; a folder as an absolute path. No address is in an error: it may hold a password.

    Raises:
        InvalidInput: it can be none.
        Unsupported: the package for it is not installed.
    """
    plain = os.fspath(given)
    if "://" not in plain:
        return str(Path(plain).expanduser().absolute())
    protocol = plain.partition("://")[0]
    if "::" in plain or "?" in plain or "#" in plain:
        raise InvalidInput("files: holds ::, ? or #; write PROTOCOL://place, and configure the rest where the storage's package reads it")
    if protocol == "file":
        parts = urlsplit(plain)
        if parts.netloc not in ("", "localhost") or not parts.path.strip("/"):
            raise InvalidInput("files: is a file: address without an absolute path on this machine; write file:///path, or the path")
        return url2pathname(parts.path)
    try:
        from fsspec import get_filesystem_class  # type: ignore[import-untyped]  # it has no types
    except ImportError:
        raise Unsupported(f"files: addresses such as {protocol}://… need the package fsspec: `{EXTRA}`; or pass a folder") from None
    try:
        get_filesystem_class(protocol)
    except ValueError:
        raise InvalidInput(f"files: fsspec knows no {protocol!r}; write the address of a storage that it reaches, or a folder") from None
    except ImportError as error:
        raise Unsupported(f"files: addresses such as {protocol}://… need one more package beside `{EXTRA}`: {error}") from None
    return plain


def store_at(address: str) -> FileStore:
    """Return what keeps files at an address that was checked."""
    if "://" not in address:
        return FolderStore(Path(address))
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it has no types

    from runherald.producers.files.remote_store import RemoteStore

    # fsspec keeps a client for each address and process: a forked child gets one of its own.
    system, root = url_to_fs(address)
    return RemoteStore(system, root, without_credentials(address))


def without_credentials(address: str) -> str:
    """Return an address without user and password, where it has a password: `container@account` of Azure stays."""
    protocol, mark, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    return f"{protocol}{mark}{host if at and ':' in user else place}{slash}{path}"
