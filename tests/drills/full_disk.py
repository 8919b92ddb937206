"""Writers of the embedded engine while their disk becomes full at any moment, for some milliseconds, again and again.

    python -m tests.drills.full_disk FOLDER

A disk of a drill is full for seconds, and few inserts meet the moment. Here they meet it until the engine has said of `DAMAGED` parts of
their table that they are stored, and left them empty. Prints how many of them, how many rows were written, and how many of those are
missing. Ends with status 1 where one is, 2 where no disk of one's own can be had.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from clickhouse_connect.driver.exceptions import DatabaseError

from runherald.clock import system_clock
from runherald.records import TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import DamagedPartsWatch, set_aside
from runherald.sinks.migrate import migrate
from runherald.sinks.retry import Retry
from runherald.sinks.rows import Range, table_rows
from runherald.sinks.writer import TableWriter
from runherald.topics import LOGS
from tests.small_disk import SmallDisk

DAMAGED = 4
WRITERS = 3
BOUND_SECONDS = 120.0
ROWS = 3
"""Of each record."""
TABLE = "log_lines"
_COLUMNS = ("workspace", "run_id", "file", "producer", "stream", "number", "time", "text", "_topic", "_partition", "_offset")
_TABLE_IS_AWAY = frozenset({60, 218, 236})
"""A table is detached for some milliseconds: a processor is begun again then."""


def main(folder: Path) -> int:
    """Write until enough was damaged, and say what is there."""
    disk = SmallDisk(folder)
    if not disk.mount():
        print("a disk of one's own takes root and mount")
        return 2
    try:
        history = HistoryDatabase.open(f"chdb://{folder}/history")
        try:
            return _drill(disk, history)
        finally:
            history.close()
    finally:
        disk.unmount()


def _drill(disk: SmallDisk, history: HistoryDatabase) -> int:
    migrate(history)
    over = threading.Event()
    filler = threading.Thread(target=_fill_again_and_again, args=(disk, over))
    end = time.monotonic() + BOUND_SECONDS

    def enough() -> bool:
        return time.monotonic() > end or set_aside(history).get(TABLE, 0) >= DAMAGED

    filler.start()
    try:
        with DamagedPartsWatch(history, every=1.0):
            written = asyncio.run(_write_all(history, enough))
            over.set()
            filler.join()
    finally:
        over.set()
    query = f"SELECT _partition, count() FROM {TABLE} FINAL GROUP BY _partition"
    stored = {int(row[0]): int(row[1]) for row in history.client().query(query).result_rows}
    missing = {partition: ROWS * count - stored.get(partition, 0) for partition, count in enumerate(written)}
    print(f"{set_aside(history).get(TABLE, 0)} parts damaged; {ROWS * sum(written)} rows written, {sum(missing.values())} missing")
    return 1 if any(missing.values()) else 0


def _fill_again_and_again(disk: SmallDisk, over: threading.Event) -> None:
    chance = random.Random(1)
    while not over.is_set():
        time.sleep(chance.uniform(0.02, 0.3))
        disk.fill()
        time.sleep(chance.uniform(0.005, 0.1))
        disk.empty()


async def _write_all(history: HistoryDatabase, enough: Callable[[], bool]) -> list[int]:
    return await asyncio.gather(*(_write(history, partition, enough) for partition in range(WRITERS)))


async def _write(history: HistoryDatabase, partition: int, enough: Callable[[], bool]) -> int:
    """Write the rows of one record after another, and return how many records."""
    at = TopicPartition(LOGS, partition)
    writer = TableWriter(history, f"logs-{partition}", system_clock, retry=Retry(sleep=_hasty))
    offset = 0
    while not await asyncio.to_thread(enough):
        rows = [
            ("w", "r", f"f{partition}", f"p{half}", "stdout", offset, 0, "text" * 50, at.topic, partition, offset) for half in range(ROWS)
        ]
        try:
            await writer.write([Range(at, offset, offset, (table_rows(TABLE, _COLUMNS, rows),), 0)])
        except DatabaseError as error:
            if error.code not in _TABLE_IS_AWAY:
                raise
            continue
        if (watermark := (await writer.watermarks([at]))[at]) != offset:
            raise SystemExit(f"the watermark is {watermark}, and {offset} was written")
        offset += 1
    return offset


async def _hasty(_seconds: float) -> None:
    await asyncio.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
