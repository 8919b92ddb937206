"""All figures beside their budgets: the machine first, then a table.

    python benchmarks/all.py [NAME …]

Each benchmark runs in a process of its own, one after the other. What the figures mean stands in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from types import MappingProxyType

from figure import Figure, lines, machine

BENCHMARKS: Mapping[str, str] = MappingProxyType(
    {
        "sdk": "sdk.figures",
        "logging": "logging_cost.figures",
        "server": "server.figures",
        "embedded": "embedded_stream.figures",
        "reads": "history_reads.figures",
        "faust-points": "faust_stream.points",
        "faust-events": "faust_stream.events",
    }
)
"""Module and function by the names that people type."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; the exit status says whether all could be measured, not how fast it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="some of them only: " + ", ".join(BENCHMARKS))
    names: list[str] = parser.parse_args(arguments).names or list(BENCHMARKS)
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    print(machine(), flush=True)
    figures: list[Figure] = []
    failed = False
    for name in names:
        begun = time.monotonic()
        try:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                figures += process.submit(measure, BENCHMARKS[name]).result()
        except Exception as error:  # the others are measured all the same
            failed = True
            print(f"{name} could not be measured: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    print("\n" + "\n".join(lines(figures)))
    return 1 if failed else 0


def measure(benchmark: str) -> list[Figure]:
    """Return the figures of one benchmark."""
    module, _, function = benchmark.partition(".")
    found: list[Figure] = getattr(import_module(module), function)()
    return found


if __name__ == "__main__":
    sys.exit(main())
