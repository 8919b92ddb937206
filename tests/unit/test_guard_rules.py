"""The guard's rules that need no engine, and what is made of the engine's errors."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError

from runherald.sinks.errors import Kind, QueryRefused, classify, describe_engine_error, engine_error_code
from runherald.sinks.guard.answer import AnswerBuilder, QueryLimits
from runherald.sinks.guard.server_user import excess_grants, server_user_sql
from runherald.sinks.guard.views import USER_VIEWS
from runherald.sinks.guard.vocabulary import FunctionEntry, Vocabulary
from runherald.sinks.guard.walk import check_tree


def entry(name: str, category: str, *, canonical: str = "", aggregate: bool = False, any_case: bool = False) -> FunctionEntry:
    return FunctionEntry(name=name, canonical=canonical or name, categories=(category,), is_aggregate=aggregate, any_case=any_case)


VOCABULARY = Vocabulary(
    [
        entry("plus", "Arithmetic"),
        entry("sum", "Aggregate Functions", aggregate=True, any_case=True),
        entry("file", "Other"),
        entry("slurp", "Other", canonical="file", any_case=True),
        entry("toTypeName", "Other"),
        entry("levenshteinDistance", "String", canonical="editDistance"),
        entry("editDistance", "String"),
        entry("in", "Comparison"),
    ],
    ["If", "Array", "OrNull"],
)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("plus", True),
        ("PLUS", False),
        ("SUM", True),
        ("sumIf", True),
        ("sumArrayIf", True),
        ("sumOrNull", True),
        ("SumIf", True),
        ("plusIf", False),
        ("If", False),
        ("file", False),
        ("fileIf", False),
        ("slurp", False),
        ("SLURP", False),
        ("toTypeName", True),
        ("editDistance", False),
        ("levenshteinDistance", False),
        ("lambda", True),
        ("", False),
    ],
)
def test_functions_are_allowed_by_category(name: str, allowed: bool) -> None:
    assert VOCABULARY.allows(name) is allowed


def select(**clauses: Any) -> dict[str, Any]:
    literal = {"type": "ExpressionList", "children": [{"type": "Literal", "value": {"field_type": "UInt64", "value": 1}}]}
    query = {"type": "SelectQuery", "select": literal, **clauses}
    return {"type": "SelectWithUnionQuery", "union_mode": "X", "list_of_selects": {"type": "ExpressionList", "children": [query]}}


def check(tree: dict[str, Any]) -> tuple[str, ...]:
    return check_tree(tree, database="runherald", views=("runs",), vocabulary=VOCABULARY)


def test_a_known_tree_passes() -> None:
    assert check(select()) == ()


@pytest.mark.parametrize(
    "tree",
    [
        {"type": "DropQuery"},
        {},
        select(where={"type": "SomeNewNode"}),
        select(some_new_clause={"type": "Literal", "value": {}}),
        select(where={"type": "Identifier", "name": "x", "children": [{"type": "QueryParameter", "name": "t"}]}),
        select(group_by={"type": "ExpressionList", "children": [[{"type": "TableIdentifier", "name": "system"}]]}),
        select(where={"type": "Function", "name": "file", "arguments": {"type": "ExpressionList"}}),
        {**select(), "format_ast": {"type": "Identifier", "name": "Null"}},
        {**select(), "is_outfile_append": True},
    ],
)
def test_what_is_unknown_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(QueryRefused):
        check(tree)


def test_a_tree_of_any_depth_is_walked() -> None:
    expression: dict[str, Any] = {"type": "Function", "name": "file", "arguments": {"type": "ExpressionList"}}
    for _ in range(20_000):
        expression = {"type": "Function", "name": "plus", "arguments": {"type": "ExpressionList", "children": [expression]}}
    with pytest.raises(QueryRefused, match="function file"):
        check(select(where=expression))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DatabaseError("busy", code=202), "retriable"),
        (DatabaseError("many parts", code=252), "retriable"),
        (DatabaseError("disk full", code=243), "retriable"),
        (DatabaseError("memory", code=241), "retriable"),
        (DatabaseError("HTTP driver received HTTP status 500"), "retriable"),
        (DatabaseError("HTTP driver received HTTP status 503, server response: x"), "retriable"),
        (OperationalError("Error executing HTTP request"), "retriable"),
        (ConnectionResetError(), "retriable"),
        (TimeoutError(), "retriable"),
        (DatabaseError("type", code=53), "data"),
        (DatabaseError("null", code=349), "data"),
        (DataError("Unable to create Python array"), "data"),
        (struct.error("int too large"), "data"),
        (OverflowError(), "data"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), "data"),
        (DatabaseError("no table", code=60), "unknown"),
        (DatabaseError("denied", code=497), "unknown"),
        (OperationalError("syntax", code=62), "unknown"),
        (DatabaseError("HTTP driver received HTTP status 404"), "unknown"),
        (TypeError("a bug"), "unknown"),
    ],
)
def test_an_inserts_error_is_classified(error: Exception, kind: Kind) -> None:
    assert classify(error) == kind


def test_an_engines_message_loses_what_it_repeats() -> None:
    message = "Streaming query failed: Code: 47. DB::Exception: Unknown expression `x` in scope: In scope SELECT x FROM secret. (UNKNOWN)"
    assert engine_error_code(message) == 47
    assert describe_engine_error(message) == "Unknown expression `x` in scope"


def test_an_answer_is_cut_at_rows_and_at_bytes() -> None:
    by_rows = AnswerBuilder(QueryLimits(rows=2))
    assert by_rows.add(b'["a"]', b'["UInt8"]', [b"[1]", b""])
    assert not by_rows.add(b'["a"]', b'["UInt8"]', [b"[2]", b"[3]"])
    assert by_rows.answer().rows == [[1], [2]]
    assert by_rows.answer().truncated
    by_bytes = AnswerBuilder(QueryLimits(bytes=5))
    assert not by_bytes.add(b'["a"]', b'["UInt8"]', [b"[1]", b"[2]"])
    assert by_bytes.answer().rows == [[1]]


def test_an_answer_that_fits_is_not_cut() -> None:
    builder = AnswerBuilder(QueryLimits(rows=2))
    assert builder.add(b'["a"]', b'["UInt8"]', [b"[1]", b"[2]"])
    assert not builder.answer().truncated


def test_the_servers_user_may_read_the_views_and_no_more() -> None:
    statements = server_user_sql(database="history", user="asker")
    grants = [statement for statement in statements if statement.startswith("GRANT")]
    assert grants == [f"GRANT SELECT ON history.{view} TO asker" for view in USER_VIEWS]
    assert any("readonly = 1 CONST" in statement for statement in statements)
    assert excess_grants(grants, databases=["other", "history"]) == []


@pytest.mark.parametrize(
    "grant",
    [
        "GRANT SELECT ON *.* TO asker",
        "GRANT SELECT ON history.* TO asker",
        "GRANT SELECT ON history.run_events TO asker",
        "GRANT SELECT ON other.runs TO asker",
        "GRANT SELECT, INSERT ON history.runs TO asker",
        "GRANT SELECT ON history.runs TO asker WITH GRANT OPTION",
        "GRANT writer TO asker",
        "GRANT READ ON FILE TO asker",
    ],
)
def test_more_rights_than_needed_are_found(grant: str) -> None:
    assert excess_grants([grant], databases=["history"]) == [grant]
