"""Parts of the embedded engine's tables whose files are not what was written: found, and made again from what they were made of.

When the disk becomes full while an insert or a merge writes its part, the engine leaves a part of empty files behind, and says that all
went well (chDB 26.9). Attached anew, a table sets such a part aside. A merge's sources stay for some minutes (`runherald.sinks.access`),
and the table goes on with them. An insert has none: whoever inserts looks before it takes its rows for stored, and if anything was damaged
since it began, inserts them again (`runherald.sinks.writer`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage

from clickhouse_connect.driver.exceptions import ClickHouseError

from runherald.api import DAMAGE_REMEDY
from runherald.errors import RunheraldError, Unreachable
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.embedded import Parts

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often is looked for what merges leave: well below the time for which sources are kept."""
LOW_SECONDS = 0.25
"""How often is looked whether the disk is nearly full, and if it is or just was, for what merges leave: a clock that is set forward has the
engine remove their sources at once."""
LOW_BYTES = 256 * 2**20

_ACTIVE = "SELECT table, path, bytes_on_disk FROM system.parts WHERE active AND database = currentDatabase()"
_SET_ASIDE = """
SELECT table, count() FROM system.detached_parts
WHERE database = currentDatabase() AND name LIKE 'broken-on-start%'
GROUP BY table ORDER BY table
"""


def heal_tables(history: HistoryDatabase, *, new_alone: bool = False) -> list[str]:
    """Attach the tables with damaged parts anew, and return their names; nothing where the engine is not in this process.

    `new_alone`: look at parts alone that were not there at the last look.
    """
    engine = history.engine
    if engine is None:
        return []
    with engine.parts.lock:
        _attach(history, engine.parts)
        damaged = sorted(_damaged(history, engine.parts, new_alone=new_alone))
        for table in damaged:
            engine.parts.detached.append((history.database, table))
            # For some milliseconds there is no such table: whoever writes to it begins again from what is committed.
            history.client().command("DETACH TABLE {table:Identifier} SYNC", {"table": table})
            _attach(history, engine.parts)
            logger.error("history part damaged table=%s: made again from what it was made of; was the disk full?", table)
    return damaged


def damages(history: HistoryDatabase) -> int:
    """Return how often parts were set aside as damaged here: where it grew since an insert began, that one's rows may be gone."""
    return 0 if history.engine is None else history.engine.parts.damages[history.database]


@contextmanager
def copied_whole(history: HistoryDatabase) -> Iterator[None]:
    """See to it that what is inserted into a database within the block is whole.

    Raises:
        Unreachable: a full disk has damaged it.
    """
    before = damages(history)
    yield
    heal_tables(history, new_alone=True)
    if damages(history) != before:
        raise Unreachable(f"history {history.url_for_humans}: the disk was full, and a copy on it is not whole; make room, and run again")


def set_aside(history: HistoryDatabase) -> dict[str, int]:
    """Return how many parts of which tables could not be read when they were attached: rows may be missing."""
    return {str(table): int(count) for table, count in history.client().query(_SET_ASIDE).result_rows}


def say_what_is_set_aside(history: HistoryDatabase) -> None:
    """Log what is set aside, and what to do."""
    for table, count in set_aside(history).items():
        logger.warning("history parts set aside table=%s parts=%d: they could not be read; %s", table, count, DAMAGE_REMEDY)


class DamagedPartsWatch:
    """Looks for damaged parts from time to time, in a thread of its own. A context manager; it looks once more at its end.

    Args:
        every: how often it looks, in seconds; more often while the disk is nearly full.
        free: returns how many bytes are free on a folder's disk.
    """

    def __init__(
        self, history: HistoryDatabase, *, every: float = LOOK_SECONDS, free: Callable[[Path], int] = lambda folder: disk_usage(folder).free
    ) -> None:
        self._history = history
        self._every = every
        self._free = free
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="runherald-damaged-parts", daemon=True)

    def __enter__(self) -> None:
        say_what_is_set_aside(self._history)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        until_look, was_low = self._every, False
        while not self._over.wait(LOW_SECONDS):
            is_low = self._is_low()
            until_look -= LOW_SECONDS
            if until_look <= 0:
                self._look()
                until_look = self._every
            elif is_low or was_low:
                self._look(new_alone=True)
            was_low = is_low
        # The sources are kept for as long as the engine runs, not over its end.
        self._look()

    def _is_low(self) -> bool:
        engine = self._history.engine
        try:
            return engine is not None and self._free(engine.folder) < LOW_BYTES
        except OSError:
            return False

    def _look(self, *, new_alone: bool = False) -> None:
        try:
            heal_tables(self._history, new_alone=new_alone)
        except (ClickHouseError, RunheraldError, OSError) as error:
            logger.warning("history parts cannot be looked at error=%s", type(error).__name__)


def _attach(history: HistoryDatabase, parts: Parts) -> None:
    """Attach what was detached, by an earlier look if that could not."""
    for database, table in list(parts.detached):
        name = {"database": database, "table": table}
        history.client().command("ATTACH TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier}", name)
        # Not before: an insert that ended meanwhile may be set aside as well, and is to see that something was. What is inserted from here
        # on may stand in the place of what was set aside.
        parts.damages[database] += 1
        parts.whole.pop(database, None)
        parts.detached.remove((database, table))


def _damaged(history: HistoryDatabase, parts: Parts, *, new_alone: bool) -> set[str]:
    """Return the tables that have damaged parts."""
    active = history.client().query(_ACTIVE).result_rows
    known = parts.whole.get(history.database, frozenset()) if new_alone else frozenset()
    damaged = {path: table for table, path, size in active if path not in known and _is_damaged(Path(path), size)}
    parts.whole[history.database] = frozenset(path for _, path, _ in active if path not in damaged)
    return set(damaged.values())


def _is_damaged(part: Path, size: int) -> bool:
    """Say whether a part's files are smaller than what its checksums stand for, `size` bytes."""
    try:
        sizes = {file.name: file.stat().st_size for file in part.iterdir()}
    except FileNotFoundError:
        return False  # merged away since it was listed
    return sizes.get("checksums.txt", 1) == 0 or sum(sizes.values()) < size
