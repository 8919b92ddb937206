"""The second wall over HTTP: a user of the server that may do nothing but read the views, asked without any setting of ours.

Against the trial gateway of `runherald dev clickhouse`, which knows no users, only read-only mode and the limits are left of this wall,
sent with each query: the check alone keeps base tables, system tables and files from users there. It answers on a loopback port and is
for trials; do not put a history that matters behind it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from time import monotonic
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from runherald.api import QueryAnswer
from runherald.errors import SettingsError, Unreachable
from runherald.sinks.address import HttpServer
from runherald.sinks.errors import QueryFailed
from runherald.sinks.guard.answer import FORMAT, OUTPUT_SETTINGS, AnswerBuilder, QueryLimits
from runherald.sinks.guard.checked import CheckedQuery
from runherald.sinks.guard.failure import query_failed
from runherald.sinks.guard.limits import engine_limits
from runherald.sinks.guard.server_user import excess_grants

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
# How long the server's own limit may be late, and the answer on its way.
_GRACE_SECONDS = 5.0
_CHUNK = 65_536


class ServerRunner:
    """Runs checked queries on a ClickHouse server."""

    def __init__(self, server: HttpServer, database: str, *, trial: bool = False) -> None:
        self._server = server
        self._database = database
        self._trial = trial
        self._pool = urllib3.PoolManager(retries=False)

    def check_user(self) -> None:
        """Check that the server's user can read the views and nothing else, and cannot write.

        Raises:
            SettingsError: it can do more.
            Unreachable: the server does not answer.
        """
        limits = QueryLimits()
        where = f"query_history {self._server.for_humans}"
        if self._trial:
            log.warning("queries are held by the check alone: history is the trial gateway url=%s", self._server.for_humans)
            return
        grants = self._lines("SHOW GRANTS", limits)
        excess = excess_grants(grants, databases=[self._database])
        if excess:
            raise SettingsError(
                f"{where}: the user may do more than read the views ({excess[0][:120]}); "
                "make one with the statements of `runherald migrate`"
            )
        if self._lines("SELECT getSetting('readonly')", limits) != ["1"]:
            raise SettingsError(f"{where}: the user is not read-only; make one with the statements of `runherald migrate`")

    def run(self, query: CheckedQuery, limits: QueryLimits) -> QueryAnswer:
        """Run a query and return its answer, cut at the limits.

        Raises:
            QueryFailed: the server refused it, or a limit ended it.
            Unreachable: the server does not answer.
        """
        builder = AnswerBuilder(limits)
        response = self._ask(query.text, FORMAT, limits)
        try:
            lines = _complete_lines(response, monotonic() + limits.seconds + _GRACE_SECONDS, limits)
            names, types = next(lines, b""), next(lines, b"")
            if not types.startswith(b"["):
                raise query_failed((names + types).decode(errors="replace"), limits)
            builder.add(names, types, ())
            for line in lines:
                # An error in the middle of an answer comes as text between the rows.
                if line and not line.startswith(b"["):
                    raise query_failed(line.decode(errors="replace"), limits)
                if not builder.add(names, types, (line,)):
                    break
        finally:
            # Not back to the pool: closing ends a query that still runs (cancel_http_readonly_queries_on_client_close).
            response.close()
        return builder.answer()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _lines(self, statement: str, limits: QueryLimits) -> list[str]:
        response = self._ask(statement, "TSVRaw", limits)
        try:
            return response.read().decode().splitlines()
        finally:
            response.close()

    def _ask(self, text: str, form: str, limits: QueryLimits) -> BaseHTTPResponse:
        server = self._server
        fields: dict[str, str] = {"database": self._database, "default_format": form, "query_id": str(uuid.uuid4())}
        if self._trial:
            settings = {
                **engine_limits(limits),
                **OUTPUT_SETTINGS,
                "max_result_rows": limits.rows + 1,
                "result_overflow_mode": "break",
                "readonly": 1,
            }
            fields.update({name: str(value) for name, value in settings.items()})
        headers = {"X-ClickHouse-User": server.user or "default", "X-ClickHouse-Key": server.password}
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=limits.seconds + _GRACE_SECONDS)
        # The server's own name and port, rebuilt: no user or password in a URL that could reach a log.
        url = f"{server.for_humans}/?{urlencode(fields)}"
        try:
            response = self._pool.request("POST", url, body=text.encode(), headers=headers, timeout=timeout, preload_content=False)
            if response.status == 200:
                return response
            message = response.read(_CHUNK).decode(errors="replace")
            response.close()
        except HTTPError as error:
            raise Unreachable(f"query_history {server.for_humans}: no answer; is the ClickHouse server running?") from error
        if "Code: 516" in message:
            raise SettingsError(f"query_history {server.for_humans}: the server refuses this user or password; put both into the address")
        raise query_failed(message, limits)


def _complete_lines(response: BaseHTTPResponse, deadline: float, limits: QueryLimits) -> Iterator[bytes]:
    rest = b""
    try:
        for chunk in response.stream(_CHUNK):
            if monotonic() > deadline:
                raise QueryFailed(f"the query took longer than {limits.seconds:g} s; read less", None)
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > limits.bytes:
                raise QueryFailed(f"one row is larger than {limits.bytes:,} bytes; select less of it", None)
            yield from lines
    except HTTPError as error:
        raise Unreachable("query_history: the server stopped in the middle of an answer; ask again") from error
    if rest:
        yield rest


def is_trial_gateway(server: HttpServer) -> bool:
    """Return whether a loopback port is the trial gateway: it alone can be told to fail."""
    if server.host not in ("127.0.0.1", "localhost", "::1"):
        return False
    try:
        response = urllib3.request("GET", f"{server.for_humans}/_faults", timeout=_CONNECT_SECONDS, retries=False)
    except HTTPError as error:
        raise Unreachable(f"query_history {server.for_humans}: no answer; is the ClickHouse server running?") from error
    return response.status == 200 and b"lose_reply_after_insert" in response.data
