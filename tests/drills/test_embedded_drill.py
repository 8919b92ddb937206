"""The short form of the drill of the embedded server: every kind of fault about once, and the books balance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(400)
def test_the_books_balance_after_every_kind_of_fault(tmp_path: Path) -> None:
    # In a process of its own, as people run it: the embedded engine opens one folder a process, and the tests have another one open.
    options = ["--seed", "3", "--minutes", "0.5", "--every", "2", "--rate", "200", "--keep", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "tests.drills.drill", *options], capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    [struck] = [line for line in done.stdout.splitlines() if line.startswith("struck: ")]
    for kind in ("server-kill", "server-term", "producer-kill", "smtp-drop-after-data"):
        assert f" {kind}" in struck
    assert "0 lost, 0 doubled, 0 wrong" in done.stdout.splitlines()[-1]
