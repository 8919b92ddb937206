"""A drill: a load from several processes, faults by a seeded schedule, and then the books.

    python -m tests.drills.drill --seed 7 --minutes 30 --faults all

Ends with status 0 only when the books balance. The last line has the figures; `report.md` in the drill's folder has everything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.drills.embedded_world import EmbeddedWorld
from tests.drills.kafka_world import KafkaWorld
from tests.drills.report import Outcome, Struck, lines, report
from tests.drills.schedule import Fault, schedule
from tests.drills.world import World
from tests.server_process import free_port

Say = Callable[[str], None]


def run_drill(world: World, faults: Sequence[Fault], *, say: Say, bound: float) -> Outcome:
    """Strike with faults when their time has come, let everything come to rest, and return what it came to.

    Raises:
        AssertionError: something did not come back, or to rest, in time.
    """
    begun = time.monotonic()
    struck = []
    for fault in faults:
        time.sleep(max(0.0, begun + fault.at - time.monotonic()))
        at = time.monotonic() - begun
        world.strike(fault)
        struck.append(Struck(kind=fault.kind, at=at, seconds=time.monotonic() - begun - at))
        say(f"{at:7.1f} s  {fault.kind}, over after {struck[-1].seconds:.1f} s")
    world.settle(bound)
    return Outcome(struck=struck, recoveries=world.recoveries.seconds, revived=world.revived, books=world.books())


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
        outcome = run_drill(world, faults, say=lambda line: print(line, flush=True), bound=600.0)
    (folder / "report.md").write_text(report(outcome, options=vars(options), version=version("runherald")))
    for line in lines(outcome):
        print(line)
    return 0 if outcome.books.balance else 1


def world_of(options: argparse.Namespace, folder: Path) -> World:
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


if __name__ == "__main__":
    sys.exit(main())
