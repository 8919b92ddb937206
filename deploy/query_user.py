"""The ClickHouse user that people's queries run as, made or brought up to date. For containers, where nobody types the SQL.

    RUNHERALD_HISTORY=http://admin:…@clickhouse:8123 RUNHERALD_QUERY_HISTORY=http://runherald_query:…@clickhouse:8123 \\
        python -m runherald.deploy.query_user

May run again and again; a new password takes the place of the old one.
"""

from __future__ import annotations

import hashlib
import sys

from clickhouse_connect.driver.exceptions import DatabaseError

from runherald.errors import RunheraldError, SettingsError
from runherald.setting_checks import EMBEDDED
from runherald.settings import Settings, load_settings
from runherald.sinks.address import HttpServer, parse_address
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.guard.server_user import server_user_sql

_PLACEHOLDER = "IDENTIFIED WITH sha256_password BY '<password>'"


def main() -> int:
    """Make the user that the settings name and return the exit status."""
    try:
        make_query_user(load_settings())
    except RunheraldError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0


def make_query_user(settings: Settings) -> None:
    """Make the user of `query_history` on the server of `history`.

    Raises:
        SettingsError: an address is missing or names no user and password, or history's user may not make users.
        Unreachable: the server does not answer.
    """
    if settings.history == EMBEDDED:
        raise SettingsError("history: is embedded, where queries need no user; write http(s)://user:password@host:port")
    statements = query_user_statements(settings.query_history, settings.database)
    history = HistoryDatabase.open(settings.history, database=settings.database)
    try:
        client = history.client()
        for statement in statements:
            client.command(statement)
    except DatabaseError as error:
        raise SettingsError(
            f"history {history.url_for_humans}: the user of queries cannot be made (ClickHouse error {error.code}); "
            "history's user needs access management (CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT=1 in ClickHouse's container)"
        ) from error
    finally:
        history.close()


def query_user_statements(query_history: str, database: str) -> list[str]:
    """Return the statements that make the user of an address, or give it another password.

    The server is told the password's hash: statements come into its logs.

    Raises:
        SettingsError: the address names no user and password.
    """
    address = parse_address(query_history) if query_history else None
    if not isinstance(address, HttpServer) or not address.user or not address.password:
        raise SettingsError("query_history: names no user and password; write http(s)://user:password@host:port")
    identified = f"IDENTIFIED WITH sha256_hash BY '{hashlib.sha256(address.password.encode()).hexdigest()}'"
    made = [statement.replace(_PLACEHOLDER, identified) for statement in server_user_sql(database=database, user=address.user)]
    return [*made, f"ALTER USER {address.user} {identified}"]


if __name__ == "__main__":
    sys.exit(main())
