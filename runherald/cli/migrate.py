"""`runherald migrate`: the schema of history on a ClickHouse server."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from runherald.cli.grid import text
from runherald.cli.options import add_config, settings_of
from runherald.cli.output import add_output, print_answer
from runherald.errors import SettingsError
from runherald.setting_checks import EMBEDDED

if TYPE_CHECKING:
    from runherald.cli.options import Commands


_LEFT = "These take away what older versions need. When every server and worker is of this version, run `runherald migrate --contract`:"


def register(commands: Commands) -> None:
    """Add `migrate`."""
    parser = commands.add_parser(
        "migrate",
        help="bring history's schema up to date",
        description="Bring the schema on a ClickHouse server up to date, and print the SQL that makes the user whom users' queries run as.",
    )
    parser.add_argument("--history", metavar="URL", help="http(s)://user:password@host:port (RUNHERALD_HISTORY)")
    parser.add_argument("--database", metavar="NAME", help="database on that server (runherald)")
    parser.add_argument("--cluster", default="", metavar="NAME", help="make replicated tables on this cluster")
    parser.add_argument(
        "--contract",
        action="store_true",
        help="also take away what only versions before this one need: when every server and worker is of this version",
    )
    add_output(parser)
    add_config(parser)
    parser.set_defaults(run=migrate)


def migrate(args: argparse.Namespace) -> int:
    """Apply the migrations that are missing.

    Raises:
        SettingsError: history is embedded.
        SchemaMismatch: the schema is of another version, or this one is too old for it.
        Unreachable: the server does not answer.
    """
    from runherald.sinks import migrate as schema
    from runherald.sinks.connection import HistoryDatabase
    from runherald.sinks.guard.server_user import server_user_sql

    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # what it would say, our errors say
    settings = settings_of(args, history=args.history, database=args.database)
    if settings.history == EMBEDDED:
        raise SettingsError("--history: write http(s)://user:password@host:port (`runherald up` migrates the embedded history itself)")
    database = HistoryDatabase.open(settings.history, database=settings.database)
    try:
        applied = schema.migrate(database, cluster=args.cluster, contract=args.contract or None)
        left = schema.uncontracted(database)
    finally:
        database.close()
    sql = server_user_sql(database=settings.database)
    answer = {"applied": applied, "left": left, "query_user_sql": sql}
    print_answer(
        args,
        answer,
        table=lambda: [
            text([f"applied {name}" for name in applied] or ["the schema is up to date"]),
            *([text([f"left {name}" for name in left], _LEFT)] if left else []),
            text([f"{statement};" for statement in sql], "To let users query, run once as an administrator, with a password of yours:"),
        ],
    )
    return 0
