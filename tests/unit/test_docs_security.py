"""The page of attacks names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "security.md"
_NAMED = re.compile(r"`(?:(tests/)?([\w/]+\.py))?(?:::(test_\w+))?`")


def test_every_row_names_tests_that_exist() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and not line.startswith("| attack")]
    assert len(rows) > 20
    for row in rows:
        file = ""
        found = [match for match in _NAMED.finditer(row.split(" | ")[-1]) if match[2] or match[3]]
        assert found, row
        for match in found:
            if match[2]:
                file = match[2] if match[1] else f"integration/{match[2]}"
            source = (TESTS / file).read_text(encoding="utf-8")
            assert not match[3] or f"def {match[3]}(" in source, f"{file} has no {match[3]}"
