"""The embedded server under drill: one process with the log, history, alerts and mail, killed, frozen and starved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from runherald.settings import Settings
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import set_aside
from runherald.streams.log import open_log
from tests.drills import post_office, producers
from tests.drills.books import Books, check_books, check_fold
from tests.drills.post_office import REFUSED, PostOffice
from tests.drills.producers import Producers
from tests.drills.rest import wait_for_rest
from tests.drills.schedule import Fault
from tests.server_process import ServerProcess
from tests.small_disk import SmallDisk

SERVER_FAULTS = ("server-kill", "server-term", "server-freeze")
DISK_FAULTS = ("journal-disk-full", "log-disk-full")
KINDS = (*SERVER_FAULTS, *DISK_FAULTS, *producers.FAULTS, *post_office.FAULTS)

MAILER_BATCH = 64
"""How many mails may be under way when the mailer is killed: `runherald.alerts.mailer.BATCH`, said again so that a change is seen."""


class EmbeddedWorld:
    """Everything on one machine. A context manager that starts and ends it.

    Attributes:
        kinds: the faults that it can be struck with here.
        rebuilt: the tables that a full disk had damaged, and how many parts of them: they were made again from the log.
    """

    def __init__(self, folder: Path, ports: tuple[int, int], *, count: int = 3, rate: float = 400.0, seed: int = 1) -> None:
        self._data_disk = SmallDisk(folder / "data")
        self._home_disk = SmallDisk(folder / "home")
        self._post_office = PostOffice(folder / "mails", ports[1])
        recipients = ("--mail-to", "operator@example.org", "--mail-to", REFUSED)
        self._server = ServerProcess(folder, ports[0], *recipients, "--smtp", self._post_office.url)
        environment = {
            "RUNHERALD_URL": self._server.url,
            "RUNHERALD_HOME": str(self._home_disk.folder),
            "RUNHERALD_LEASE_SECONDS": "20",
        }
        self._producers = Producers(folder, [environment], count=count, rate=rate, seed=seed)
        self._kills = 0
        self.rebuilt: dict[str, int] = {}
        self.kinds: tuple[str, ...] = KINDS

    def strike(self, fault: Fault) -> None:
        """Let a fault happen, and return when it is over, or goes over by itself."""
        match fault.kind:
            case "server-kill":
                self._kills += 1
                self._server.kill()
                self._server.start()
            case "server-term":
                assert self._server.stop() == 0, "the server did not stop in order"
                self._server.start()
            case "server-freeze":
                self._server.send(signal.SIGSTOP)
                time.sleep(fault.lasts)
                self._server.send(signal.SIGCONT)
            case "journal-disk-full" | "log-disk-full":
                disk = self._home_disk if fault.kind == "journal-disk-full" else self._data_disk
                disk.fill()
                time.sleep(fault.lasts)
                disk.empty()
                self._server.revive()
            case "producer-kill":
                self._producers.kill(fault.draw)
            case "producer-freeze":
                frozen = self._producers.freeze(fault.draw)
                time.sleep(fault.lasts)
                os.kill(frozen, signal.SIGCONT)
            case _:
                self._post_office.strike(fault.kind, fault.lasts)

    def settle(self, bound: float) -> None:
        """End the load, send what killed producers left, and wait until nothing is under way."""
        self._post_office.heal()
        self._producers.finish(bound)
        self._producers.sync()
        self._rebuild_if_damaged()
        said, off_disk = self._producers.said(), self._producers.off_disk()
        wait_for_rest(self._server, {run_id: one for run_id, one in said.items() if one.end or run_id not in off_disk}, bound)

    def _rebuild_if_damaged(self) -> None:
        """Do what the server's log asks for when a full disk has damaged history: make it again from the log."""
        assert self._server.stop() == 0, "the server did not stop in order"
        history = HistoryDatabase.open(f"chdb://{self._server.data}/history", database=Settings().database)
        try:
            damaged = set_aside(history)
        finally:
            history.close()
        if damaged:
            self.rebuilt = damaged
            command = [sys.executable, "-m", "runherald", "rebuild", "--data", str(self._server.data)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=1_200, check=False)
            assert done.returncode == 0, f"rebuild ended with status {done.returncode}: {done.stderr[-2000:]}"
        self._server.start()

    def books(self) -> Books:
        """Stop the server and check the books."""
        assert self._server.stop() == 0, "the server did not stop in order"
        history = HistoryDatabase.open(f"chdb://{self._server.data}/history", database=Settings().database)
        try:
            books = check_books(
                self._producers.said(),
                history,
                self._post_office.folder,
                killed_producers=self._producers.killed,
                mails_again_allowed=self._kills * MAILER_BATCH + self._post_office.dropped_after,
                off_disk=self._producers.off_disk(),
            )
            with closing(open_log("embedded", folder=self._server.data)) as log:
                check_fold(books, log, history)
            return books
        finally:
            history.close()

    def __enter__(self) -> EmbeddedWorld:
        disks = [disk.mount() for disk in (self._home_disk, self._data_disk)]
        if not all(disks):
            self.kinds = tuple(kind for kind in KINDS if kind not in DISK_FAULTS)
        self._post_office.open()
        self._server.start()
        self._producers.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._producers.close()
        if self._server.running:
            self._server.kill()
        self._post_office.close()
        for disk in (self._data_disk, self._home_disk):
            disk.unmount()
