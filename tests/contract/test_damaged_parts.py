"""What a full disk does to the embedded engine's tables, and that nothing of it is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.fixtures.parts import missing
from tests.small_disk import SmallDisk

# In a process of its own: the engine opens one folder a process.
MERGE_ON_A_FULL_DISK = """
import json, sys
from pathlib import Path
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import heal_tables
from tests.small_disk import SmallDisk

disk = SmallDisk(Path(sys.argv[1]))
history = HistoryDatabase.open(f"chdb://{disk.folder}/history")
client = history.client()
client.command("CREATE TABLE sound (a UInt64) ENGINE = MergeTree ORDER BY a")
client.command("INSERT INTO sound SELECT number FROM numbers(10)")
client.command("CREATE TABLE merged (a UInt64, b String) ENGINE = ReplacingMergeTree ORDER BY a")
client.command("SYSTEM STOP MERGES merged")
for first in range(0, 6_000, 1_000):
    client.command(f"INSERT INTO merged SELECT number + {first}, toString(number) FROM numbers(1000)")
before = heal_tables(history)
client.command("SYSTEM START MERGES merged")
disk.fill()
client.command("OPTIMIZE TABLE merged FINAL")
try:
    client.command("INSERT INTO sound VALUES (10)")
    refused = False
except Exception as error:
    refused = error.code == 243
disk.empty()
healed = heal_tables(history)
count = client.query("SELECT count(), uniqExact(a), countIf(b = '') FROM merged").result_rows[0]
client.command("INSERT INTO merged VALUES (10000, 'x')")
client.command("OPTIMIZE TABLE merged FINAL")
again = heal_tables(history)
after = client.query("SELECT count() FROM merged").result_rows[0]
print(json.dumps([before, refused, healed, count, again, after]))
history.close()
"""


def test_a_merge_on_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk")
    if not disk.mount():
        missing("no disk of its own can be mounted here: it takes root")
    try:
        program = [sys.executable, "-c", MERGE_ON_A_FULL_DISK, str(disk.folder)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        before, refused, healed, count, again, after = json.loads(done.stdout)
    finally:
        disk.unmount()
    assert before == []
    assert refused, "an insert that finds no room must say so"
    # When this fails because nothing had to be healed, the engine has been mended, and the watch can go.
    assert healed == ["merged"]
    assert count == [6_000, 6_000, 0]
    assert again == []
    assert after == [6_001]
