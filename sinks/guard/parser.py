"""The engine's own parser, asked what a text means without running it."""

from __future__ import annotations

import re
from typing import Any, Protocol

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from msgspec import Struct

from runherald.errors import Unreachable
from runherald.sinks.errors import QueryRefused, describe_engine_error

MAX_BYTES = 65_536
MINIMUM_VERSION = (26, 8)

PARSER_SETTINGS: dict[str, str | int] = {
    "implicit_select": 0,  # else `file('x')` alone is a query
    "max_query_size": 16 * MAX_BYTES,  # the statement holds the text, and its canonical form may be longer
    "max_parser_depth": 300,
    "max_parser_backtracks": 100_000,
}

_VERSION = re.compile(r"(\d+)\.(\d+)\.")


class Parsed(Struct, frozen=True):
    """A query in its canonical text, and the tree that this very text means."""

    text: str
    tree: dict[str, Any]


class TextParser(Protocol):
    """Says what a text means."""

    def parse(self, text: str) -> Parsed:
        """Return it, or raise QueryRefused."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class QueryParser:
    """Parses users' texts on a connection with `PARSER_SETTINGS`; that connection needs no data."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def parse(self, text: str) -> Parsed:
        """Return what a text means.

        The tree is that of the canonical text and not of the user's, so what is checked and what is run cannot differ.

        Raises:
            QueryRefused: it is empty, too long, holds NUL or bytes that are no UTF-8, or is not one query that the engine can read.
            Unreachable: the engine does not answer.
        """
        _check_text(text)
        try:
            raw = self._client.raw_query(_PARSE, {"query": text}, fmt="JSONEachRow")
        except OperationalError as error:
            if error.code is None:
                raise Unreachable("history: the database that parses queries does not answer") from error
            raise QueryRefused(_not_understood(error)) from error
        except DatabaseError as error:
            raise QueryRefused(_not_understood(error)) from error
        try:
            answer = msgspec.json.decode(raw, type=_Answer)
            return Parsed(answer.text, msgspec.json.decode(answer.tree, type=dict[str, Any]))
        except RecursionError as error:
            raise QueryRefused("the query is nested too deep; make it flatter") from error
        except UnicodeDecodeError as error:
            raise QueryRefused("the query holds bytes that are no UTF-8, such as '\\xff'; write them with unhex") from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class _Answer(Struct):
    text: str
    tree: str


_PARSE = "SELECT formatQueryFromJSON(parseQueryToJSON({query:String})) AS text, parseQueryToJSON(text) AS tree"


def can_parse(client: Client) -> bool:
    """Return whether an engine has `parseQueryToJSON`: ClickHouse 26.8 and later."""
    found = _VERSION.match(str(client.server_version))
    return found is not None and (int(found[1]), int(found[2])) >= MINIMUM_VERSION


def _check_text(text: str) -> None:
    if not text.strip():
        raise QueryRefused("the query is empty")
    if "\0" in text:
        raise QueryRefused("the query holds a NUL character")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise QueryRefused("the query holds half of a surrogate pair, which is no character") from error
    if size > MAX_BYTES:
        raise QueryRefused(f"the query has {size:,} bytes; at most {MAX_BYTES:,} are allowed")


def _not_understood(error: DatabaseError) -> str:
    message = describe_engine_error(str(error))
    if "Multi-statements" in message:
        return "this is more than one statement; send one query at a time"
    if "does not support JSON serialization" in message or "not supported by parseQueryToJSON" in message:
        return "this kind of statement is not allowed; only SELECT queries are"
    return f"the query cannot be read: {message}"
