"""The embedded server under drill: one process with the log, history, alerts and mail, killed, frozen and starved."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from runherald.settings import Settings
from runherald.sinks.connection import HistoryDatabase
from runherald.streams.log import Log, open_log
from tests.drills.producers import Producers
from tests.drills.schedule import Fault
from tests.drills.world import World
from tests.server_process import ServerProcess
from tests.small_disk import SmallDisk

DISK_FAULTS = ("journal-disk-full", "log-disk-full")


class EmbeddedWorld(World):
    """Everything on one machine, its clock and its two disks included."""

    def __init__(self, folder: Path, ports: tuple[int, int], *, count: int = 3, rate: float = 400.0, seed: int = 1) -> None:
        super().__init__(folder, ports[1], kinds=DISK_FAULTS)
        self._data_disk = SmallDisk(folder / "data")
        self._home_disk = SmallDisk(folder / "home")
        self._server = ServerProcess(folder, ports[0], *self._mail_options, environment=self.clock.environment)
        environment = {
            **self.clock.environment,
            "RUNHERALD_URL": self._server.url,
            "RUNHERALD_HOME": str(self._home_disk.folder),
            "RUNHERALD_LEASE_SECONDS": "20",
        }
        self._producers = Producers(folder, [environment], count=count, rate=rate, seed=seed)

    def _start(self, stack: ExitStack) -> None:
        mounted = []
        for disk in (self._home_disk, self._data_disk):
            mounted.append(disk.mount())
            stack.callback(disk.unmount)
        if not all(mounted):
            self.kinds = tuple(kind for kind in self.kinds if kind not in DISK_FAULTS)
        self._start_mail(stack)
        self._start_server(stack)
        self._start_producers(stack)

    def _strike_own(self, fault: Fault) -> None:
        disk = self._home_disk if fault.kind == "journal-disk-full" else self._data_disk
        disk.fill()
        time.sleep(fault.lasts)
        disk.empty()
        self.revive()

    def _stop_own(self) -> None:
        """Nothing: the server is all there is."""

    def _open_history(self) -> HistoryDatabase:
        return HistoryDatabase.open(f"chdb://{self._server.data}/history", database=Settings().database)

    def _open_log(self) -> Log:
        return open_log("embedded", folder=self._server.data)
