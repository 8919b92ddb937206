"""Queries over HTTP: against the trial gateway, and against servers that answer as they may."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.errors import SettingsError, Unreachable
from runherald.sinks.address import HttpServer
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import QueryFailed, QueryRefused
from runherald.sinks.guard.answer import QueryLimits
from runherald.sinks.guard.checked import CheckedQuery
from runherald.sinks.guard.guard import QueryGuard
from runherald.sinks.guard.server_runner import ServerRunner
from runherald.sinks.guard.server_user import server_user_sql
from runherald.sinks.guard.views import USER_VIEWS

LIMITS = QueryLimits(rows=3, seconds=2.0)


@pytest.fixture
def served_history(clickhouse: LocalClickHouse) -> Iterator[HistoryDatabase]:
    history = HistoryDatabase.open(clickhouse.url, database="guarded")
    client = history.client()
    client.command("CREATE TABLE base (run_id String) ENGINE = MergeTree ORDER BY run_id")
    client.command("INSERT INTO base SELECT 'r' || toString(number) FROM numbers(5)")
    client.command("CREATE VIEW runs AS SELECT * FROM base")
    yield history
    client.command("DROP DATABASE guarded SYNC")
    history.close()


@pytest.fixture
def served_guard(clickhouse: LocalClickHouse, served_history: HistoryDatabase) -> Iterator[QueryGuard]:
    if not clickhouse.gateway:
        pytest.skip("a real server is here: its default user may do too much for queries, see test_a_user_with_more_rights")
    guard = QueryGuard.open(served_history, clickhouse.url, limits=LIMITS)
    yield guard
    guard.close()


def test_a_query_runs_over_http(served_guard: QueryGuard) -> None:
    answer = served_guard.run(served_guard.check("SELECT run_id FROM runs WHERE run_id > 'r2' ORDER BY run_id -- last"))
    assert answer.rows == [["r3"], ["r4"]]
    assert [(column.name, column.type) for column in answer.columns] == [("run_id", "String")]
    assert not answer.truncated


def test_an_answer_over_http_is_cut(served_guard: QueryGuard) -> None:
    answer = served_guard.run(served_guard.check("SELECT run_id FROM runs"))
    assert len(answer.rows) == LIMITS.rows
    assert answer.truncated


def test_attacks_over_http_are_refused(served_guard: QueryGuard) -> None:
    for text in ("SELECT file('/etc/passwd')", "SELECT * FROM base", "SELECT 1 IN system.one", "SELECT 1; SELECT 2", "SELECT {x:String}"):
        with pytest.raises(QueryRefused):
            served_guard.check(text)


def test_a_heavy_query_over_http_is_ended(served_guard: QueryGuard) -> None:
    with pytest.raises(QueryFailed, match="longer than 2 s"):
        served_guard.run(served_guard.check("SELECT count() FROM numbers(1000000) AS a, numbers(1000000) AS b"))


def test_odd_characters_reach_the_parser_as_they_are(served_guard: QueryGuard) -> None:
    assert served_guard.run(served_guard.check("SELECT 'a\tb\\\\ \\n é'\n")).rows == [["a\tb\\ \n é"]]


OLD_SERVER = """
import sys
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import QueryRefused
from runherald.sinks.guard import parser
from runherald.sinks.guard.guard import QueryGuard

parser.MINIMUM_VERSION = (999, 0)
history = HistoryDatabase.open(sys.argv[1], database="guarded")
guard = QueryGuard.open(history, sys.argv[1])
print(guard.run(guard.check("SELECT count() AS n FROM runs")).rows)
try:
    guard.check("SELECT * FROM base")
except QueryRefused as refused:
    print(refused)
guard.close()
history.close()
"""


def test_an_old_servers_queries_are_parsed_here(clickhouse: LocalClickHouse, served_history: HistoryDatabase) -> None:
    if not clickhouse.gateway:
        pytest.skip("a real server is here: its default user may do too much for queries")
    # In a process of its own: the engine of this one has another folder open.
    arguments = [sys.executable, "-c", OLD_SERVER, clickhouse.url]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[:1] == ["[[5]]"], done.stderr
    assert "there is no view named 'base'" in done.stdout


def test_queries_are_off_without_an_address(served_history: HistoryDatabase) -> None:
    guard = QueryGuard.open(served_history)
    with pytest.raises(QueryRefused, match=r"queries are off.*runherald migrate"):
        guard.check("SELECT 1")
    guard.close()


def test_the_statements_of_the_servers_user_can_be_read_by_the_engine(chdb_history: HistoryDatabase) -> None:
    for statement in server_user_sql():
        assert chdb_history.client().query("SELECT formatQuery({s:String})", {"s": statement}).result_rows


Reply = tuple[int, bytes]


@contextmanager
def server(reply: Callable[[str, dict[str, list[str]]], Reply]) -> Iterator[HttpServer]:
    """Serve scripted answers: `reply` gets the statement and the fields of the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, body = reply(text, parse_qs(urlsplit(self.path).query))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield HttpServer(scheme="http", host="127.0.0.1", port=listening.server_address[1], user="asker", password="hunter2")
        listening.shutdown()
        thread.join(10)


GRANTED = "\n".join(f"GRANT SELECT ON runherald.{view} TO asker" for view in USER_VIEWS)


def answers(grants: str, readonly: str = "1") -> Callable[[str, dict[str, list[str]]], Reply]:
    return lambda text, _fields: (200, (grants if text == "SHOW GRANTS" else readonly).encode() + b"\n")


def test_a_user_with_the_views_alone_is_taken() -> None:
    with server(answers(GRANTED)) as address:
        ServerRunner(address, "runherald").check_user()


@pytest.mark.parametrize(
    ("grants", "readonly", "reason"),
    [
        (GRANTED + "\nGRANT SELECT ON runherald.* TO asker", "1", "may do more"),
        ("GRANT ALL ON *.* TO default WITH GRANT OPTION", "1", "may do more"),
        (GRANTED, "0", "not read-only"),
        (GRANTED, "2", "not read-only"),
    ],
)
def test_a_user_with_more_rights_is_refused(grants: str, readonly: str, reason: str) -> None:
    with server(answers(grants, readonly)) as address, pytest.raises(SettingsError, match=reason) as refused:
        ServerRunner(address, "runherald").check_user()
    assert "hunter2" not in str(refused.value)


def checked(text: str) -> CheckedQuery:
    query = object.__new__(CheckedQuery)
    object.__setattr__(query, "text", text)
    return query


def test_no_setting_of_ours_rides_on_a_query_to_a_real_server() -> None:
    seen: dict[str, list[str]] = {}

    def reply(_text: str, fields: dict[str, list[str]]) -> Reply:
        seen.update(fields)
        return 200, b'["a"]\n["UInt8"]\n[1]\n'

    with server(reply) as address:
        assert ServerRunner(address, "runherald").run(checked("SELECT 1 AS a"), LIMITS).rows == [[1]]
    assert set(seen) == {"database", "default_format", "query_id"}


@pytest.mark.parametrize(
    ("reply", "error", "reason"),
    [
        ((500, b"Code: 159. DB::Exception: Timeout exceeded"), QueryFailed, "longer than"),
        ((403, b"Code: 497. DB::Exception: asker: Not enough privileges"), QueryFailed, "runherald migrate"),
        ((401, b"Code: 516. DB::Exception: Authentication failed"), SettingsError, "user or password"),
        ((200, b'["a"]\n["UInt8"]\n[1]\nCode: 241. DB::Exception: Memory limit exceeded\n'), QueryFailed, "memory"),
        ((200, b"Code: 47. DB::Exception: Unknown identifier x\n"), QueryFailed, "Unknown identifier"),
    ],
)
def test_a_servers_error_is_told(reply: Reply, error: type[Exception], reason: str) -> None:
    with server(lambda _text, _fields: reply) as address, pytest.raises(error, match=reason):
        ServerRunner(address, "runherald").run(checked("SELECT 1"), LIMITS)


def test_a_server_that_is_away_is_named(free_port: int) -> None:
    address = HttpServer(scheme="http", host="127.0.0.1", port=free_port, user="asker", password="hunter2")
    with pytest.raises(Unreachable) as away:
        ServerRunner(address, "runherald").run(checked("SELECT 1"), LIMITS)
    assert str(free_port) in str(away.value)
    assert "hunter2" not in str(away.value)


def test_rows_come_as_json_values() -> None:
    row = json.dumps([1, "x", None, {"k": [1.5]}]).encode()
    with server(lambda _text, _fields: (200, b'["a","b","c","d"]\n["UInt8","String","String","JSON"]\n' + row)) as address:
        assert ServerRunner(address, "runherald").run(checked("SELECT 1"), LIMITS).rows == [[1, "x", None, {"k": [1.5]}]]
