"""The local ClickHouse answers clickhouse-connect as a server would, and fails as it is told."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import clickhouse_connect
import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.query_user import query_user_statements

TOKEN = {"insert_deduplication_token": "t", "async_insert": 0, "insert_deduplicate": 1}


@pytest.fixture
def client(clickhouse: LocalClickHouse) -> Iterator[Client]:
    database = f"test_{uuid4().hex}"
    connection = clickhouse_connect.get_client(host="127.0.0.1", port=clickhouse.port, compress=False)
    connection.command(f"CREATE DATABASE {database}")
    connection.database = database
    connection.command(
        "CREATE TABLE t (a Int64, b String) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    yield connection
    connection.command(f"DROP DATABASE {database}")
    connection.close()


def test_rows_and_numpy_columns_go_in_and_come_back(client: Client) -> None:
    client.insert("t", [[1, "a"], [2, "tab\tand\nline"]], column_names=["a", "b"])
    columns: list[Any] = [np.arange(3, 6), ["x", "y", "ü"]]
    client.insert("t", columns, column_names=["a", "b"], column_oriented=True)
    assert client.query("SELECT a, b FROM t WHERE a >= {least:Int64} ORDER BY a", {"least": 2}).result_rows == [
        (2, "tab\tand\nline"),
        (3, "x"),
        (4, "y"),
        (5, "ü"),
    ]


def test_an_insert_sent_again_with_its_token_is_stored_once(client: Client, clickhouse: LocalClickHouse) -> None:
    if not clickhouse.gateway:
        pytest.skip("a real server cannot be told to lose a reply")
    clickhouse.faults(lose_reply_after_insert=1)
    with pytest.raises(ClickHouseError):
        client.insert("t", [[1, "a"]], column_names=["a", "b"], settings=TOKEN)
    client.insert("t", [[1, "a"]], column_names=["a", "b"], settings=TOKEN)
    assert client.command("SELECT count() FROM t") == 1
    assert clickhouse.faults()["lose_reply_after_insert"] == 0


def test_it_answers_500_as_often_as_told(client: Client, clickhouse: LocalClickHouse) -> None:
    if not clickhouse.gateway:
        pytest.skip("a real server cannot be told to fail")
    clickhouse.faults(answer_500=1)
    with pytest.raises(DatabaseError) as raised:
        client.command("SELECT 1")
    assert raised.value.code == 999
    assert client.command("SELECT 1") == 1


@pytest.mark.parametrize(
    ("query", "settings", "code"), [("SELECT nope", {}, 47), ("DROP TABLE t", {"readonly": 1}, 164), ("SELEC 1", {}, 62)]
)
def test_an_error_has_its_code(client: Client, query: str, settings: dict[str, int], code: int) -> None:
    with pytest.raises(DatabaseError) as raised:
        client.command(query, settings=settings)
    assert raised.value.code == code


def test_a_list_too_long_for_an_address_comes_as_a_form(client: Client) -> None:
    client.insert("t", [[1, "a"], [2, "b"]], column_names=["a", "b"])
    names = [f"{number:064}" for number in range(300)] + ["b", "it's; a\ttab"]
    assert client.query("SELECT a FROM t WHERE b IN {names:Array(String)}", {"names": names}).result_rows == [(2,)]


def test_it_is_slow_as_often_as_told(client: Client, clickhouse: LocalClickHouse) -> None:
    if not clickhouse.gateway:
        pytest.skip("a real server cannot be told to be slow")
    clickhouse.faults(delayed=1, delay_seconds=0.3)
    began = time.monotonic()
    assert client.command("SELECT 1") == 1
    assert time.monotonic() - began >= 0.3
    assert clickhouse.faults()["delayed"] == 0


def test_threads_write_at_once(client: Client, clickhouse: LocalClickHouse) -> None:
    def write(thread: int) -> None:
        own = clickhouse_connect.get_client(host="127.0.0.1", port=clickhouse.port, database=client.database, compress=False)
        for number in range(10):
            own.insert("t", [[thread * 10 + number, "x"]], column_names=["a", "b"])
        own.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert client.query("SELECT count(), uniqExact(a) FROM t").result_rows == [(60, 60)]


def test_the_engine_can_read_the_statements_that_make_the_user_of_queries(client: Client) -> None:
    statements = query_user_statements("http://runherald_query:secret@clickhouse:8123", "runherald")
    for statement in statements:
        assert client.command("SELECT formatQuery({statement:String})", {"statement": statement})
    with pytest.raises(DatabaseError):
        client.command("SELECT formatQuery('CREATE USER OR SO u')")


def test_the_command_runs_it_until_it_is_told_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runherald", "dev", "clickhouse", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"--history (http://127\.0\.0\.1:\d+)", line)
        assert found, line
        if shutil.which("clickhouse") is None:
            assert "for trials only" in line
        with urlopen(f"{found.group(1)}/ping", timeout=10) as reply:
            assert reply.read() == b"Ok.\n"
        process.terminate()
        assert process.wait(30) == 0
    with pytest.raises(URLError):
        urlopen(f"{found.group(1)}/ping", timeout=10)


def test_settings_of_one_request_do_not_reach_the_next(client: Client) -> None:
    assert client.command("SELECT getSetting('max_threads')", settings={"max_threads": 3}) == 3
    assert client.command("SELECT getSetting('max_threads')") != 3


def test_another_process_sees_what_this_one_wrote(client: Client, clickhouse: LocalClickHouse) -> None:
    client.insert("t", [[7, "seven"]], column_names=["a", "b"])
    script = (
        "import clickhouse_connect, sys\n"
        "client = clickhouse_connect.get_client(host='127.0.0.1', port=int(sys.argv[1]), database=sys.argv[2], compress=False)\n"
        "print(client.command('SELECT b FROM t'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(clickhouse.port), str(client.database)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "seven"


def test_a_killed_one_comes_back_with_its_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    with LocalClickHouse(tmp_path_factory.mktemp("killed")) as server:
        connection = clickhouse_connect.get_client(host="127.0.0.1", port=server.port, compress=False)
        connection.command("CREATE TABLE default.kept (a Int64) ENGINE = MergeTree ORDER BY a")
        connection.insert("default.kept", [[1]], column_names=["a"])
        connection.close()
        server.kill()
        server.start()
        connection = clickhouse_connect.get_client(host="127.0.0.1", port=server.port, compress=False)
        assert connection.command("SELECT count() FROM default.kept") == 1
        connection.close()
