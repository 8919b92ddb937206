"""Which functions users may call: whole categories of the engine's own list, so that a new engine's new functions stay out until read."""

from __future__ import annotations

from collections.abc import Iterable

from clickhouse_connect.driver.client import Client
from msgspec import Struct

ALLOWED_CATEGORIES = frozenset(
    {
        "Aggregate Functions",
        "Arithmetic",
        "Arrays",
        "Bit",
        "Bitmap",
        "Comparison",
        "Conditional",
        "Dates and Times",
        "Distance",
        "Encoding",
        "Financial",
        "Hash",
        "IP Address",
        "JSON",
        "Logical",
        "Map",
        "Mathematical",
        "Null",
        "Random Number",
        "Rounding",
        "String",
        "String Replacement",
        "String Search",
        "String Splitting",
        "Time Window",
        "Tuple",
        "Type Conversion",
        "URL",
        "UUID",
    }
)

# Of the categories that stay out (Other, Internal, ...), what computes on its arguments alone.
ALLOWED_BY_NAME = frozenset(
    {
        "bar",
        "byteSize",
        "caseWithExpression",  # what the parser makes of CASE x WHEN
        "countDigits",
        "finalizeAggregation",
        "formatReadableDecimalSize",
        "formatReadableQuantity",
        "formatReadableSize",
        "formatReadableTimeDelta",
        "identity",
        "materialize",
        "minSampleSizeContinuous",
        "minSampleSizeConversion",
        "parseReadableSize",
        "parseReadableSizeOrNull",
        "parseReadableSizeOrZero",
        "parseTimeDelta",
        "rowNumberInAllBlocks",
        "toTypeName",
        "transform",
        "variantElement",
        "variantType",
        "visibleWidth",
    }
)

# Names that the parser or analyzer resolves itself.
SYNTAX = frozenset({"exists", "grouping", "lambda", "untuple"})

# One call over one block cannot be interrupted, and these take time in the square of a string's length, or tell of the engine.
REFUSED_PREFIXES = (
    "arrayLevenshtein",
    "arraySimilarity",
    "damerauLevenshtein",
    "editDistance",
    "jaro",
    "levenshtein",
    "multiFuzzyMatch",
    "naiveBayes",
    "ngramDistance",
    "ngramSearch",
    "sparseGrams",
    "stringJaccard",
)
REFUSED_NAMES = frozenset({"aggThrow", "chdb", "flameGraph", "hierarchicalKMeans", "randomHadamardTransform", "serverTimezone"})


class FunctionEntry(Struct, frozen=True):
    """A row of `system.functions`, with its alias resolved: `categories` are those of the function it stands for."""

    name: str
    canonical: str
    categories: tuple[str, ...]
    is_aggregate: bool
    any_case: bool


class Vocabulary:
    """The functions that users may call, by every name the engine knows them by."""

    def __init__(self, entries: Iterable[FunctionEntry], combinators: Iterable[str]) -> None:
        allowed = [entry for entry in entries if _is_allowed(entry)]
        self._exact = frozenset(entry.name for entry in allowed) | SYNTAX
        self._any_case = frozenset(entry.name.lower() for entry in allowed if entry.any_case)
        self._aggregates = frozenset(entry.name for entry in allowed if entry.is_aggregate)
        self._aggregates_any_case = frozenset(entry.name.lower() for entry in allowed if entry.is_aggregate and entry.any_case)
        # Longest first: `OrDefault` before `Default`, were there one.
        self._combinators = tuple(sorted(combinators, key=len, reverse=True))

    def allows(self, name: str) -> bool:
        """Return whether users may call a function of this name."""
        return name in self._exact or name.lower() in self._any_case or self._is_combined(name)

    def __len__(self) -> int:
        return len(self._exact)

    def _is_combined(self, name: str) -> bool:
        for combinator in self._combinators:
            rest = name.removesuffix(combinator)
            if rest and rest != name and (rest in self._aggregates or rest.lower() in self._aggregates_any_case or self._is_combined(rest)):
                return True
        return False


def read_vocabulary(client: Client) -> Vocabulary:
    """Read the engine's functions and combinators. Functions that an operator defined (`CREATE FUNCTION`) stay out."""
    rows = client.query(_FUNCTIONS).result_rows
    combinators = client.query("SELECT name FROM system.aggregate_function_combinators").result_rows
    entries = [
        FunctionEntry(
            name=str(name),
            canonical=str(canonical),
            categories=tuple(part.strip() for part in str(categories).split(",")),
            is_aggregate=bool(is_aggregate),
            any_case=bool(any_case),
        )
        for name, canonical, categories, is_aggregate, any_case in rows
    ]
    return Vocabulary(entries, [str(name) for (name,) in combinators])


def _is_allowed(entry: FunctionEntry) -> bool:
    for name in (entry.name, entry.canonical):
        if name in REFUSED_NAMES or name.lower().startswith(_REFUSED_LOWER):
            return False
    return entry.canonical in ALLOWED_BY_NAME or any(category in ALLOWED_CATEGORIES for category in entry.categories)


_REFUSED_LOWER = tuple(prefix.lower() for prefix in REFUSED_PREFIXES)

_FUNCTIONS = """
SELECT f.name, if(f.alias_to = '', f.name, f.alias_to) AS canonical,
       toString(if(f.alias_to = '', f.categories, target.categories)) AS categories,
       if(f.alias_to = '', f.is_aggregate, target.is_aggregate) AS is_aggregate, f.case_insensitive
FROM system.functions AS f LEFT JOIN system.functions AS target ON f.alias_to = target.name
WHERE f.origin = 'System'
"""
