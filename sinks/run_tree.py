"""The runs below a run, page by page: each child before its younger siblings, its own children after it.

A page is continued from the way down to its last run: nothing is kept between pages, and none reads more of a family than it shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from runherald.api import RunPage, RunView
from runherald.errors import InvalidInput
from runherald.sinks.run_list import IDS_AT_ONCE, MAX_PAGE, Place, RunList, parse_place, place_of, place_text

MAX_LEVELS = 50
"""How deep below a run is looked: the way down stands in the cursor, and with that in a URL."""
_DOWN = "/"  # in no id of a run

_Way = tuple[Place, ...]


class RunTree:
    """Reads the children of runs, and their children. Safe between threads; every call blocks."""

    def __init__(self, runs: RunList) -> None:
        self._runs = runs

    def page(self, run_id: str, *, recursive: bool, cursor: str = "", limit: int = 100) -> RunPage:
        """Return a page of the children of a run, oldest first, or of all its descendants; those that were deleted are left out.

        Raises:
            InvalidInput: cursor or limit cannot be used, or the descendants are deeper than 50 levels.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"limit: {limit} is not between 1 and {MAX_PAGE}")
        found = list(islice(self._after(run_id, _parse(cursor), recursive, min(limit + 1, IDS_AT_ONCE)), limit + 1))
        following = _DOWN.join(map(place_text, found[limit - 1][0])) if len(found) > limit else ""
        return RunPage(runs=[run for _, run in found[:limit]], next=following)

    def all(self, run_id: str, *, recursive: bool, most: int) -> list[RunView]:
        """Return all of what pages hold.

        Raises:
            InvalidInput: they are more than `most`, or deeper than 50 levels.
        """
        found = [run for _, run in islice(self._after(run_id, (), recursive, IDS_AT_ONCE), most + 1)]
        if len(found) > most:
            raise InvalidInput(
                f"limit: run {run_id} has more than {most} runs below it; say how many are to be on a page, such as limit=200"
            )
        return found

    def _after(self, run_id: str, way: _Way, recursive: bool, at_once: int) -> Iterator[tuple[_Way, RunView]]:
        """Give what comes after the run that a way leads to, with the way to each: below it, then beside it, then beside what is above."""
        for depth in range(len(way), -1, -1):
            if depth == len(way) and way and not recursive:
                continue
            parents = [run_id, *(place.run_id for place in way[:depth])]
            yield from self._below(parents, way[:depth], way[depth] if depth < len(way) else None, recursive, at_once)

    def _below(self, parents: list[str], way: _Way, after: Place | None, recursive: bool, at_once: int) -> Iterator[tuple[_Way, RunView]]:
        while True:
            children = self._runs.children_after(parents[-1], after, at_once)
            grown = self._runs.parents_among([child.run_id for child in children]) if recursive else frozenset()
            for child in children:
                after = place_of(child)
                if child.run_id in parents:  # nothing keeps two runs from naming each other as parent
                    continue
                yield (*way, after), child
                if child.run_id in grown:
                    if len(parents) >= MAX_LEVELS:
                        said = f"the runs below {parents[0]} are deeper than {MAX_LEVELS} levels"
                        raise InvalidInput(f"recursive: {said}; ask for those below {child.run_id} by themselves")
                    yield from self._below([*parents, child.run_id], (*way, after), None, recursive, at_once)
            if len(children) < at_once:
                return


def _parse(cursor: str) -> _Way:
    way = tuple(map(parse_place, cursor.split(_DOWN))) if cursor else ()
    if len(way) > MAX_LEVELS:
        raise InvalidInput("cursor: is not the `next` of a page; leave it out to begin at the oldest child")
    return way
