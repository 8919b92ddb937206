"""Parts of the embedded engine's tables whose files are not what was written: found, and made again from what they were merged of.

A merge that finds the disk full leaves a part of empty files behind, says nothing, and puts it in the place of its sources (chDB 26.9).
The sources stay for some minutes (`runherald.sinks.access`). Attached anew, a table sets such a part aside and goes on with the sources.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError

from runherald.api import DAMAGE_REMEDY
from runherald.errors import RunheraldError
from runherald.sinks.connection import HistoryDatabase

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often is looked: well below the time for which sources are kept."""

_ACTIVE = "SELECT table, path, bytes_on_disk FROM system.parts WHERE active AND database = currentDatabase()"
_SET_ASIDE = """
SELECT table, count() FROM system.detached_parts
WHERE database = currentDatabase() AND reason = 'broken-on-start'
GROUP BY table ORDER BY table
"""


def heal_tables(history: HistoryDatabase) -> list[str]:
    """Attach the tables with damaged parts anew, and return their names."""
    damaged = sorted({table for table, path, size in history.client().query(_ACTIVE).result_rows if _is_damaged(Path(path), size)})
    for table in damaged:
        # For some milliseconds there is no such table: whoever writes to it begins again from what is committed.
        history.client().command("DETACH TABLE {table:Identifier} SYNC", {"table": table})
        history.client().command("ATTACH TABLE {table:Identifier}", {"table": table})
        logger.error("history part damaged table=%s: made again from its sources; was the disk full?", table)
    return damaged


def set_aside(history: HistoryDatabase) -> dict[str, int]:
    """Return how many parts of which tables could not be read when they were attached: rows may be missing."""
    return {str(table): int(count) for table, count in history.client().query(_SET_ASIDE).result_rows}


def say_what_is_set_aside(history: HistoryDatabase) -> None:
    """Log what is set aside, and what to do."""
    for table, count in set_aside(history).items():
        logger.warning("history parts set aside table=%s parts=%d: they could not be read; %s", table, count, DAMAGE_REMEDY)


class DamagedPartsWatch:
    """Looks for damaged parts from time to time, in a thread of its own. A context manager; it looks once more at its end."""

    def __init__(self, history: HistoryDatabase, *, every: float = LOOK_SECONDS) -> None:
        self._history = history
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="runherald-damaged-parts", daemon=True)

    def __enter__(self) -> None:
        say_what_is_set_aside(self._history)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            self._look()
        # The sources are kept for as long as the engine runs, not over its end.
        self._look()

    def _look(self) -> None:
        try:
            heal_tables(self._history)
        except (ClickHouseError, RunheraldError) as error:
            logger.warning("history parts cannot be looked at error=%s", type(error).__name__)


def _is_damaged(part: Path, size: int) -> bool:
    """Say whether a part's files are smaller than what its checksums stand for, `size` bytes."""
    try:
        sizes = {file.name: file.stat().st_size for file in part.iterdir()}
    except FileNotFoundError:
        return False  # merged away since it was listed
    return sizes.get("checksums.txt", 1) == 0 or sum(sizes.values()) < size
