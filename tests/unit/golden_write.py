"""Write golden files that are not there yet, and the snapshot of the schemas: `python -m tests.unit.golden_write`.

A file that is there is never written again: it stands for logs that exist.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from runherald.wire import encode_batch, encode_data
from tests.unit.golden_events import PAYLOADS, event_of
from tests.unit.schema_changes import breaks, definitions

FOLDER = Path(__file__).parent / "golden"
SCHEMAS = FOLDER / "schemas.json"


def main() -> int:
    """Write what is missing; refuse when the schemas broke."""
    FOLDER.mkdir(exist_ok=True)
    new = definitions()
    broken = breaks(msgspec.json.decode(SCHEMAS.read_bytes()), new) if SCHEMAS.exists() else []
    if broken:
        sys.stderr.write("\n".join(broken) + "\n")
        return 1
    SCHEMAS.write_bytes(msgspec.json.format(msgspec.json.encode(new, order="sorted"), indent=1) + b"\n")
    for name, data in PAYLOADS.items():
        for path, content in (
            (FOLDER / f"{name}.json", encode_data(data)),
            (FOLDER / f"{name}.batch.json", encode_batch([event_of(data)])),
        ):
            if not path.exists():
                path.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
