"""A page that stands still, on a real server: its stream ends, and its place is free."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runherald.studio.live import LiveFeed, live_stream

SEND_SECONDS = 0.5


@pytest.fixture
def feed() -> LiveFeed:
    return LiveFeed()


@pytest.fixture
def address(feed: LiveFeed) -> Iterator[tuple[str, int]]:
    async def follow(request: Request) -> Response:
        return live_stream(feed, request, send_seconds=SEND_SECONDS)

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=[Route("/live", follow)]), log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    feed.close()
    server.should_exit = True
    thread.join(20)
    listener.close()


def follow(address: tuple[str, int]) -> socket.socket:
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.settimeout(20)
    reader.connect(address)
    reader.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return reader


def until_readers(feed: LiveFeed, count: int, *, number: int = 0) -> None:
    """Publish changes, `number` each time, until so many read."""
    deadline = time.monotonic() + 30
    published = 0
    while feed.count() != count:
        assert time.monotonic() < deadline, f"{feed.count()} readers after {published} changes"
        for _ in range(number):
            published += 1
            feed.publish(f"{published:0200}")
        time.sleep(0.02)


@pytest.mark.timeout(60)
def test_a_reader_that_stands_still_loses_its_stream_and_one_that_reads_keeps_it(feed: LiveFeed, address: tuple[str, int]) -> None:
    with follow(address) as still:
        until_readers(feed, 1)
        until_readers(feed, 0, number=1_000)
        with follow(address) as reader:
            until_readers(feed, 1)
            time.sleep(2 * SEND_SECONDS)
            feed.publish("run-1")
            said = b""
            while b"data: run-1" not in said:
                said += reader.recv(4_096)
            assert feed.count() == 1
        assert still.fileno() > 0
