"""The short form of the drill of the embedded server: every kind of fault once, and the books balance."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.drill import free_port, run_drill
from tests.drills.embedded_world import EmbeddedWorld
from tests.drills.schedule import schedule


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [3])
def test_the_books_balance_after_every_kind_of_fault(tmp_path: Path, seed: int) -> None:
    with EmbeddedWorld(tmp_path, (free_port(), free_port()), count=3, rate=200.0, seed=seed) as world:
        faults = schedule(seed, 2.0 * (len(world.kinds) + 1), world.kinds, every=2.0, longest=2.0)
        books = run_drill(world, faults, say=print, bound=120.0)
    assert books.calls > 2_000, "hardly anything was logged"
    assert books.lost == []
    assert books.doubled == []
    assert books.wrong == []
