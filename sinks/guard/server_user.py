"""The user of a ClickHouse server that users' queries run as: the second wall, built by the server's operator.

The server holds it, whatever this process does: read-only, limits that cannot be lifted, SELECT on the views alone. To keep it from
`system.*` as well, set `access_control_improvements.select_from_system_db_requires_grant` in the server's configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from runherald.sinks.access import check_database_name, view_grants
from runherald.sinks.guard.answer import OUTPUT_SETTINGS, QueryLimits
from runherald.sinks.guard.limits import engine_limits
from runherald.sinks.guard.views import USER_VIEWS

DEFAULT_USER = "runherald_query"


def server_user_sql(
    views: Sequence[str] = USER_VIEWS,
    *,
    database: str = "runherald",
    user: str = DEFAULT_USER,
    limits: QueryLimits | None = None,
) -> list[str]:
    """Return the statements that make the user; the operator puts a password where it says so.

    Args:
        views: the views to grant.
        database: where they are.
        user: a plain name.
        limits: what one query may use.
    """
    check_database_name(user)
    settings: dict[str, str | int | float] = {
        **engine_limits(limits or QueryLimits()),
        **OUTPUT_SETTINGS,
        "cancel_http_readonly_queries_on_client_close": 1,
        "readonly": 1,
    }
    constant = ", ".join(f"{name} = {_literal(value)} CONST" for name, value in settings.items())
    return [
        f"CREATE SETTINGS PROFILE OR REPLACE {user} SETTINGS {constant}",
        f"CREATE USER IF NOT EXISTS {user} IDENTIFIED WITH sha256_password BY '<password>' DEFAULT ROLE NONE SETTINGS PROFILE '{user}'",
        f"CREATE QUOTA OR REPLACE {user} FOR INTERVAL 1 hour MAX queries = 10000, execution_time = 7200 TO {user}",
        f"REVOKE ALL ON *.* FROM {user}",
        *(f"{grant} TO {user}" for grant in view_grants([database], views)),
    ]


def excess_grants(grants: Iterable[str], *, databases: Iterable[str], views: Iterable[str] = USER_VIEWS) -> list[str]:
    """Return the lines of SHOW GRANTS that give more than SELECT on the views of these databases."""
    names = "|".join(re.escape(view) for view in views)
    places = "|".join(re.escape(database) for database in databases)
    harmless = re.compile(rf"GRANT (USAGE ON \*\.\*|SELECT(\([^)]*\))? ON `?({places})`?\.`?({names})`?) TO \S+")
    return [grant for grant in grants if grant and not harmless.fullmatch(grant)]


def _literal(value: str | float) -> str:
    return f"'{value}'" if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
