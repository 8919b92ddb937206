"""A log that takes nothing: callers that write wait, and their bodies do not pile up in the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from runherald.clock import system_clock
from runherald.events import AmlRunLogEvent, LogLine, new_event
from runherald.records import Outgoing, Position
from runherald.sinks.connection import HistoryDatabase
from runherald.studio.intake_room import MAX_BYTES
from runherald.studio.parts import MAX_BODY
from runherald.wire import CONTENT_TYPE, encode_batch
from tests.drills.overloaded import figures
from tests.studio_server import StudioServer

CALLERS = 20
"""Of bodies of almost 4 MiB: more than there is room for."""


@pytest.fixture
def server(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[StudioServer]:
    with StudioServer(history_database, tmp_path, processing=False) as server:
        yield server


def large_body() -> bytes:
    lines = tuple(LogLine(number, 0, "x" * 900) for number in range(900))
    data = AmlRunLogEvent(records=len(lines), lines=lines)
    events = [
        new_event(data, workspace="default", run_id="run-1", producer="p", sequence=number, time=system_clock()) for number in range(4)
    ]
    return encode_batch(events)


def intake(server: StudioServer, kind: str) -> float:
    return figures(server.url)["", "intake", kind]


@pytest.mark.timeout(120)
def test_bodies_wait_in_their_sockets_while_the_log_takes_nothing(server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    held, append = threading.Event(), server.log.append

    def slow(records: Sequence[Outgoing]) -> list[Position]:
        held.wait(60)
        return append(records)

    monkeypatch.setattr(server.log, "append", slow)
    body = large_body()
    assert MAX_BODY - 1_000_000 < len(body) < MAX_BODY

    def post() -> int:
        headers = {"Content-Type": CONTENT_TYPE}
        return httpx.post(f"{server.url}/api/v1/events", content=body, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(CALLERS) as callers:
        answers: list[Future[int]] = [callers.submit(post) for _ in range(CALLERS)]
        deadline = time.monotonic() + 20
        while intake(server, "items") < CALLERS or intake(server, "bytes") < MAX_BYTES - len(body):
            assert time.monotonic() < deadline, "the callers did not come"
            time.sleep(0.05)
        assert intake(server, "bytes") <= intake(server, "bytes_limit") + MAX_BODY
        assert not any(answer.done() for answer in answers)
        held.set()
        assert [answer.result(60) for answer in answers] == [200] * CALLERS
    assert intake(server, "items") == intake(server, "bytes") == 0
