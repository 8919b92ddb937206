"""Opening history: on the embedded engine, and what is said when it cannot be."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runherald.errors import SettingsError, Unreachable
from runherald.sinks.connection import HistoryDatabase

HOLD = """
import sys
from runherald.sinks.connection import HistoryDatabase
history = HistoryDatabase.open(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
history.close()
"""

TRY = """
import sys
from runherald.errors import RunheraldError
from runherald.sinks.connection import HistoryDatabase
for url in sys.argv[1:]:
    try:
        HistoryDatabase.open(url).close()
        print("opened")
    except RunheraldError as error:
        print(type(error).__name__, error)
"""


def _try(*urls: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", TRY, *urls], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_the_database_is_made_and_used(history_database: HistoryDatabase) -> None:
    assert history_database.embedded
    assert history_database.client().query("SELECT currentDatabase()").result_rows == [(history_database.database,)]


def test_several_databases_share_one_folder(chdb_history: HistoryDatabase, history_database: HistoryDatabase) -> None:
    history_database.client().command("CREATE TABLE here (x UInt8) ENGINE = Memory")
    assert chdb_history.client().query("EXISTS TABLE here").result_rows == [(0,)]
    assert chdb_history.client().query(f"EXISTS TABLE {history_database.database}.here").result_rows == [(1,)]


def test_each_thread_has_its_own_client(history_database: HistoryDatabase) -> None:
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(history_database.client())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({id(client) for client in [*seen, history_database.client()]}) == 4
    assert history_database.client() is history_database.client()


def test_times_come_back_aware_and_in_utc(history_database: HistoryDatabase) -> None:
    moment = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    client = history_database.client()
    client.command("CREATE TABLE t (at DateTime64(6, 'UTC')) ENGINE = Memory")
    client.insert("t", [[moment]], column_names=["at"])
    assert client.query("SELECT at FROM t").result_rows == [(moment,)]
    assert client.query("SELECT timezone()").result_rows == [("UTC",)]


def test_a_closed_history_says_so(chdb_history: HistoryDatabase) -> None:
    history = HistoryDatabase.open(chdb_history.url_for_humans)
    history.close()
    history.close()
    with pytest.raises(Unreachable, match="closed"):
        history.client()


def test_a_process_opens_one_folder(chdb_history: HistoryDatabase, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="already uses the folder"):
        HistoryDatabase.open(f"chdb://{tmp_path}")


def test_a_folder_is_let_go_and_another_can_be_opened(tmp_path: Path) -> None:
    assert _try(f"chdb://{tmp_path}/a", f"chdb://{tmp_path}/b", f"chdb://{tmp_path}/a") == ["opened"] * 3


def test_a_folder_may_have_an_odd_name(tmp_path: Path) -> None:
    assert _try(f"chdb://{tmp_path}/my runs+é&#%41") == ["opened"]
    assert (tmp_path / "my runs+é&#%41" / "access-control").is_dir()


def test_a_folder_that_another_process_holds_is_named(tmp_path: Path) -> None:
    url = f"chdb://{tmp_path}"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        (said,) = _try(url)
        assert said.startswith("Unreachable")
        assert str(tmp_path) in said
        assert f"PID: {holder.pid}" in said
    finally:
        holder.communicate("", timeout=30)
    assert _try(url) == ["opened"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("chdb://relative/folder", "three slashes"),
        ("chdb:///a?b", "question mark"),
        ("mysql://u:hunter2@host/", "scheme 'mysql'"),
        ("http://:80", "names no host"),
        ("http://u:hunter2@host:8123/db", "after the port"),
        ("http://u:hunter2@host:99999999", "cannot be read"),
        ("", "scheme ''"),
    ],
)
def test_a_bad_address_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        HistoryDatabase.open(url)
    assert reason in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "a-b", "1a", "system", "default", "a;b", "x" * 200])
def test_a_bad_database_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="database"):
        HistoryDatabase.open(f"chdb://{tmp_path}", database=name)


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(Unreachable) as refused:
        HistoryDatabase.open(f"http://me:hunter2@127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port}" in str(refused.value)
    assert "hunter2" not in str(refused.value)
