"""When records of the embedded log were appended."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

from runherald.clock import from_micros
from runherald.records import TopicPartition
from runherald.streams.embedded_schema import position_of
from runherald.streams.errors import LogUnusable

_SELECT = "SELECT timestamp FROM records WHERE position >= ? AND position < ? ORDER BY position LIMIT 1"


def read_times(path: Path, wanted: Mapping[TopicPartition, tuple[int, int, int]]) -> dict[TopicPartition, datetime]:
    """Return when the first record of a range was appended, for each that has one. `wanted`: number of the partition, begin, end.

    The connection is its own and short: the writer's belongs to its thread, and nobody else waits for this one.

    Raises:
        LogUnusable: the file cannot be read.
    """
    times: dict[TopicPartition, datetime] = {}
    if not wanted:
        return times
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            for partition, (number, begin, end) in wanted.items():
                row = connection.execute(_SELECT, (position_of(number, begin), position_of(number, end))).fetchone()
                if row is not None:
                    times[partition] = from_micros(row[0] * 1000)
    except sqlite3.Error as error:
        raise LogUnusable(f"data: {path} cannot be read ({error})") from error
    return times
