"""The HTTP calls about dead letters: what they refuse, and how."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runherald.records import Outgoing
from runherald.sinks.connection import HistoryDatabase
from runherald.topics import DEAD_LETTERS, EVENTS
from tests.server_process import wait_until
from tests.studio_server import StudioServer

EVIL = '"><script>alert(1)</script>'
API = "/api/v1/dead-letters"


@pytest.fixture
def server(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[StudioServer]:
    with StudioServer(history_database, tmp_path) as running:
        yield running


def test_what_cannot_be_asked_is_refused_by_name(server: StudioServer) -> None:
    refused: list[tuple[str, str, Any, int, str]] = [
        ("GET", f"{API}/nobody", None, 404, "nobody"),
        ("GET", f"{API}?state=lost", None, 400, "state"),
        ("GET", f"{API}?since=yesterday", None, 400, "since"),
        ("GET", f"{API}?limit=0", None, 400, "limit"),
        ("GET", f"{API}?limit=-1", None, 400, "limit"),
        ("GET", f"{API}?cursor=x", None, 400, "cursor"),
        ("POST", f"{API}/replay", {"selection": {"ids": ["nobody"]}}, 404, "nobody"),
        ("POST", f"{API}/replay", {"selection": {"ids": ["x"] * 201}, "limit": 300}, 400, "ids"),
        ("POST", f"{API}/replay", {"selection": {"state": "lost"}}, 400, "state"),
        ("POST", f"{API}/replay", {"limit": 0}, 400, "limit"),
        ("POST", f"{API}/replay", {"limit": 10**30}, 400, "limit"),
        ("POST", f"{API}/replay", {"confirmed": "yes"}, 400, "confirmed"),
        ("POST", f"{API}/go-on", {"processor": ""}, 400, "processor"),
        ("POST", f"{API}/go-on", {"processor": "history", "allow": -1}, 400, "allow"),
    ]
    for method, path, body, status, named in refused:
        reply = server.http.request(method, path, json=body)
        assert (reply.status_code, named in reply.text) == (status, True), (method, path, body, reply.text)


def test_another_sites_page_replays_nothing(server: StudioServer) -> None:
    reply = server.http.post(f"{API}/replay", json={"confirmed": True}, headers={"Sec-Fetch-Site": "cross-site"})
    assert reply.status_code == 403


def test_pages_show_what_was_asked_as_text(server: StudioServer) -> None:
    server.log.append([Outgoing(EVENTS, EVIL.encode(), EVIL.encode(), (("ce_type", EVIL.encode()), (EVIL, EVIL.encode())))])
    [letter] = wait_until("the letter", lambda: server.get(API)["letters"], 20)
    for path in ("/dead-letters", f"/dead-letters/{letter['letter_id']}"):
        reply = server.http.get(path, params={"processor": "", "error": "", "state": "all"})
        assert reply.status_code == 200
        assert EVIL not in reply.text
    filtered = server.http.get("/dead-letters", params={"processor": EVIL, "topic": EVIL})
    assert filtered.status_code == 200
    assert EVIL not in filtered.text


def test_a_replay_waits_for_what_the_log_says_and_gives_up_in_time(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path, processing=False, position_wait=0.3) as server:
        server.log.append([Outgoing(DEAD_LETTERS, None, b"x")])
        reply = server.http.post(f"{API}/replay", json={})
        assert reply.status_code == 503
        assert "history has not passed" in reply.text
