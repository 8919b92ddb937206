"""What a drill came to, for people: the last lines on the screen, and a report to keep."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from msgspec import Struct

from tests.drills.books import Books


class Struck(Struct, frozen=True, kw_only=True):
    """A fault that was struck: when, in seconds from the beginning, and how long the strike took until the part was back."""

    kind: str
    at: float
    seconds: float


class Outcome(Struct, frozen=True, kw_only=True):
    """What a drill came to.

    Attributes:
        recoveries: by the kind of fault, seconds from each kill until everything from before it was processed.
        revived: how often something had ended by itself and was started again.
    """

    struck: Sequence[Struck]
    recoveries: Mapping[str, Sequence[float]]
    revived: int
    books: Books


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield what a person reads at the end of a drill: what does not balance, some of each kind, and the figures last."""
    books = outcome.books
    for table, parts in outcome.books.set_aside.items():
        yield f"set aside: {parts} parts of {table}, damaged by a full disk"
    for kind, seconds in sorted(outcome.recoveries.items()):
        yield f"recovery: {kind}: {_spread(seconds)}"
    by_kind = _by_kind(outcome.struck)
    yield "struck: " + ", ".join(f"{len(times)} {kind}" for kind, times in by_kind.items())
    for name, found in _differences(books):
        yield from (f"{name}: {each}" for each in _some(found))
    notices = ", ".join(f"{count} {state}" for state, count in sorted(books.notices.items())) or "none"
    yield (
        f"{books.runs} runs, {books.calls} calls, {books.points} points, {len(outcome.struck)} faults: {len(books.lost)} lost, "
        f"{len(books.doubled)} doubled, {len(books.wrong)} wrong; {books.again} rows came again; notices: {notices}; "
        f"{books.mails} mails, {books.mails_again} again"
    )


def report(outcome: Outcome, *, options: Mapping[str, object], version: str) -> str:
    """Return the report of a drill, in Markdown; `docs/drills.md` says how to read it."""
    books = outcome.books
    verdict = "The books balance." if books.balance else "**The books do not balance.**"
    said = " ".join(f"--{name} {value}" for name, value in options.items() if value is not None)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    parts = [
        "# Drill",
        f"{verdict} runherald {version}; {machine}.",
        f"`python -m tests.drills.drill {said}`",
        _table(
            ("figure", "count"),
            [
                ("faults struck", len(outcome.struck)),
                ("calls that returned", books.calls),
                ("of them points", books.points),
                ("runs", books.runs),
                ("lost", len(books.lost)),
                ("doubled", len(books.doubled)),
                ("wrong", len(books.wrong)),
                ("lost, and said so", len(books.told)),
                ("rows that came again", books.again),
                *((f"notices {state}", count) for state, count in sorted(books.notices.items())),
                ("mails", books.mails),
                ("mails that came again", books.mails_again),
                ("parts that ended by themselves", outcome.revived),
            ],
        ),
        "## Faults",
        _table(
            ("fault", "struck", "longest until the part was back, s"),
            [(kind, len(times), f"{max(times):.1f}") for kind, times in _by_kind(outcome.struck).items()],
        ),
    ]
    if outcome.recoveries:
        parts += ["## Recoveries", "From a kill until everything that was in the log then was processed."]
        parts.append(_list(f"{kind}: {_spread(seconds)}" for kind, seconds in sorted(outcome.recoveries.items())))
    if aside := outcome.books.set_aside:
        parts += ["## Set aside", _list(f"{table}: {count} parts damaged by a full disk" for table, count in aside.items())]
    for name, found in _differences(books):
        if found:
            parts += [f"## {name.capitalize()}", _list(found)]
    return "\n\n".join(parts) + "\n"


def _differences(books: Books) -> Sequence[tuple[str, Sequence[str]]]:
    return (("lost", books.lost), ("doubled", books.doubled), ("wrong", books.wrong), ("lost, and said so", books.told))


def _by_kind(struck: Sequence[Struck]) -> Mapping[str, Sequence[float]]:
    times: defaultdict[str, list[float]] = defaultdict(list)
    for one in sorted(struck, key=lambda one: one.kind):
        times[one.kind].append(one.seconds)
    return times


def _spread(seconds: Sequence[float]) -> str:
    return f"{len(seconds)} times, median {median(seconds):.1f} s, longest {max(seconds):.1f} s"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _some(found: Sequence[str], most: int = 10) -> Sequence[str]:
    return found if len(found) <= most else [*found[:most], f"… and {len(found) - most} more"]
