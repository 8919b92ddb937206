"""The second wall in the embedded engine: a connection of its own for each query, without a role, read-only, with limits.

No connection serves two queries: what a failed call leaves in a connection comes out in front of the next answer.
"""

from __future__ import annotations

import logging
import threading
import uuid

import chdb
from chdb.state.sqlitelike import Connection

from runherald.api import QueryAnswer
from runherald.errors import SettingsError
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.embedded import EmbeddedEngine
from runherald.sinks.guard.answer import FORMAT, OUTPUT_SETTINGS, AnswerBuilder, QueryLimits
from runherald.sinks.guard.checked import CheckedQuery
from runherald.sinks.guard.failure import query_failed
from runherald.sinks.guard.limits import engine_limits
from runherald.sinks.guard.server_user import excess_grants

log = logging.getLogger(__name__)

# How long the engine's own limit may be late: it looks between blocks.
_GRACE_SECONDS = 1.0
_WRITER_GRANT = "GRANT writer TO default"


class EmbeddedRunner:
    """Runs checked queries in chDB."""

    def __init__(self, history: HistoryDatabase, engine: EmbeddedEngine) -> None:
        self._history = history
        self._engine = engine

    def check_user(self) -> None:
        """Check that a connection without a role can read the views and nothing else.

        Raises:
            SettingsError: it can do more, or it cannot read the views of this database.
        """
        where = f"history {self._history.url_for_humans}"
        if self._history.database not in self._engine.databases:
            raise SettingsError(f"{where}: database {self._history.database} was not named when the folder was opened, so queries are off")
        connection: Connection = chdb.connect(self._engine.connection_text)
        try:
            connection.query("SET ROLE NONE")
            grants = connection.query("SHOW GRANTS", "TSVRaw").bytes().decode().splitlines()
        finally:
            connection.close()
        # The role itself is granted, and not in force.
        excess = excess_grants((grant for grant in grants if grant != _WRITER_GRANT), databases=self._engine.databases)
        if excess:
            raise SettingsError(f"{where}: the access control of the folder is not in force ({excess[0][:120]}); open the folder afresh")

    def run(self, query: CheckedQuery, limits: QueryLimits) -> QueryAnswer:
        """Run a query and return its answer, cut at the limits.

        Raises:
            QueryFailed: the engine refused it, or a limit ended it.
        """
        tag = f"guard-{uuid.uuid4()}"
        watchdog = threading.Timer(limits.seconds + _GRACE_SECONDS, self._kill, (tag,))
        watchdog.daemon = True
        connection: Connection = chdb.connect(self._engine.connection_text)
        try:
            self._restrict(connection, limits, tag)
            watchdog.start()
            return _stream(connection, query, limits)
        except RuntimeError as error:
            # chdb raises RuntimeError and its subclass ChdbError alone.
            raise query_failed(str(error), limits) from error
        finally:
            watchdog.cancel()
            connection.close()

    def close(self) -> None:
        """Do nothing: every connection ends with its query."""

    def _restrict(self, connection: Connection, limits: QueryLimits, tag: str) -> None:
        settings = {**engine_limits(limits), **OUTPUT_SETTINGS, "log_comment": tag}
        connection.query(f"USE {self._history.database}")
        connection.query("SET " + ", ".join(f"{name} = {_literal(value)}" for name, value in settings.items()))
        connection.query("SET ROLE NONE")
        # The last word: after it no setting can be changed.
        connection.query("SET readonly = 1")

    def _kill(self, tag: str) -> None:
        log.warning("query ended by the watchdog tag=%s", tag)
        client = self._history.new_client()
        try:
            client.command("KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC", {"tag": tag})
        finally:
            client.close()


def _stream(connection: Connection, query: CheckedQuery, limits: QueryLimits) -> QueryAnswer:
    builder = AnswerBuilder(limits)
    with connection.send_query(query.text, FORMAT) as stream:
        for block in stream:
            names, types, *lines = block.bytes().split(b"\n")
            if not builder.add(names, types, lines):
                break
    if builder.is_empty:
        # A stream without rows has no block, hence no header: ask for it alone.
        header = f"SELECT * FROM (\n{query.text}\n) LIMIT 0"  # noqa: S608 (the text was checked, and is canonical)
        names, types, *_ = connection.query(header, FORMAT).bytes().split(b"\n")
        builder.add(names, types, ())
    return builder.answer()


def _literal(value: str | float) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
