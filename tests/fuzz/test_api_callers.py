"""A server asked by anybody, anything: each request has an answer that is not the server's failure, soon, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import BadStatusLine
from urllib.parse import quote_from_bytes

import pytest

from runherald.topics import EVENTS as TOPIC
from runherald.wire import CONTENT_TYPE, encode_batch
from tests.fuzz.fuzzed_server import PATIENCE, Answer, FuzzedServer
from tests.fuzz.odd import ODD_JSON, ODD_TEXTS, in_each_place
from tests.fuzz.seeds import EVENTS

BATCH = encode_batch(EVENTS)
SINGLE = json.dumps(json.loads(BATCH)[0]).encode()
POSTS = ("/api/v1/events", "/api/v1/query", "/api/v1/runs/digits_1/cancel", "/api/v1/dead-letters/replay", "/api/v1/dead-letters/go-on")
PATHS = (
    *("/", "/runs/{}", "/runs/{}/charts", "/mails", "/mails/{}", "/mails/{}/body", "/query?q={}", "/sign-in?next={}", "/status"),
    *("/dead-letters?cursor={}", "/dead-letters/{}", "/static/{}", "/vendor/uplot/{}", "/{}", "/?status={}&experiment={}&tag={}&cursor={}"),
    *("/api/v1/runs?cursor={}", "/api/v1/runs?limit={}", "/api/v1/runs?status={}", "/api/v1/runs?tag={}&parent={}"),
    *("/api/v1/runs?root_only={}&life={}", "/api/v1/runs/{}", "/api/v1/runs/{}/metrics?name={}", "/api/v1/runs/digits_1/logs?tail={}"),
    *("/api/v1/dead-letters?since={}&state=all", "/api/v1/dead-letters?processor={}", "/api/v1/dead-letters/{}", "/api/v1/live?run=%20{}"),
)
FEW = (*ODD_TEXTS, *ODD_JSON[::12])
"""Of the odd values, for paths: there they are texts, and differ less."""
LONGEST = 8_000
"""Bytes of a path or header; a longer one is refused by the HTTP library before anybody sees it."""
HEADERS = (
    "Host",
    "Origin",
    "Accept",
    "Authorization",
    "Cookie",
    "Content-Type",
    "Sec-Fetch-Site",
    "Range",
    "If-None-Match",
    "Last-Event-ID",
)
ODD_HEADERS = (
    b"[::1",
    b"[",
    b"http://[",
    b"http://a:b",
    b"Bearer \xff",
    b"runherald_session=\xff",
    b"bytes=1-99999999999999999999",
    b'W/"',
)
POSITIONS = (
    *(b"", b",", b"/", b"x/0/0", b"runherald.events/0/-1", b"runherald.events/" + b"9" * 30 + b"/1", b"\xff", b"runherald.alerts/0/0"),
    *(b"," * 5_000, "runherald.events/٣/٣".encode()),
)


@pytest.fixture(autouse=True, scope="module")
def server_is_well(fuzzed: FuzzedServer) -> Iterator[None]:
    yield
    fuzzed.check_well()


def check(answer: Answer, *statuses: int) -> None:
    """Fail unless the caller was answered well."""
    assert answer.status < 500, answer
    assert not statuses or answer.status in statuses, answer
    assert answer.seconds < 10, answer
    if answer.headers.get("content-type") == "application/json":
        json.loads(answer.body)


@pytest.mark.parametrize(
    "content_type", ["", CONTENT_TYPE, "application/json", "text/plain", "application/cloudevents+json", "multipart/form-data"]
)
@pytest.mark.parametrize("body", [BATCH, b"[]"], ids=["events", "none"])
def test_a_batch_is_a_batch_by_its_body(fuzzed: FuzzedServer, body: bytes, content_type: str) -> None:
    check(fuzzed.request("POST", "/api/v1/events", body, [("Content-Type", content_type)]), 200)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (SINGLE, [("Content-Type", "application/cloudevents+json")]),
        (
            b'{"status": "Running"}',
            [("ce-type", "AmlRunStatusChangedEvent"), ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/")],
        ),
        (b"", [("Content-Type", CONTENT_TYPE)]),
        (b"\x00", []),
        (b"\xff\xfe[\x00]\x00", []),
        (b"\x1f\x8b\x08\x00", [("Content-Encoding", "gzip")]),
        (BATCH[:-1], []),
        (BATCH + b"]", []),
        (b"[" * 1_000_000, []),
        (b"[" * 900 + b"]" * 900, []),
        (b"[" + b"1," * 10_000 + b"1]", []),
        (b'["' + b"x" * 4_100_000 + b'"]', []),
    ],
)
def test_what_is_no_batch_is_refused(fuzzed: FuzzedServer, body: bytes, headers: list[tuple[str, str | bytes]]) -> None:
    answer = fuzzed.request("POST", "/api/v1/events", body, headers)
    if answer.status == 200:
        assert json.loads(answer.body)["accepted"] == 0
    else:
        check(answer, 400)
        assert json.loads(answer.body)["error"]["field"] == "body"


def test_events_with_an_odd_value_in_each_place(fuzzed: FuzzedServer) -> None:
    for odd in ODD_JSON[::2]:
        for event in EVENTS:
            members = [body[1:-1] for body in in_each_place(encode_batch([event]), odd)]
            # Together where the odd value leaves the list one.
            answer = fuzzed.request("POST", "/api/v1/events", b"[" + b",".join(members) + b"]")
            check(answer, 200, 400, 413)


@pytest.mark.parametrize("path", POSTS)
def test_bodies_that_are_no_requests(fuzzed: FuzzedServer, path: str) -> None:
    for odd in ODD_JSON:
        check(fuzzed.request("POST", path, odd))
    for odd in ODD_JSON[::4]:
        members = (b'"%s":%s' % (name, odd) for name in (b"query", b"processor", b"user", b"selection"))
        check(fuzzed.request("POST", path, b"{" + b",".join(members) + b"}"))


@pytest.mark.parametrize("path", PATHS)
def test_paths_and_parameters(fuzzed: FuzzedServer, path: str) -> None:
    for odd in FEW if "{}" in path else FEW[:1]:
        check(fuzzed.request("GET", path.replace("{}", quote_from_bytes(odd)[:LONGEST]), headers=[("Accept", "text/html")]))


@pytest.mark.parametrize("name", HEADERS)
def test_headers(fuzzed: FuzzedServer, name: str) -> None:
    for odd in (*ODD_TEXTS, *ODD_HEADERS):
        value = odd.translate(None, b"\r\n\x00")[:LONGEST]
        check(fuzzed.request("GET", "/static/live.js", headers=[(name, value)]))
        check(fuzzed.request("POST", "/api/v1/query", b"{}", headers=[(name, value)]))


def test_more_headers_than_anybody_sends(fuzzed: FuzzedServer) -> None:
    check(fuzzed.request("GET", "/api/v1/runs", headers=[(f"X-{number}", "x") for number in range(1_000)]))
    with contextlib.suppress(ConnectionError):  # hung up on while it still sends
        check(fuzzed.request("GET", "/api/v1/runs", headers=[("X", "x" * 1_000_000)]), 400, 431)


def test_positions_that_are_none(fuzzed: FuzzedServer) -> None:
    for value in POSITIONS:
        check(fuzzed.request("GET", "/api/v1/status", headers=[("Runherald-Position", value)]), 200, 400)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /static/..%2f..%2fapp.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n[]",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_hardly_a_request(fuzzed: FuzzedServer, sent: bytes) -> None:
    with contextlib.suppress(ConnectionError, BadStatusLine):  # to be hung up on is an answer too
        check(fuzzed.exchange(sent))


def test_methods_that_nobody_knows_leave_no_figures_behind(fuzzed: FuzzedServer) -> None:
    def ask(first: int, last: int) -> int:
        for number in range(first, last):
            for path in ("/", "/api/v1/runs", f"/nowhere-{number}"):
                check(fuzzed.request(f"M{number}", path), 403, 404, 405)
        return _series(fuzzed)

    ask(0, 2)  # from the second look on the figures know of the first
    assert ask(2, 4) == ask(4, 30)


def _series(server: FuzzedServer) -> int:
    return len(re.findall(rb"^runherald_http_request_seconds", server.request("GET", "/metrics").body, re.MULTILINE))


MEGABYTES = 48
"""How much more memory the server may hold after what it was asked: every second body that it kept would be more."""


def test_memory_stays_flat_and_who_waits_for_a_position_keeps_nobody_waiting(fuzzed: FuzzedServer) -> None:
    filling = b"x" * 250_000
    bodies = (b'["%s"]', b'[{"id":"%s"}]', b'{"query":"%s"}', b'{"user":"%s"}', b"%s")

    def ask(times: int) -> None:
        for number in range(times):
            for path in POSTS:
                check(fuzzed.request("POST", path, bodies[number % len(bodies)] % filling))
            check(fuzzed.request("GET", f"/api/v1/runs/{number}?name={'x' * 5_000}", headers=[("Cookie", "x" * 20_000)]))

    def wait(_: int) -> Answer:
        return fuzzed.request("GET", "/api/v1/notices", headers=[("Runherald-Position", f"{TOPIC}/7/{10**18}")])

    ask(20)  # what the server and its engine keep for good, they have now
    before = fuzzed.resident_megabytes()
    with ThreadPoolExecutor(20) as callers:
        waiting = callers.map(wait, range(20))
        ask(80)
        for answer in waiting:
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.seconds < PATIENCE
    grown = fuzzed.resident_megabytes() - before
    assert grown < MEGABYTES, f"{grown:.0f} MB more"
