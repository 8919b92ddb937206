"""Access control of the embedded engine: one user, whose own rights end at the views that users may query.

chDB knows one user, `default`. Our own connections act with the role `writer`; a connection that says `SET ROLE NONE` keeps only SELECT
on the views. chDB reads these files when the engine opens and never again, so the databases must be known by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from runherald.errors import SettingsError
from runherald.sinks.guard.views import USER_VIEWS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def check_database_name(name: str) -> str:
    """Return the name of a database when it is a plain identifier.

    Raises:
        SettingsError: it has other characters, or it is one of the engine's own databases.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"database: {name[:40]!r} is not a name; use letters, digits and _, not starting with a digit")
    if name.lower() in {"default", "system", "information_schema"}:
        raise SettingsError(f"database: {name!r} is the engine's own; choose another name, such as runherald")
    return name


def view_grants(databases: Iterable[str], views: Iterable[str] = USER_VIEWS) -> list[str]:
    """Return the GRANT queries, without a grantee, that let a user read the views of these databases."""
    views = tuple(views)
    return [f"GRANT SELECT ON {check_database_name(database)}.{view}" for database in databases for view in views]


def write_access_files(folder: Path, databases: Iterable[str]) -> Path:
    """Write the engine's access-control files into a folder and return the path of its configuration file."""
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "users.xml"
    config = folder / "config.xml"
    grants = "\n        ".join(f"<query>{escape(grant)}</query>" for grant in ("GRANT writer", *view_grants(databases)))
    _replace(users, _USERS.format(grants=grants))
    _replace(config, _CONFIG.format(users=escape(str(users))))
    return config


def _replace(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


# A merge that finds the disk full leaves a part of empty files behind and says nothing (chDB 26.9; runherald.sinks.damaged_parts).
# Its sources are what it is made again from: ClickHouse keeps them for 480 s, chDB would delete them at once. And inserts stop while there
# is room left to merge.
_CONFIG = """<clickhouse>
  <users_config>{users}</users_config>
  <merge_tree>
    <old_parts_lifetime>480</old_parts_lifetime>
    <min_free_disk_bytes_to_perform_insert>67108864</min_free_disk_bytes_to_perform_insert>
  </merge_tree>
</clickhouse>
"""

# The password is empty because nothing listens: the engine is reached by calls inside this process alone.
_USERS = """<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles>
    <writer><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></writer>
  </roles>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        {grants}
      </grants>
    </default>
  </users>
</clickhouse>
"""
