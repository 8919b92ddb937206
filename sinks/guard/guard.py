"""The one way to run a user's query: `check` it, then `run` what the check gave."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import Literal, Protocol, Self

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from runherald.api import QueryAnswer
from runherald.errors import SettingsError
from runherald.sinks.address import HttpServer, parse_address
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import QueryFailed, QueryRefused
from runherald.sinks.guard.answer import QueryLimits
from runherald.sinks.guard.checked import CheckedQuery, check_sql
from runherald.sinks.guard.parser import PARSER_SETTINGS, Parsed, QueryParser, TextParser, can_parse
from runherald.sinks.guard.server_runner import ServerRunner, is_trial_gateway
from runherald.sinks.guard.views import USER_VIEWS
from runherald.sinks.guard.vocabulary import Vocabulary, read_vocabulary

log = logging.getLogger(__name__)

_QUERIES_OFF = (
    "queries are off: history is on a server, and query_history does not say whom to ask as; "
    "make a user with the statements that `runherald migrate` prints, and give its address"
)
_AT_ONCE = 2
_LATE_SECONDS = 6.0
"""How long after its time a query's caller is told that it does not end: the runners' own grace, and a little."""


class QueryRunner(Protocol):
    """The second wall: runs a checked query where it can do nothing else."""

    def run(self, query: CheckedQuery, limits: QueryLimits) -> QueryAnswer:
        """Return the answer."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class QueryGuard:
    """Checks and runs users' queries. Safe to call from several threads; calls block, so an event loop uses a thread."""

    def __init__(
        self,
        parser: TextParser,
        vocabulary: Vocabulary,
        runner: QueryRunner,
        *,
        database: str,
        limits: QueryLimits,
        at_once: int,
        late_seconds: float = _LATE_SECONDS,
    ) -> None:
        self._parser = parser
        self._vocabulary = vocabulary
        self._runner = runner
        self._database = database
        self._limits = limits
        self._late_seconds = late_seconds
        self._gate = threading.BoundedSemaphore(at_once)

    @classmethod
    def open(cls, history: HistoryDatabase, query_url: str = "", *, limits: QueryLimits | None = None, at_once: int = _AT_ONCE) -> Self:
        """Open the guard of a history.

        Args:
            history: the history to query. Embedded history needs nothing else.
            query_url: for a server, its address with the user that `server_user_sql` makes; without one, every query is refused. For the
                trial gateway of `runherald dev clickhouse`, the address of history again.
            limits: what one query may use.
            at_once: how many queries may run together.

        Raises:
            SettingsError: the server's user may do too much, or nobody here can parse queries.
            Unreachable: the server does not answer.
        """
        limits = limits or QueryLimits()
        if not history.embedded and not query_url:
            off = _Off(_QUERIES_OFF)
            return cls(off, Vocabulary([], []), off, database=history.database, limits=limits, at_once=at_once)
        runner = _open_runner(history, query_url)
        try:
            vocabulary = read_vocabulary(history.client())
            parser = QueryParser(_open_parser(history))
        except BaseException:
            runner.close()
            raise
        return cls(parser, vocabulary, runner, database=history.database, limits=limits, at_once=at_once)

    def check(self, text: str, language: Literal["sql", "kql"] = "sql") -> CheckedQuery:
        """Return what a text means, when it may run.

        Raises:
            QueryRefused: it may not; the message says what is wrong and what is allowed.
        """
        if language != "sql":
            raise QueryRefused(f"queries in {language} are not supported yet; write SQL")
        return check_sql(text, parser=self._parser, database=self._database, views=USER_VIEWS, vocabulary=self._vocabulary)

    def run(self, query: CheckedQuery, *, patience: float | None = None) -> QueryAnswer:
        """Run a checked query and return its answer: JSON values, cut at the limits on rows and bytes.

        Args:
            query: what `check` returned.
            patience: seconds to wait for other queries to end; None for as long as one may run.

        Raises:
            QueryFailed: the engine refused it, a limit ended it, too many run already, or it cannot be ended: the engine looks at the time
                between steps, and some steps are long. Such a query keeps its place until it ends, and its caller goes on.
            Unreachable: the server does not answer.
        """
        if type(query) is not CheckedQuery:
            raise TypeError("run takes what check returned")
        if not self._gate.acquire(timeout=self._limits.seconds if patience is None else patience):
            raise QueryFailed("other queries are running and did not end in time; try again")
        answer: Future[QueryAnswer] = Future()
        threading.Thread(target=self._run, args=(query, answer), name="runherald-query", daemon=True).start()
        try:
            return answer.result(self._limits.seconds + self._late_seconds)
        except TimeoutError:
            log.warning("event=query_does_not_end seconds=%g views=%s", self._limits.seconds, ",".join(query.views))
            raise QueryFailed(
                f"the query took longer than {self._limits.seconds:g} s and cannot be ended yet; do less in one row"
            ) from None

    def _run(self, query: CheckedQuery, answer: Future[QueryAnswer]) -> None:
        """Run a query in a place of the gate, which is free again when it has ended."""
        try:
            found = self._runner.run(query, self._limits)
        except BaseException as error:
            self._gate.release()
            answer.set_exception(error)
        else:
            self._gate.release()
            answer.set_result(found)

    def close(self) -> None:
        """Close the connections."""
        self._parser.close()
        self._runner.close()


class _Off:
    """Stands for both walls when a history offers no queries: nothing passes."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def parse(self, text: str) -> Parsed:  # noqa: ARG002
        raise QueryRefused(self._reason)

    def run(self, query: CheckedQuery, limits: QueryLimits) -> QueryAnswer:  # noqa: ARG002
        raise QueryRefused(self._reason)

    def close(self) -> None:
        pass


def _open_runner(history: HistoryDatabase, query_url: str) -> QueryRunner:
    if history.engine is not None:
        from runherald.sinks.guard.embedded_runner import EmbeddedRunner  # needs chdb

        embedded = EmbeddedRunner(history, history.engine)
        embedded.check_user()
        return embedded
    server = parse_address(query_url)
    if not isinstance(server, HttpServer):
        raise SettingsError("query_history: must be http(s)://user:password@host:port of the same server as history")
    # The trial gateway has no users to hold anyone back. It counts as a wall only when it is history itself, and its address was given.
    runner = ServerRunner(server, history.database, trial=server == history.address and is_trial_gateway(server))
    try:
        runner.check_user()
    except BaseException:
        runner.close()
        raise
    return runner


def _open_parser(history: HistoryDatabase) -> Client:
    client = history.new_client(PARSER_SETTINGS)
    if can_parse(client):
        return client
    version = client.server_version
    client.close()
    try:
        # The parser needs no data, so an engine without any does.
        return clickhouse_connect.get_client(interface="chdb", settings=PARSER_SETTINGS)
    except (ImportError, ClickHouseError) as error:
        raise SettingsError(
            f"history: ClickHouse {version} cannot parse queries for the guard; "
            "26.8 or later is needed, or here: pip install 'runherald[embedded]'"
        ) from error
