"""The pages: what they say, and that they follow the runs in a real browser without being loaded again."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import Error as BrowserError

from runherald.clock import system_clock
from runherald.events import Actor, AmlRunLogEvent, AmlRunOutputEvent, DebugInfo, ErrorEnvelope, Event, Evidence, LogLine, RootError
from runherald.records import Outgoing
from runherald.sinks.connection import HistoryDatabase
from runherald.status import Cause, Status
from runherald.topics import EVENTS
from tests.history_feed import Teller
from tests.server_process import wait_until
from tests.studio_server import StudioServer

MAIL = (
    b"From: runherald@localhost\r\nTo: ada@example.org\r\nSubject: Failed: <b>bold</b>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n<h1>It failed</h1><script>document.title = 'owned'</script>\r\n"
)
WAIT = 20_000
"""Milliseconds that a page has to show what happened."""


@pytest.fixture
def server(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[StudioServer]:
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails" / "1.eml").write_bytes(MAIL)
    with StudioServer(history_database, tmp_path / "log", mail_folder=tmp_path / "mails", live_interval=0.2) as running:
        yield running


def failed_run(user: str = "ada") -> list[Event]:
    run = Teller("r1", start=system_clock() - timedelta(minutes=5))
    trace = 'Traceback (most recent call last):\n  File "train.py"\nValueError: <script>alert(1)</script>'
    error = ErrorEnvelope(
        error=RootError(message="<script>alert(1)</script>", debug_info=DebugInfo(type="ValueError", message="x", stack_trace=trace))
    )
    return [
        run.created("digits", display_name="bad <b>name</b>", tags={"team": "red"}, params={"lr": "0.1"}, user=user),
        run.status(Status.RUNNING),
        run.points("loss", [3.0, 2.0, 1.0]),
        run.event(AmlRunLogEvent(lines=(LogLine(number=0, time=1, text="epoch 1 & more"),))),
        run.event(AmlRunOutputEvent(path="outputs/<b>model</b>.pt", size=24_404, uri="file:///srv/runs/r1/model.pt")),
        run.status(Status.FAILED, time=system_clock(), cause=Cause.CODE_ERROR, error=error, evidence=Evidence(exit_code=1, host="gpu-07")),
    ]


def test_the_page_of_a_run_tells_all_of_it_and_runs_none_of_it(server: StudioServer) -> None:
    server.get("/api/v1/runs/r1", server.post(failed_run()))
    reply = server.http.get("/runs/r1")
    assert reply.status_code == 200
    assert "script-src 'self'" in reply.headers["content-security-policy"]
    page = reply.text
    for text in (
        "bad &lt;b&gt;name&lt;/b&gt;",
        "ValueError: &lt;script&gt;",
        "an error in its code",
        "exit code 1",
        "gpu-07",
        "Traceback",
        "epoch 1 &amp; more",
        "team",
        "lr",
        "Not started",
        "outputs/&lt;b&gt;model&lt;/b&gt;.pt",
        "24.4 kB",
        "file:///srv/runs/r1/model.pt",
    ):
        assert text in page, text
    assert "<b>name" not in page
    assert "<script>" not in page
    assert not re.search(r"\son\w+=|style=", page), "neither scripts nor styles stand in the page"
    [chart] = server.get("/runs/r1/charts")["charts"]
    assert (chart["name"], chart["curves"][0]["values"]) == ("loss", [3.0, 2.0, 1.0])


def test_the_list_shows_children_below_their_parent_and_filters(server: StudioServer) -> None:
    parent = Teller("parent", start=system_clock())
    children = [Teller(f"child-{number}").created("digits", parent_run_id="parent", root_run_id="parent") for number in range(8)]
    taken = server.post([parent.created("digits"), *children, *failed_run()])
    server.get("/api/v1/runs", taken)
    page = server.http.get("/").text
    assert page.index('id="run-parent"') < page.index('id="run-child-0"') < page.index('id="run-child-5"')
    assert 'id="run-child-6"' not in page
    assert "and 2 more" in page
    failed = server.http.get("/", params={"status": "Failed"}).text
    assert 'id="run-r1"' in failed
    assert 'id="run-parent"' not in failed
    assert 'id="run-' not in server.http.get("/", params={"experiment": "another"}).text


def test_an_empty_list_says_how_to_begin(server: StudioServer) -> None:
    assert "No runs yet" in server.http.get("/").text


def test_what_is_not_there_is_said_in_a_page_to_people_and_in_json_to_programs(server: StudioServer) -> None:
    for path in ("/runs/nobody", "/mails/2.eml", "/nothing"):
        page = server.http.get(path, headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert server.http.get(path).json()["error"]["code"] == "NotFound"


def test_a_mail_is_shown_where_it_can_do_nothing(server: StudioServer) -> None:
    assert "Failed: &lt;b&gt;bold" in server.http.get("/mails").text
    assert 'sandbox="allow-popups' in server.http.get("/mails/1.eml").text
    body = server.http.get("/mails/1.eml/body")
    assert "<h1>It failed</h1>" in body.text
    assert body.headers["content-security-policy"].startswith("sandbox")
    assert "default-src 'none'" in body.headers["content-security-policy"]


def test_a_query_is_answered_in_a_page(server: StudioServer) -> None:
    server.get("/api/v1/runs", server.post([Teller("r9").created()]))
    assert "<td>r9</td>" in server.http.get("/query", params={"q": "SELECT run_id FROM runs"}).text
    refused = server.http.get("/query", params={"q": "SELECT * FROM system.users"})
    assert "This query did not run" in refused.text


def test_a_run_is_cancelled_from_its_page(server: StudioServer) -> None:
    run = Teller("r1")
    server.get("/api/v1/runs/r1", server.post([run.created(), run.status(Status.RUNNING)]))
    reply = server.http.post("/runs/r1/cancel", headers={"Sec-Fetch-Site": "same-origin"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/runs/r1")


def test_people_sign_in_with_the_token(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with (
        StudioServer(history_database, tmp_path, token="s3cret") as server,
        httpx.Client(base_url=server.url, headers={"Accept": "text/html"}) as person,
    ):
        sent = person.get("/runs/x")
        assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=/runs/x")
        assert person.post("/sign-in", data={"token": "wrong"}).status_code == 401
        for elsewhere in ("https://evil.example", "//evil.example", "/\\evil.example"):
            assert person.post("/sign-in", params={"next": elsewhere}, data={"token": "s3cret"}).headers["location"] == "/"
        done = person.post("/sign-in", params={"next": "/query"}, data={"token": "s3cret"})
        assert done.headers["location"] == "/query"
        assert "s3cret" not in str(done.headers)
        assert "httponly" in done.headers["set-cookie"].lower()
        assert person.get("/").status_code == 200
        person.cookies.clear()
        assert person.get("/", headers={"Cookie": "runherald_session=forged"}).status_code == 303


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: the machine's own, else playwright's. None at all is a failure under CI and said elsewhere."""
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        except BrowserError as error:
            reason = f"no browser: neither chromium on PATH nor playwright's own can be started ({str(error).splitlines()[0]})"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing may go wrong: neither an error of a script nor a refusal of the browser."""
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert wrong == []


@pytest.mark.browser
def test_the_pages_show_a_run_end_without_being_loaded_again(server: StudioServer, browser: Browser, page: Page) -> None:
    run = Teller("r1", start=system_clock())
    server.get("/api/v1/runs/r1", server.post([run.created("digits", display_name="my run"), run.status(Status.RUNNING)]))
    listed = browser.new_page()
    for shown, path in ((listed, "/"), (page, "/runs/r1")):
        shown.goto(server.url + path)
        # A mark that a reload would wipe away.
        shown.evaluate("window.sameDocument = true")
        expect(shown.locator("#live")).to_be_visible(timeout=WAIT)
        expect(shown.locator(".badge").first).to_have_text("Running")

    server.post([run.points("loss", [3.0, 2.0, 1.5])])
    chart = page.locator(".chart", has_text="loss")
    expect(chart).to_have_attribute("data-points", "3", timeout=WAIT)
    server.post([run.points("loss", [1.2, 1.1], first=3)])
    expect(chart).to_have_attribute("data-points", "5", timeout=WAIT)

    error = ErrorEnvelope(error=RootError(message="no more memory", debug_info=DebugInfo(type="MemoryError", message="no more memory")))
    server.post(
        [
            run.status(Status.FAILED, time=system_clock(), cause=Cause.OUT_OF_MEMORY, error=error, actor=Actor(kind="run")),
            Teller("r2", start=system_clock()).created("digits", display_name="a new one"),
        ]
    )
    expect(page.locator(".title .badge")).to_have_text("Failed", timeout=WAIT)
    expect(page.locator(".verdict")).to_contain_text("MemoryError: no more memory")
    expect(page.locator(".steps li")).to_have_count(3)
    expect(page.get_by_role("button", name="Cancel run")).to_have_count(0)
    expect(listed.locator("#run-r1 .badge")).to_have_text("Failed", timeout=WAIT)
    expect(listed.locator("#run-r1 .why")).to_contain_text("no more memory")
    expect(listed.locator("#run-r2")).to_contain_text("a new one", timeout=WAIT)
    for shown in (listed, page):
        assert shown.evaluate("window.sameDocument") is True
    listed.close()


@pytest.mark.browser
def test_a_page_outlives_a_restart_of_the_server(history_database: HistoryDatabase, tmp_path: Path, browser: Browser) -> None:
    run = Teller("r1", start=system_clock())
    page = browser.new_page()
    with StudioServer(history_database, tmp_path) as first:
        first.get("/api/v1/runs/r1", first.post([run.created(), run.status(Status.RUNNING)]))
        page.goto(f"{first.url}/runs/r1")
        expect(page.locator("#live-word")).to_have_text("live", timeout=WAIT)
    expect(page.locator("#live-word")).to_have_text("reconnecting", timeout=WAIT)
    with StudioServer(history_database, tmp_path, port=first.port) as second:
        second.post([run.status(Status.COMPLETED, time=system_clock())])
        expect(page.locator(".title .badge")).to_have_text("Completed", timeout=WAIT)
        expect(page.locator("#live-word")).to_have_text("live", timeout=WAIT)
        page.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [740, 860, 1000, 1200])
def test_the_list_of_runs_is_no_wider_than_its_window(server: StudioServer, browser: Browser, width: int) -> None:
    why = "User program failed with ValueError: an error that says much more than a row of the list has room for"
    run = Teller("wide", start=system_clock() - timedelta(minutes=5))
    told = [
        run.created("an-experiment-with-a-name-that-is-long", display_name="a name of several words", tags={"purpose": "find a rate"}),
        run.status(Status.RUNNING),
        run.status(Status.FAILED, time=system_clock(), error=ErrorEnvelope(error=RootError(message=why))),
    ]
    server.get("/api/v1/runs/wide", server.post(told))
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(server.url)
    expect(page.locator("#run-wide .why")).to_contain_text("ValueError")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
@pytest.mark.parametrize(
    "path", ["/", "/runs/r1", "/mails", "/mails/1.eml", "/query?q=SELECT+*+FROM+runs", "/dead-letters", "/dead-letters/LETTER"]
)
def test_no_page_is_wider_than_a_telephone(server: StudioServer, browser: Browser, path: str) -> None:
    server.log.append([Outgoing(EVENTS, None, b"a-record-that-is-no-event-and-has-no-place-to-break-it-anywhere" * 4)])
    [letter] = wait_until("the dead letter", lambda: server.get("/api/v1/dead-letters")["letters"], 20)
    path = path.replace("LETTER", letter["letter_id"])
    server.get("/api/v1/runs/r1", server.post(failed_run(user="a-user-with-a-name-without-any-place-to-break-it-at-all-anywhere")))
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page.goto(server.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
