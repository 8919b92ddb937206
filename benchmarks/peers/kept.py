"""Counts the points that a logger's folder holds after its process was killed; prints the number as JSON.

python kept.py NAME FOLDER
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path


def of_runherald(folder: Path) -> int:
    """Count the points in the journals."""
    from runherald.producers.journal.entries import Point, decode_entry
    from runherald.producers.journal.folder import journal_folders
    from runherald.producers.journal.reader import JournalReader

    points = 0
    for journal in journal_folders(folder):
        reader = JournalReader(journal)
        while records := reader.read(10_000) or reader.release(10_000):
            points += sum(isinstance(decode_entry(payload), Point) for _, payload in records)
    return points


def of_wandb(folder: Path) -> int:
    """Count the history records of the run's file: a log of LevelDB, behind seven bytes of its own."""
    from wandb.proto import wandb_internal_pb2

    points = 0
    for file in folder.glob("wandb/offline-run-*/run-*.wandb"):
        for data in _of_leveldb(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            points += record.WhichOneof("record_type") == "history"
    return points


def _of_leveldb(data: bytes) -> Iterator[bytes]:
    block, header, full, last = 32_768, 7, 1, 4
    place, parts = header, b""
    while place + header <= len(data):
        if block - place % block < header:
            place += block - place % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        payload = data[place + header : place + header + length]
        if not kind or len(payload) < length:
            return
        place += header + length
        parts = payload if kind <= 2 else parts + payload
        if kind in (full, last):
            yield parts


def of_mlflow(folder: Path) -> int:
    """Count the lines of the metric's file."""
    return sum(len(file.read_text().splitlines()) for file in folder.rglob("metrics/loss"))


def of_tensorboardx(folder: Path) -> int:
    """Count the records of the event files, of which the first says the version."""
    points = 0
    for file in folder.rglob("events.out.*"):
        data, place, records = file.read_bytes(), 0, 0
        while place + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            place += 8 + 4 + length + 4
            records += place <= len(data)
        points += max(0, records - 1)
    return points


COUNT: dict[str, Callable[[Path], int]] = {
    "runherald": of_runherald,
    "wandb": of_wandb,
    "mlflow": of_mlflow,
    "tensorboardX": of_tensorboardx,
}

if __name__ == "__main__":
    print(f"RESULT {COUNT[sys.argv[1]](Path(sys.argv[2]))}")
