"""What the runs of a process share: the way to the server, and the thread that sends."""

from __future__ import annotations

import atexit
import hashlib  # noqa: F401  # for events' ids, not by the thread that sends: a fork meanwhile would leave a child half of it
import logging
import os
import sys
import threading
import weakref
from pathlib import Path
from typing import NamedTuple

from runherald.errors import Unreachable
from runherald.identifiers import new_producer_id
from runherald.producers.journal.folder import JournalHead, JournalProcess
from runherald.producers.journal.journal import Journal
from runherald.producers.origin import host_name
from runherald.producers.recorder import Recorder
from runherald.producers.server.client import ApiClient
from runherald.producers.shipping.destination import destination_of, open_transport
from runherald.producers.shipping.offline import OfflineShipper
from runherald.producers.shipping.send_queue import SendQueue
from runherald.producers.shipping.shipper import Shipper
from runherald.setting_checks import OFFLINE

EXIT_SECONDS = 10.0
READ_SECONDS = 30.0

_log = logging.getLogger("runherald.session")


class Destination(NamedTuple):
    """Where events go and journals lie. `log` is empty for the server at `url`, which may be `offline`: then events go nowhere."""

    url: str
    token: str
    log: str
    home: Path


class Session:
    """Opens recorders and sends what they record. After a fork the child begins anew: a shipper and connections of its own."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.closed = False
        self.told_of_left = False
        """Whether somebody has told already that not all is sent."""
        self._recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()
        self._open()

    def open_recorder(
        self, *, workspace: str, run_id: str, steps: dict[str, int], lease_seconds: float = 0.0, producer: str = ""
    ) -> Recorder:
        """Return a recorder on a journal of its own, which the shipper sends from now on."""
        host, pid = host_name(), os.getpid()
        head = JournalHead(
            workspace=workspace,
            run_id=run_id,
            producer=producer or new_producer_id(),
            destination=self.address,
            process=JournalProcess(host=host, pid=pid, lease_seconds=lease_seconds),
        )
        journal = Journal(self.destination.home, head)
        queue = SendQueue(head, journal.folder, journal=journal)
        recorder = Recorder(journal, queue, steps, lease_seconds=lease_seconds, host=host, pid=pid)
        self._recorders.add(recorder)
        _watch_worker()
        self.shipper.add(queue)
        return recorder

    def reader(self) -> ApiClient:
        """Return the client, after all that this process said was acknowledged: what is read includes it.

        Raises:
            Unreachable: it could not be sent, or the session is offline.
        """
        client = self.client
        if not self.shipper.settle(READ_SECONDS):
            error = self.shipper.last_error
            raise Unreachable(str(error) if error else f"{client.url} takes longer than {READ_SECONDS:.0f} s to take events")
        return client

    @property
    def client(self) -> ApiClient:
        """The client of the server, whatever was said and not yet sent.

        Raises:
            Unreachable: the session is offline.
        """
        if self._client is None:
            raise Unreachable("RUNHERALD_URL is 'offline': nothing can be read; `runherald sync --url URL` sends what is kept to a server")
        return self._client

    def close(self) -> None:
        """Send what is left, for at most 10 s, and let go; what cannot be sent stays in its journal."""
        self.closed = True
        left = self.shipper.drain(EXIT_SECONDS)
        if left and not self.told_of_left:
            _log.warning("records_left count=%d home=%s: `runherald sync` sends them", left, self.destination.home)
        self.shipper.stop()
        if self._client is not None:
            self._client.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.shipper.abandon()
        for recorder in list(self._recorders):
            recorder.abandon()
        self._recorders = weakref.WeakSet()
        self._open()

    def _open(self) -> None:
        url, token, log, home = self.destination
        self.address = destination_of(url=url, log=log)
        self.opening = threading.RLock()  # held while a journal is opened; a child gets its own, since a thread may hold it during a fork
        self._client: ApiClient | None = None
        self.shipper: Shipper | OfflineShipper = OfflineShipper()
        if url != OFFLINE:
            self._client = ApiClient(url, token, patience_seconds=READ_SECONDS)
            transport = open_transport(url=url, token=token, log=log)
            self.shipper = Shipper(transport, home=home, destination=self.address, saw=self._client.saw)


_sessions: dict[Destination, Session] = {}


def session_for(destination: Destination) -> Session:
    """Return the process's session with a destination.

    Raises:
        InvalidInput: the URL or the log's address is malformed.
    """
    if not _sessions:
        _watch_process()
    session = _sessions.get(destination)
    if session is None or session.closed:
        session = _sessions[destination] = Session(destination)
    return session


def _watch_process() -> None:
    if "process" in _watched:
        return
    _watched["process"] = os.getpid()
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _watch_worker() -> None:
    """Send what is left at the end of a worker process of multiprocessing, too: a forked one ends without atexit."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None or _watched.get("worker") == os.getpid():
        return
    _watched["worker"] = os.getpid()
    util.Finalize(None, _at_exit, exitpriority=0)


def _at_exit() -> None:
    for session in list(_sessions.values()):
        session.close()
    _sessions.clear()


def _after_fork() -> None:
    for session in _sessions.values():
        session.after_fork()


_watched: dict[str, int] = {}
"""The processes that the hooks are set in."""
