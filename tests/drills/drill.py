"""A drill: a load from several processes, faults by a seeded schedule, and then the books.

    python -m tests.drills.drill --seed 7 --minutes 30 --faults all

Ends with status 0 only when the books balance. The last line has the figures.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tests.drills.books import Books, lines
from tests.drills.embedded_world import EmbeddedWorld
from tests.drills.kafka_world import KafkaWorld
from tests.drills.schedule import Fault, schedule

Say = Callable[[str], None]


class World(Protocol):
    """What is drilled."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The faults that it can be struck with here."""
        ...

    def strike(self, fault: Fault) -> None:
        """Let a fault happen."""
        ...

    def settle(self, bound: float) -> None:
        """End the load and wait until nothing is under way."""
        ...

    def books(self) -> Books:
        """Check the books."""
        ...


def run_drill(world: World, faults: Sequence[Fault], *, say: Say, bound: float) -> Books:
    """Strike with faults when their time has come, let everything come to rest, and return the books.

    Raises:
        AssertionError: something did not come back, or to rest, in time.
    """
    begun = time.monotonic()
    for fault in faults:
        time.sleep(max(0.0, begun + fault.at - time.monotonic()))
        struck = time.monotonic()
        world.strike(fault)
        say(f"{struck - begun:7.1f} s  {fault.kind}, over after {time.monotonic() - struck:.1f} s")
    world.settle(bound)
    return world.books()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a drill by the command line; return 0 when the books balance, 1 when not."""
    parser = argparse.ArgumentParser(prog="make drill", description="Strike a running installation with faults, and check its books.")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the faults (1)")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long faults strike (5)")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between faults, about (3)")
    parser.add_argument("--faults", default="all", help="`all`, or kinds separated by commas")
    parser.add_argument("--producers", type=int, default=3, help="how many processes log at a time (3)")
    parser.add_argument("--rate", type=float, default=400.0, help="points a second of each (400)")
    parser.add_argument("--log", choices=("embedded", "kafka"), default="embedded", help="what is drilled (embedded)")
    parser.add_argument("--brokers", type=int, default=3, help="nodes of the Kafka (3)")
    parser.add_argument(
        "--keep", type=Path, help="folder for what is left behind; a temporary one, kept when the books do not balance, if not said"
    )
    options = parser.parse_args(arguments)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="runherald-drill-"))
    folder.mkdir(parents=True, exist_ok=True)
    with world_of(options, folder) as world:
        kinds = wanted_kinds(options.faults, world.kinds)
        faults = schedule(options.seed, options.minutes * 60, kinds, every=options.every)
        print(f"seed {options.seed}, {len(faults)} faults of {len(kinds)} kinds, everything in {folder}", flush=True)
        books = run_drill(world, faults, say=lambda line: print(line, flush=True), bound=600.0)
    for table, parts in getattr(world, "rebuilt", {}).items():
        print(f"rebuilt: {table}, of which the full disk had damaged {parts} parts")
    struck = Counter(fault.kind for fault in faults)
    print("struck: " + ", ".join(f"{count} {kind}" for kind, count in sorted(struck.items())))
    for line in lines(books):
        print(line)
    return 0 if books.balance else 1


def world_of(options: argparse.Namespace, folder: Path) -> EmbeddedWorld | KafkaWorld:
    """Return what the command line asks to be drilled."""
    ports = (free_port(), free_port())
    load = {"count": options.producers, "rate": options.rate, "seed": options.seed}
    return KafkaWorld(folder, ports, brokers=options.brokers, **load) if options.log == "kafka" else EmbeddedWorld(folder, ports, **load)


def wanted_kinds(text: str, kinds: Sequence[str]) -> list[str]:
    """Return the kinds of faults that a text names.

    Raises:
        SystemExit: one is not known, or cannot be struck here.
    """
    if text == "all":
        return list(kinds)
    wanted = text.split(",")
    for kind in wanted:
        if kind not in kinds:
            raise SystemExit(f"--faults: {kind!r} is none of those that can be struck here: {', '.join(kinds)}")
    return wanted


def free_port() -> int:
    """Return a loopback port that nobody holds at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
