"""A producer under drill: runs one after another, a ledger of what it logged, until it is told to stop.

    python -m tests.drills.training LEDGER STOP SEED POINTS_A_SECOND

Some runs have children, some fail, some are cancelled by their own script.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from runherald import Experiment, Run, Workspace
from tests.drills.ledger import Ledger

BURST = 20


def main() -> int:
    """Log runs until the stop file is there."""
    ledger, stop, seed, rate = Ledger(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    draw = random.Random(seed)
    experiment = Experiment(Workspace(), "drill")
    pace = Pace(rate)
    while not stop.exists():
        parent = begin(experiment, ledger)
        for _ in range(draw.choice((0, 0, 1, 3))):
            train(begin(experiment, ledger, parent), draw, ledger, pace)
        train(parent, draw, ledger, pace)
    return 0


class Pace:
    """Holds a rate, a burst at a time."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._logged = 0
        self._since = time.monotonic()

    def keep(self) -> None:
        """Count one point; rest when it is ahead."""
        self._logged += 1
        if self._logged % BURST == 0:
            time.sleep(max(0.0, self._since + self._logged / self._rate - time.monotonic()))


def begin(experiment: Experiment, ledger: Ledger, parent: Run | None = None) -> Run:
    """Begin a run and say so."""
    run = parent.child_run() if parent else experiment.start_logging()
    ledger.begun(run.id, parent.id if parent else "")
    return run


def train(run: Run, draw: random.Random, ledger: Ledger, pace: Pace) -> None:
    """Log points and tags, and end the run."""
    tags = 0
    for step in range(draw.randrange(20, 300)):
        run.log("loss", 1 / (step + 1), step=step)
        ledger.point(run.id, step)
        if draw.random() < 0.02:
            run.tag(f"tag-{tags}", str(step))
            ledger.tag(run.id, tags)
            tags += 1
        pace.keep()
    end = draw.choices(("Completed", "Failed", "Canceled"), (7, 2, 1))[0]
    match end:
        case "Completed":
            run.complete()
        case "Failed":
            run.fail("the loss is no number")
        case _:
            run.cancel()
    ledger.ended(run.id, end)


if __name__ == "__main__":
    sys.exit(main())
