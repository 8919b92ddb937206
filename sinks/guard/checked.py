"""The proof that a query was checked: a type, so that nothing else can be run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, final

from runherald.sinks.guard.parser import TextParser
from runherald.sinks.guard.vocabulary import Vocabulary
from runherald.sinks.guard.walk import check_tree

_SEAL = object()


@final
class CheckedQuery:
    """A query that may run. Only `check_sql` makes one.

    Attributes:
        text: the canonical text, which is what runs.
        views: the views it reads.
    """

    __slots__ = ("text", "views")

    text: str
    views: tuple[str, ...]

    def __init__(self, text: str, views: tuple[str, ...], seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a CheckedQuery comes from the guard's check alone")
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "views", views)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name}: a checked query does not change")

    def __repr__(self) -> str:
        return f"CheckedQuery(views={self.views!r})"


def check_sql(text: str, *, parser: TextParser, database: str, views: Collection[str], vocabulary: Vocabulary) -> CheckedQuery:
    """Return the query that a text means, when it may run.

    Raises:
        QueryRefused: it may not; the message says why and what is allowed.
    """
    parsed = parser.parse(text)
    used = check_tree(parsed.tree, database=database, views=views, vocabulary=vocabulary)
    return CheckedQuery(parsed.text, used, _SEAL)
