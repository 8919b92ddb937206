"""Whether a parsed query reads only what users may read. Pure: it sees a tree and lists, and nothing of the database.

What would be easy to miss, each shown to work on an engine without a guard: the right side of IN names a table without looking like one;
`* APPLY(f)` and arrayReduce name a function as text; a CAST can make an aggregate's state of bytes that nobody checked; a table function's
arguments are expressions; and the name of a WITH holds only where it is in scope: `WITH t AS (SELECT * FROM t)` reads the real t.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runherald.sinks.errors import QueryRefused
from runherald.sinks.guard.nodes import KEYS, REFUSED_CLAUSES, ROOT
from runherald.sinks.guard.table_functions import check_table_function
from runherald.sinks.guard.vocabulary import Vocabulary

Node = Mapping[str, Any]
Scope = frozenset[str]
"""Names that a WITH has made: of tables as they are, of expressions behind `_ALIAS`."""

_ALIAS = "\0"
_NOTHING: Scope = frozenset()
_IN = frozenset(
    f"{place}{name}{suffix}" for place in ("", "global") for name in ("in", "notin", "nullin", "notnullin") for suffix in ("", "ignoreset")
)
_CASTS = frozenset({"cast", "accuratecast", "accuratecastornull", "accuratecastordefault", "kqlparametercast"})
_REDUCES = frozenset({"arrayreduce", "arrayreduceinranges"})


def check_tree(tree: Node, *, database: str, views: Collection[str], vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the views that a query reads, in order of first use.

    Args:
        tree: the query, as `parseQueryToJSON` gives it.
        database: the one database whose views may be named with it.
        views: the names of the views that may be read.
        vocabulary: the functions that may be called.

    Raises:
        QueryRefused: anything in it is not on an allow-list.
    """
    if tree.get("type") != ROOT:
        raise QueryRefused(f"this is a {_readable(str(tree.get('type')))}; only SELECT queries are allowed")
    walk = _Walk(database, views, vocabulary)
    # A stack of our own: a sum of a thousand terms is a tree a thousand deep.
    waiting = walk.union(tree, _NOTHING, is_root=True)[::-1]
    while waiting:
        node, scope = waiting.pop()
        waiting.extend(reversed(walk.visit(node, scope)))
    return tuple(walk.used)


class _Walk:
    """Each method checks one node and returns what is left to check below it, with the WITH names that hold there."""

    def __init__(self, database: str, views: Collection[str], vocabulary: Vocabulary) -> None:
        self.database = database
        self.views = frozenset(views)
        self.vocabulary = vocabulary
        self.used: dict[str, None] = {}

    def visit(self, node: Node, scope: Scope) -> list[tuple[Node, Scope]]:
        match _check_keys(node):
            case "SelectWithUnionQuery":
                return self.union(node, scope, is_root=False)
            case "SelectQuery":
                return self.select(node, scope)
            case "TableIdentifier":
                self.table(_parts(node), scope)
                return []
            case "TableExpression":
                return self.table_expression(node, scope)
            case "Function":
                return self.function(node, scope)
            case "ColumnsApplyTransformer":
                if "func_name" in node:
                    self.function_name(str(node["func_name"]))
                return _below(node, scope)
            case "Literal":
                return []
            case _:
                return _below(node, scope)

    def union(self, node: Node, scope: Scope, *, is_root: bool) -> list[tuple[Node, Scope]]:
        """Check a union. The SELECTs of the outermost one share the first one's WITH (enable_global_with_statement)."""
        _check_keys(node)
        selects = _children(node.get("list_of_selects"))
        shared = _NOTHING
        if is_root and all(str(mode).startswith("UNION") for mode in node.get("list_of_modes", [])):
            shared = frozenset(str(element["name"]) for element in _with(selects[0]) if element.get("type") == "WithElement")
        # The first has a WITH of its own whenever there is one to share.
        return [(select, scope if "with" in select or select.get("type") != "SelectQuery" else scope | shared) for select in selects]

    def select(self, node: Node, scope: Scope) -> list[tuple[Node, Scope]]:
        """Check a SELECT: a WITH name holds for those after it, in itself only when RECURSIVE, and in the SELECT."""
        below: list[tuple[Node, Scope]] = []
        for element in _with(node):
            if element.get("type") == "WithElement":
                wider = scope | {str(element["name"])}
                below.append((element, wider if node.get("recursive_with") else scope))
                scope = wider
            else:
                below.append((element, scope))
                if "alias" in element:
                    scope = scope | {_ALIAS + str(element["alias"])}
        return below + _below(node, scope, skip="with")

    def table(self, parts: Sequence[str], scope: Scope) -> None:
        name = parts[-1] if parts else ""
        if len(parts) == 1 and name in scope:
            return
        if len(parts) > 2 or (len(parts) == 2 and parts[0] != self.database):
            raise QueryRefused(f"only the views of database {self.database} may be read, not {'.'.join(parts)[:80]!r}; {self._there_are()}")
        if name not in self.views:
            raise QueryRefused(f"there is no view named {name[:80]!r}; {self._there_are()}")
        self.used[name] = None

    def table_expression(self, node: Node, scope: Scope) -> list[tuple[Node, Scope]]:
        function = node.get("table_function")
        if function is not None:
            _check_keys(function)
            check_table_function(function)
        return _below(node, scope, skip="table_function")

    def function(self, node: Node, scope: Scope) -> list[tuple[Node, Scope]]:
        name = str(node["name"])
        self.function_name(name)
        if name.lower() in _IN:
            for argument in _children(node.get("arguments"))[1:]:
                parts = _parts(argument)
                if argument.get("type") == "Identifier" and not (len(parts) == 1 and _ALIAS + parts[0] in scope):
                    self.table(parts, scope)
        if name.lower() in _CASTS:
            # The aggregates read their states back without a doubt, in the process that keeps the history.
            if "aggregatefunction" in _written_out(node, 1, f"the type of {name}").lower():
                raise QueryRefused("a CAST to AggregateFunction is not allowed; aggregate the values themselves")
        elif name.lower() in _REDUCES:
            self.function_name(_written_out(node, 0, f"the aggregate of {name}").partition("(")[0].strip())
        return _below(node, scope)

    def function_name(self, name: str) -> None:
        if not self.vocabulary.allows(name):
            raise QueryRefused(
                f"function {name[:80]} is not allowed; there are those that compute on their arguments alone: aggregates, arithmetic, "
                "arrays, dates, JSON, maps, strings, conversions"
            )

    def _there_are(self) -> str:
        return "there are " + ", ".join(sorted(self.views, key=str.lower))


def _check_keys(node: Node) -> str:
    kind = str(node.get("type"))
    keys = KEYS.get(kind)
    if keys is None:
        raise QueryRefused(f"{_readable(kind)} is not allowed in a query")
    for key, value in node.items():
        if key in keys or key == "type" or value is False:
            continue
        reason = REFUSED_CLAUSES.get(key) or f"{_readable(key)} of {_readable(kind)} is not allowed in a query"
        raise QueryRefused(reason)
    return kind


def _below(node: Node, scope: Scope, skip: str = "") -> list[tuple[Node, Scope]]:
    below: list[tuple[Node, Scope]] = []
    for key, value in node.items():
        if key == skip:
            continue
        if isinstance(value, Mapping):
            below.append((value, scope))
        elif isinstance(value, list):
            if any(isinstance(item, list) for item in value):
                raise QueryRefused(f"{_readable(key)} has a form that is not allowed in a query")
            below.extend((item, scope) for item in value if isinstance(item, Mapping))
    return below


def _written_out(function: Node, index: int, what: str) -> str:
    arguments = _children(function.get("arguments"))
    literal = arguments[index].get("value") if index < len(arguments) and arguments[index].get("type") == "Literal" else None
    if not isinstance(literal, Mapping) or literal.get("field_type") != "String":
        raise QueryRefused(f"{what} must be written out as a text")
    return str(literal.get("value"))


def _children(node: object) -> list[Node]:
    if not isinstance(node, Mapping):
        return []
    _check_keys(node)
    children = node.get("children", [])
    return [child for child in children if isinstance(child, Mapping)]


def _with(select: Node) -> list[Node]:
    return _children(select.get("with"))


def _parts(node: Node) -> list[str]:
    parts = node.get("name_parts")
    return [str(part) for part in parts] if parts else [str(node.get("name", ""))]


def _readable(name: str) -> str:
    return "".join(" " + letter.lower() if letter.isupper() else letter for letter in name).strip().replace("_", " ")
