"""What `run.log` and a row of ten cost the training loop, durable against SIGKILL; `run_log.py` shows more cases of it."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from figure import Figure, of_rounds
from run_log import Taker, measure

from runherald import Experiment, Run, Workspace

ROUNDS = 3
CALLS = 1_500
PACE = 0.0005
"""Seconds between two calls: the interpreter is shared with the thread that sends, as it is beside a training step."""


def figures() -> list[Figure]:
    """Measure both, in some rounds, each on a run of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # In the home folder and not in /tmp, which may be memory.
    with tempfile.TemporaryDirectory(prefix="runherald-bench-", dir=Path.home()) as home:
        os.environ["RUNHERALD_HOME"] = home
        os.environ["RUNHERALD_URL"] = f"http://127.0.0.1:{server.server_address[1]}"
        experiment = Experiment(Workspace(), "bench")
        scalar = [_round(experiment, lambda run, index: run.log("loss", index * 0.1)) for _ in range(ROUNDS)]
        columns: dict[str, Any] = {f"c{index}": index / 7 for index in range(10)}
        row = [_round(experiment, lambda run, _: run.log_row("row", **columns)) for _ in range(ROUNDS)]
    server.shutdown()
    return [
        of_rounds("run.log of a scalar, p50", [p50 for p50, _ in scalar], "µs", 5),
        of_rounds("run.log of a scalar, p99", [p99 for _, p99 in scalar], "µs"),
        of_rounds("row of ten, p50", [p50 for p50, _ in row], "µs", 10),
        of_rounds("row of ten, p99", [p99 for _, p99 in row], "µs", 100),
    ]


def _round(experiment: Experiment, call: Callable[[Run, int], None]) -> tuple[float, float]:
    with experiment.start_logging() as run:
        p50, p99, _ = measure(lambda index: call(run, index), CALLS, PACE)
    return p50, p99
