"""A second set of history's tables, in a database beside it: made empty, filled by the processors, exchanged with the first, dropped.

The database is `<history's>_rebuild`, with the whole schema. Processors name tables without a database, so they fill it unchanged. What is
exchanged keeps its name: views, grants and materialised views go by names, and find the new table. `EXCHANGE TABLES` is atomic for each
pair, so a table is the old one or the new one, whole, whenever the process dies.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence

from runherald.errors import InvalidInput
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import copied_whole
from runherald.sinks.migrate import check_whole, migrate, uncontracted
from runherald.sinks.select import LONG, select
from runherald.sinks.table_shape import listed, shape_of

logger = logging.getLogger(__name__)

SUFFIX = "_rebuild"
_TARGET = re.compile(r"^CREATE MATERIALIZED VIEW \S+ TO (?:`?\w+`?\.)?`?(\w+)`?")
_SOURCE = re.compile(r"\bFROM (?:`?\w+`?\.)?`?(\w+)`?")
# Without tokens the engine would take two equal blocks for one that came twice.
_SETTINGS = {**LONG, "async_insert": 0, "insert_deduplicate": 0, "max_partitions_per_insert_block": 0}


class FreshCopy:
    """The second set of tables. What a copy that was cut off left behind is dropped first.

    Args:
        history: the database that it stands beside.
        cluster: the cluster of a replicated installation; empty for one server or folder.

    Raises:
        InvalidInput: the tables are replicated and no cluster was named, or the other way round.
        SchemaMismatch: the schema is newer than this version: its tables would lack what the newer one added.
    """

    def __init__(self, history: HistoryDatabase, *, cluster: str = "") -> None:
        self.history = history
        self._on_cluster = f" ON CLUSTER `{cluster}`" if cluster else ""
        self._name = history.database + SUFFIX
        _check_cluster(history, cluster)
        check_whole(history)
        self.drop()
        self.tables = history.sibling(self._name)
        try:
            # As history's: the tables will be exchanged under parts that may need what is not taken away there yet.
            migrate(self.tables, cluster=cluster, contract=not uncontracted(history))
        except BaseException:
            self.tables.close()
            raise

    def fed(self, sources: Iterable[str]) -> list[str]:
        """Return the tables that materialised views fill from these tables."""
        wanted = set(sources)
        query = "SELECT create_table_query FROM system.tables WHERE database = {database:String} AND engine = 'MaterializedView'"
        found = set()
        for (statement,) in select(self.tables, query, {"database": self._name}):
            target, source = _TARGET.match(statement), _SOURCE.search(statement)
            if target and source and source[1] in wanted:
                found.add(target[1])
        return sorted(found)

    def carry(self, table: str, condition: str, replaced: Mapping[str, str] | None = None) -> None:
        """Copy rows of history that fulfil a condition; `replaced` gives columns another value, as SQL."""
        # What has a version is merged first: a new value may be the version. Of the rest a copy more is a copy less to look for.
        final = " FINAL" if replaced else ""
        columns = shape_of(self.history, table).columns
        values = ", ".join(f"{replaced[name]} AS `{name}`" if replaced and name in replaced else f"`{name}`" for name in columns)
        # The condition is within: a new value has the name of its column, and would be what the condition sees.
        kept = f"SELECT {listed(columns)} FROM `{self.history.database}`.`{table}`{final} WHERE {condition}"  # noqa: S608
        with copied_whole(self.tables):
            self.history.client().command(
                f"INSERT INTO `{self._name}`.`{table}` ({listed(columns)}) SELECT {values} FROM ({kept})",  # noqa: S608
                settings=_SETTINGS,
            )

    def replace(self, table: str, replaced: Mapping[str, str]) -> None:
        """Give columns of all rows of a fresh table another value, as SQL; what materialised views made of the rows is made again."""
        client = self.tables.client()
        columns = shape_of(self.tables, table).columns
        values = ", ".join(f"{replaced[name]} AS `{name}`" if name in replaced else f"`{name}`" for name in columns)
        scratch = f"{table}_replaced"
        client.command(f"CREATE TABLE `{scratch}`{self._on_cluster} AS `{table}`")
        with copied_whole(self.tables):
            client.command(
                f"INSERT INTO `{scratch}` ({listed(columns)}) SELECT {values} FROM `{table}` FINAL",  # noqa: S608
                settings=_SETTINGS,
            )
            for emptied in (table, *self.fed([table])):
                client.command(f"TRUNCATE TABLE `{emptied}`{self._on_cluster} SYNC")
            client.command(
                f"INSERT INTO `{table}` ({listed(columns)}) SELECT {listed(columns)} FROM `{scratch}`",  # noqa: S608
                settings=_SETTINGS,
            )
        client.command(f"DROP TABLE `{scratch}`{self._on_cluster} SYNC")

    def exchange(self, tables: Sequence[str]) -> None:
        """Put these tables in the place of history's, and history's here.

        Raises:
            Unreachable: a full disk has damaged these; nothing was exchanged.
        """
        with copied_whole(self.tables):  # merges, too
            pass
        pairs = ", ".join(f"`{self.history.database}`.`{table}` AND `{self._name}`.`{table}`" for table in tables)
        self.history.client().command(f"EXCHANGE TABLES {pairs}{self._on_cluster}")
        logger.info("history exchanged database=%s tables=%s", self.history.database, ",".join(tables))

    def drop(self) -> None:
        """Drop the second database with all it holds."""
        self.history.client().command(f"DROP DATABASE IF EXISTS `{self._name}`{self._on_cluster} SYNC")

    def close(self) -> None:
        """Let go of the connections; the database stays until it is dropped."""
        self.tables.close()


def _check_cluster(history: HistoryDatabase, cluster: str) -> None:
    query = "SELECT count() FROM system.tables WHERE database = {database:String} AND engine LIKE 'Replicated%'"
    ((replicated,),) = select(history, query, {"database": history.database})
    if replicated and not cluster:
        raise InvalidInput("--cluster: history's tables are replicated; name the cluster that `runherald migrate --cluster` named")
    if cluster and not replicated:
        raise InvalidInput(f"--cluster: history {history.url_for_humans} has no replicated tables; leave it out")
