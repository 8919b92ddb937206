"""Write golden files that are not there yet, and the snapshots of the schemas: `python -m tests.unit.golden_write`.

A file that is there is never written again: it stands for logs that exist.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from runherald.events import VERSIONS
from runherald.wire import encode_batch, encode_data
from tests.unit.golden_events import PAYLOADS, event_of
from tests.unit.golden_formats import KINDS, SAMPLES
from tests.unit.golden_stores import JOURNAL, LOG, NAMES, names, packed, write_journal, write_log
from tests.unit.schema_changes import breaks, definitions

FOLDER = Path(__file__).parent / "golden"
SCHEMAS = FOLDER / "schemas.json"
FORMATS = Path(__file__).parents[1] / "golden"
FORMAT_SCHEMAS = FORMATS / "schemas.json"


def main() -> int:
    """Write what is missing; refuse when the schemas broke."""
    for folder in (FOLDER, FORMATS):
        folder.mkdir(exist_ok=True)
    broken = [*_snapshot(SCHEMAS, VERSIONS), *_snapshot(FORMAT_SCHEMAS, KINDS)]
    if broken:
        sys.stderr.write("\n".join(broken) + "\n")
        return 1
    for path, content in _files():
        if not path.exists():
            path.write_bytes(content)
    _stores()
    return 0


def _snapshot(path: Path, kinds: Iterable[type[msgspec.Struct]]) -> list[str]:
    new = definitions(kinds)
    broken = breaks(msgspec.json.decode(path.read_bytes()), new) if path.exists() else []
    if not broken:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(new, order="sorted"), indent=1) + b"\n")
    return broken


def _files() -> Iterator[tuple[Path, bytes]]:
    for name, data in PAYLOADS.items():
        yield FOLDER / f"{name}.json", encode_data(data)
        yield FOLDER / f"{name}.batch.json", encode_batch([event_of(data)])
    for name, sample in SAMPLES.items():
        if not sample.former:
            yield FORMATS / name, sample.written
    yield FORMATS / NAMES, msgspec.json.format(msgspec.json.encode(names()), indent=1) + b"\n"


def _stores() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        if not (FORMATS / LOG).exists():
            (FORMATS / LOG).write_bytes(packed(write_log(Path(scratch) / "log")))
        if not (FORMATS / JOURNAL).exists():
            shutil.copytree(write_journal(Path(scratch)), FORMATS / JOURNAL)


if __name__ == "__main__":
    sys.exit(main())
