"""What is drilled: an installation, the producers that write to it, the mail server it writes to, and their clock."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

from runherald.sinks.connection import HistoryDatabase
from runherald.streams.log import Log
from tests.drills import clock, post_office, producers
from tests.drills.books import Books, check_books, check_fold
from tests.drills.clock import SteppedClock
from tests.drills.post_office import REFUSED, PostOffice
from tests.drills.producers import Producers
from tests.drills.recovery import Recoveries
from tests.drills.rest import wait_for_rest
from tests.drills.schedule import Fault
from tests.server_process import RESTARTS, ServerProcess

SERVER_FAULTS = ("server-kill", "server-term", "server-freeze")
KINDS = (*SERVER_FAULTS, *producers.FAULTS, *post_office.FAULTS, *clock.FAULTS)
"""Those that every world can be struck with."""

MAILER_BATCH = 64
"""How many mails may be under way when the mailer is killed: `runherald.alerts.mailer.BATCH`, said again so that a change is seen."""


class World(ABC):
    """An installation under drill. A context manager that starts and ends it.

    Attributes:
        kinds: the faults that it can be struck with here.
        revived: how often something had ended by itself, and was started again as a service manager would.
        recoveries: how long work stood still after kills.
    """

    def __init__(self, folder: Path, mail_port: int, *, kinds: tuple[str, ...] = ()) -> None:
        self.clock = SteppedClock(folder)
        self.kinds: tuple[str, ...] = (*KINDS, *kinds)
        self.revived = 0
        self.recoveries = Recoveries()
        self._folder = folder
        self._post_office = PostOffice(folder / "mails", mail_port)
        self._mail_options = ("--mail-to", "operator@example.org", "--mail-to", REFUSED, "--smtp", self._post_office.url)
        self._mailers_upset = 0
        self._server: ServerProcess
        self._producers: Producers
        self._stack = ExitStack()

    def strike(self, fault: Fault) -> None:
        """Let a fault happen, and return when it is over, or goes over by itself."""
        self.revive()
        match fault.kind.partition("-")[0]:
            case "server":
                self._strike_server(fault)
            case "producer":
                self._producers.strike(fault.kind, fault.lasts, fault.draw)
            case "smtp":
                self._post_office.strike(fault.kind, fault.lasts)
            case "clock":
                self.clock.strike(fault.kind, fault.lasts, fault.draw)
            case _:
                self._strike_own(fault)

    def revive(self) -> None:
        """Start again what has ended by itself."""
        self.revived += self._server.revive()

    def settle(self, bound: float) -> None:
        """End the load, send what killed producers left, and wait until nothing is under way."""
        self._post_office.heal()
        self.revive()
        self._producers.finish(bound)
        self._producers.sync()
        said, off_disk = self._producers.said(), self._producers.off_disk()
        stored = {run_id: one for run_id, one in said.items() if one.end or run_id not in off_disk}
        wait_for_rest(self._server, stored, bound, meanwhile=self.revive)

    def books(self) -> Books:
        """Stop everything that writes, and check the books."""
        self._stop_own()
        assert self._server.stop() == 0, "the server did not stop in order"
        history = self._open_history()
        try:
            books = check_books(
                self._producers.said(),
                history,
                self._post_office.folder,
                killed_producers=self._producers.killed,
                mails_again_allowed=self._mailers_upset * MAILER_BATCH + self._post_office.dropped_after,
                off_disk=self._producers.off_disk(),
            )
            with closing(self._open_log()) as log:
                check_fold(books, log, history)
            return books
        finally:
            history.close()

    @abstractmethod
    def _start(self, stack: ExitStack) -> None:
        """Start everything; the stack takes how each part is ended again."""

    @abstractmethod
    def _strike_own(self, fault: Fault) -> None:
        """Strike with a fault that not every world has."""

    @abstractmethod
    def _open_history(self) -> HistoryDatabase:
        """Open history, when nothing else writes to it."""

    @abstractmethod
    def _open_log(self) -> Log:
        """Open the log."""

    @abstractmethod
    def _stop_own(self) -> None:
        """Stop, in order, what writes besides the server."""

    def _strike_server(self, fault: Fault) -> None:
        match fault.kind:
            case "server-kill":
                self._mailers_upset += 1
                self.recoveries.struck(fault.kind, self._server)
                self._server.kill()
                self.revived += self._server.start(restarts=RESTARTS)
                self.recoveries.wait(self._server, self.revive)
            case "server-term":
                assert self._server.stop() == 0, "the server did not stop in order"
                self.revived += self._server.start(restarts=RESTARTS)
            case _:
                self._server.send(signal.SIGSTOP)
                time.sleep(fault.lasts)
                self._server.send(signal.SIGCONT)

    def _start_mail(self, stack: ExitStack) -> None:
        self._post_office.open()
        stack.callback(self._post_office.close)

    def _start_server(self, stack: ExitStack) -> None:
        stack.callback(self._kill_server)
        self._server.start()

    def _start_producers(self, stack: ExitStack) -> None:
        stack.callback(self._producers.close)
        self._producers.start()

    def _kill_server(self) -> None:
        if self._server.running:
            self._server.kill()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
