"""The embedded engine of this process: which folder it has open, and who still uses it."""

from __future__ import annotations

import fcntl
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from runherald.errors import SettingsError, Unreachable
from runherald.sinks.access import write_access_files
from runherald.sinks.errors import describe_engine_error

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection


class Parts:
    """What this process knows of the parts that its tables consist of.

    Attributes:
        opened: an id of this opening of the engine.
        lock: held by whoever looks at them.
        damages: by database, how often some were set aside as damaged since then.
        whole: by database, the paths of those that were whole at the last look.
        detached: databases and tables that are to be attached again.
    """

    def __init__(self) -> None:
        self.opened = uuid4().hex[:12]
        self.lock = threading.Lock()
        self.damages: Counter[str] = Counter()
        self.whole: dict[str, frozenset[str]] = {}
        self.detached: list[tuple[str, str]] = []


class EmbeddedEngine:
    """A folder that this process has open, with its users counted.

    Attributes:
        folder: the data folder.
        config: the configuration file to open connections with.
        databases: the databases whose views users may query, fixed when the engine opened.
        connection_text: what `chdb.connect` takes to open one more connection.
        parts: what is known of its tables' parts.
    """

    def __init__(self, folder: Path, config: Path, databases: frozenset[str]) -> None:
        self.folder = folder
        self.config = config
        self.databases = databases
        self.connection_text = f"{folder}?config-file={quote(str(config), safe='')}"
        self.users = 1
        self.parts = Parts()
        # The engine lets go of the folder when no connection is open, so one stays.
        self._anchor = _connect(folder, self.connection_text)

    def release(self) -> None:
        """Say that one user is done. The folder is free when the last has said so."""
        global _open
        with _lock:
            self.users -= 1
            if self.users == 0:
                self._anchor.close()
                _open = None


# What the engine itself allows is one folder a process, so this is a fact of the process and not of an object.
_open: EmbeddedEngine | None = None
_lock = threading.Lock()


def open_engine(folder: Path, databases: Iterable[str]) -> EmbeddedEngine:
    """Return this process's engine on a folder, one user more than before.

    Raises:
        SettingsError: the process already has another folder open, chDB is not installed, or the folder cannot be made.
        Unreachable: another process holds the folder.
    """
    global _open
    with _lock:
        if _open is not None:
            if _open.folder != folder:
                raise SettingsError(f"history: this process already uses the folder {_open.folder}; it cannot open {folder} as well")
            _open.users += 1
            return _open
        granted = frozenset(databases)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _refuse_held(folder)
            config = write_access_files(folder / "access-control", sorted(granted))
        except OSError as error:
            raise SettingsError(f"history: the folder {folder} cannot be used: {error.strerror}; choose one that can be written") from error
        _open = EmbeddedEngine(folder, config, granted)
        return _open


def _connect(folder: Path, connection_text: str) -> Connection:
    try:
        import chdb  # here: it loads 500 MB, and only the embedded form needs it
    except ImportError as error:
        raise SettingsError("history: the embedded engine is not installed; run: pip install 'runherald[embedded]'") from error
    try:
        connection: Connection = chdb.connect(connection_text)
    except RuntimeError as error:
        raise Unreachable(f"history: the engine cannot open the folder {folder}; it says: {describe_engine_error(str(error))}") from error
    return connection


def _refuse_held(folder: Path) -> None:
    # The engine says only "Error initializing EmbeddedServer" when it finds the lock of its status file taken, so look first.
    status = folder / "status"
    if not status.exists():
        return
    with status.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = next((line for line in file.read(4096).splitlines() if line.startswith("PID:")), "PID: unknown")
            raise Unreachable(
                f"history: the folder {folder} is in use by another process ({holder}); stop that one, or choose another folder"
            ) from error
        fcntl.flock(file, fcntl.LOCK_UN)
