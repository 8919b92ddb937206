"""Times the calls of one project's logger, or kills itself after some of them; prints what it found as JSON.

PACE is the seconds between two calls; 0 for none.

python cost.py NAME FOLDER CALLS PACE          {"scalar": [p50, p99], "row": [p50, p99]} in microseconds
python cost.py NAME FOLDER CALLS PACE --kill   logs so many scalars and sends itself SIGKILL
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loggers import OPEN


def measured(call: Callable[[int], Any], calls: int, pace: float) -> list[float]:
    """Return p50 and p99 of a call, in microseconds."""
    times: list[int] = []
    for index in range(calls):
        begin = time.perf_counter_ns()
        call(index)
        times.append(time.perf_counter_ns() - begin)
        if pace:
            time.sleep(pace)
    times.sort()
    return [times[calls // 2] / 1000, times[calls * 99 // 100] / 1000]


def main(name: str, folder: str, calls: str, pace: str, *more: str) -> None:
    """Do what is asked for."""
    scalar, row = OPEN[name](Path(folder))
    if "--kill" in more:
        for index in range(int(calls)):
            scalar(index)
            time.sleep(float(pace))
        os.kill(os.getpid(), signal.SIGKILL)
    result = {"scalar": measured(scalar, int(calls), float(pace)), "row": measured(row, int(calls), float(pace))}
    print("RESULT " + json.dumps(result), flush=True)
    os._exit(0)  # what a logger does at its end is not measured here


if __name__ == "__main__":
    main(*sys.argv[1:])
