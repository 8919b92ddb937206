"""The server's feed of changed runs, read as server-sent events."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from urllib.parse import quote, urlsplit

from runherald.api import API

SILENCE_SECONDS = 40.0
"""The server sends a comment at least each 15 s: after this long the connection is taken as dead."""


def changes(url: str, token: str = "", run_id: str = "", *, sleep: Callable[[float], None], again_seconds: float = 1.0) -> Generator[str]:
    """Yield the ids of runs that change, for ever; an empty id means that some may have been missed, so look at all.

    It begins with an empty id, and yields one after each time that the connection was lost and when the server has no feed.
    """
    while True:
        yield ""
        with suppress(OSError, http.client.HTTPException):  # whoever looks next says that the server is away
            yield from _events(url, token, run_id)
        sleep(again_seconds)


def _events(url: str, token: str, run_id: str) -> Iterator[str]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc.rpartition("@")[2], timeout=SILENCE_SECONDS)
    try:
        path = f"{parts.path.rstrip('/')}{API}/live" + (f"?run={quote(run_id)}" if run_id else "")
        headers = {"Accept": "text/event-stream"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            return
        # What changed between the caller's last look and this connection was not sent here.
        yield ""
        yield from _parse(response)
    finally:
        connection.close()


def _parse(response: http.client.HTTPResponse) -> Iterator[str]:
    """Yield the data of `change` events; the format is the HTML standard's, section 9.2.6."""
    event, data = "", ""
    for line in response:
        text = line.decode(errors="replace").rstrip("\r\n")
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            event = value
        elif field == "data":
            data = value
        elif not text:
            if event == "change" and data:
                yield data
            event, data = "", ""
