"""A script on a disk that is full, or takes nothing: a real one, of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald.status import Status
from tests.contract.test_transport import LoopbackServer
from tests.integration.test_sdk_process import BEGIN, finish, in_journals, last_status, server, start, values
from tests.server_process import wait_until
from tests.small_disk import SmallDisk

__all__ = ["server"]

LOGS_AS_TOLD = """
from runherald.producers.journal import journal
journal._RETRY_SECONDS = 0.05
number = 0
for line in sys.stdin:
    for _ in range(int(line)):
        run.log('loss', number)
        number += 1
    print(bool(run.health.disk), run.health.lost, flush=True)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    if not disk.mount():
        pytest.skip("a disk of one's own takes root and mount")
    yield disk
    disk.unmount()


def test_what_is_logged_on_a_full_disk_is_on_it_once_it_has_room_again(disk: SmallDisk) -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RUNHERALD_")}
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + LOGS_AS_TOLD],
        env={**settings, "RUNHERALD_HOME": str(disk.folder / "home"), "RUNHERALD_URL": "offline"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def log(count: int) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{count}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    assert log(10) == "False 0"
    disk.fill()
    assert log(500) == "True 0", "it is in memory, and the script goes on"
    assert len(values(in_journals(disk.folder / "home"))) < 510
    disk.empty()
    wait_until("the disk to be written to again", lambda: log(1) == "False 0", 20)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=20)
    kept = values(in_journals(disk.folder / "home"))
    assert kept == [float(number) for number in range(len(kept))]
    assert len(kept) > 510
    assert errors.count("journal_not_on_disk") == 1, "it is told once"


def test_on_a_read_only_disk_a_script_runs_as_ever_and_its_server_has_all(disk: SmallDisk, server: LoopbackServer) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
    status, errors = finish(start("run.log('loss', 1)\nrun.complete()", disk.folder / "home", server.url))
    assert status == 0
    assert values(server.events) == [1.0]
    assert last_status(server.events) is Status.COMPLETED
    assert errors.count("\n") == 1
    assert "journal_not_on_disk" in errors
    assert "Read-only file system" in errors


def test_offline_on_a_read_only_disk_what_is_lost_is_said(disk: SmallDisk) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
    status, errors = finish(start("run.log('loss', 1)\nrun.complete()", disk.folder / "home", "offline"))
    assert status == 0
    assert "records_lost run=run-1" in errors
    assert "Traceback" not in errors
