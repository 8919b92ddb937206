"""The overload drill: more comes than a slow ClickHouse takes, for long; memory stays flat, and every queue within its bounds.

    python -m tests.drills.overload --minutes 8 --log kafka

Ends with status 0 only when no process of ours grew over the second half, no queue was above its bound, and it was an overload: each of the
fed processors fell further behind all the time, and still stored something.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError

from msgspec import Struct

from runherald.topics import TOPICS
from tests.drills.overloaded import FED, Overloaded, OverloadedServer, OverloadedWorker, Standing
from tests.drills.resident import Track, sample, table
from tests.server_process import free_port

ONE_MORE = max(topic.max_message_bytes for topic in TOPICS.values())
"""Bytes by which a queue may be above its bound: one record."""
ONE_BODY = 4 * 1024 * 1024
"""The same for the intake, where it is one request."""
SAMPLES = 8
"""At least so many are taken, however long a busy server takes to say how full its queues are."""
PATIENCE_SECONDS = 60.0
"""How long is waited after all that for a processor to store something: beside other work one flush takes longer than a short drill."""
Fills = dict[tuple[str, str, str], float]


class Findings(Struct):
    """What was seen during an overload.

    Attributes:
        most: the highest figure of each queue: processor, queue and kind.
        standings: how far the fed processors were at the first sample and at the last.
    """

    tracks: list[Track]
    most: Fills
    standings: list[Mapping[str, Standing]]


def overload(world: Overloaded, *, seconds: float, delay: float, scale: float, lead: float) -> Findings:
    """Load an installation for so long, after `lead` seconds in which it becomes as full as it gets, and return what was seen."""
    world.slow_down(delay)
    world.feed(scale)
    time.sleep(lead)
    tracks = {name: Track(name, []) for name in world.processes()}
    findings = Findings(list(tracks.values()), {}, [world.standings()])
    begun = time.monotonic()
    while (
        (now := time.monotonic() - begun) < seconds
        or len(findings.tracks[0].samples) < SAMPLES
        or (now < seconds + PATIENCE_SECONDS and idle(findings.standings[0], world.standings()))
    ):
        sample(tracks, world.processes(), now)
        try:
            fills = world.fills()
        except (URLError, OSError):
            fills = {}  # a machine with too much to do: the next second asks again
        findings.most |= {at: max(figure, findings.most.get(at, 0.0)) for at, figure in fills.items()}
        assert world.fed(), "the load has ended by itself"
        time.sleep(max(0.0, begun + now + 1 - time.monotonic()))
    findings.standings.append(world.standings())
    return findings


def wrongs(findings: Findings, *, ours: frozenset[str], floor: float, briefly: bool = False) -> list[str]:
    """Return what is not as it must be. `briefly`: for so short a time that one flush may take more than came meanwhile."""
    grown = [
        f"{track.name} grows by {track.per_minute:.1f} MiB a minute"
        for track in findings.tracks
        if track.name in ours and track.grows(floor)
    ]
    return [*grown, *above_bounds(findings.most), *no_overload(*findings.standings, briefly=briefly)]


def above_bounds(most: Fills) -> list[str]:
    """Return the queues that were above their bounds, and those of the fed processors that nothing is known of."""
    unknown = [f"{name}: nothing is known of its queues" for name in FED if (name, "taken", "items") not in most]
    return unknown + [
        f"{processor or 'server'}: {queue} held {figure:.0f} {kind} of {most[processor, queue, f'{kind}_limit']:.0f}"
        for (processor, queue, kind), figure in most.items()
        if kind in ("items", "bytes") and figure > most[processor, queue, f"{kind}_limit"] + _slack(queue, kind)
    ]


def no_overload(first: Mapping[str, Standing], last: Mapping[str, Standing], *, briefly: bool = False) -> list[str]:
    """Return the fed processors that had not more to do than they could, or did nothing."""
    not_overloaded = [
        f"{name}: it was no overload, its lag went from {first[name].lag} to {last[name].lag}"
        for name in FED
        if last[name].lag <= (0 if briefly else first[name].lag)
    ]
    return not_overloaded + [f"{name}: it stored nothing" for name in idle(first, last)]


def idle(first: Mapping[str, Standing], last: Mapping[str, Standing]) -> list[str]:
    """Return the fed processors that stored nothing meanwhile."""
    return [name for name in FED if last[name].committed <= first[name].committed]


def lines(findings: Findings, *, ours: frozenset[str], floor: float) -> list[str]:
    """Return what was seen, as people read it."""
    return [
        *table(findings.tracks, floor, ours),
        "",
        "| | queue | most items | most MiB |",
        "|---|---|---|---|",
        *_queues(findings.most),
        "",
        *(_progress(name, *(standings[name] for standings in findings.standings)) for name in FED),
    ]


def _queues(most: Fills) -> list[str]:
    return [
        f"| {at[0] or 'server'} | {at[1]} | {most[*at, 'items']:.0f} of {most[*at, 'items_limit']:.0f} | {_in_bytes(most, *at)} |"
        for at in sorted({(processor, queue) for processor, queue, _ in most})
    ]


def _progress(name: str, first: Standing, last: Standing) -> str:
    return f"{name}: stored {last.committed - first.committed} records, lag {first.lag} to {last.lag}"


def _in_bytes(most: Fills, processor: str, queue: str) -> str:
    if (processor, queue, "bytes") not in most:
        return ""
    return f"{most[processor, queue, 'bytes'] / 2**20:.1f} of {most[processor, queue, 'bytes_limit'] / 2**20:.0f}"


def _slack(queue: str, kind: str) -> int:
    if kind == "items":
        return 0
    return ONE_BODY if queue == "intake" else ONE_MORE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drill by the command line; return 0 when memory stayed flat under an overload, 1 when not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.drills.overload", description="Load an installation with more than it can store."
    )
    parser.add_argument("--log", choices=("embedded", "kafka"), default="embedded", help="what is loaded (embedded)")
    parser.add_argument("--minutes", type=float, default=8.0, help="how long (8)")
    parser.add_argument("--delay", type=float, default=5.0, help="seconds that each request to ClickHouse takes longer (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the load: 1 is 4 MB/s (1)")
    parser.add_argument("--lead", type=float, default=10.0, help="seconds before the first sample (10)")
    parser.add_argument("--floor", type=float, default=16.0, help="MiB that a process may grow by in the second half (16)")
    parser.add_argument("--keep", type=Path, help="folder for what is left behind; a temporary one if not said")
    options = parser.parse_args(arguments)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="runherald-overload-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{options.minutes:g} minutes of {options.log}, everything in {folder}", flush=True)
    kind = OverloadedWorker if options.log == "kafka" else OverloadedServer
    with kind(folder, (free_port(), free_port())) as world:
        findings = overload(world, seconds=options.minutes * 60, delay=options.delay, scale=options.scale, lead=options.lead)
        ours = world.ours()
    found = wrongs(findings, ours=ours, floor=options.floor)
    print("\n".join(lines(findings, ours=ours, floor=options.floor)))
    print(f"wrong: {'; '.join(found)}" if found else "memory was flat, every queue within its bounds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
