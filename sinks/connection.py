"""The database of run history: the embedded engine (chDB) on a folder, or a ClickHouse server over HTTP.

One process opens one chDB folder at a time, and one folder is open in one process at a time; both are the engine's rules. Within the
process any number of `HistoryDatabase` objects may share the folder. chDB does not survive `fork()`: start processes with spawn.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from runherald.errors import SettingsError, Unreachable
from runherald.sinks.access import check_database_name
from runherald.sinks.address import Address, ChdbFolder, parse_address
from runherald.sinks.embedded import EmbeddedEngine, open_engine

_CONNECT_SECONDS = 10
# Below half of Kafka's poll interval (300 s): an insert that hangs must not cost the partition.
_ANSWER_SECONDS = 120
_AUTHENTICATION_FAILED = 516
_ACCESS_DENIED = 497


class HistoryDatabase:
    """Our own way into the database, with full rights. Users' queries go through the guard.

    Attributes:
        embedded: True for chDB in this process.
        database: the name of the database that clients work in.
        url_for_humans: the address without its password.
        engine: the engine of this process when embedded, else None.
    """

    def __init__(self, address: Address, database: str, engine: EmbeddedEngine | None) -> None:
        self.address = address
        self.database = database
        self.engine = engine
        self.embedded = engine is not None
        self.url_for_humans = address.for_humans
        self._here = threading.local()
        self._clients: weakref.WeakSet[Client] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, url: str, *, database: str = "runherald", siblings: Sequence[str] = ()) -> Self:
        """Open the database at an address and create it when it is not there.

        Args:
            url: `chdb:///absolute/folder`, or `http(s)://user:password@host:port`.
            database: the database to work in.
            siblings: other databases of the same folder whose views users of this process may query. chDB reads its grants once, when
                the first object opens the folder, so only that one's names count.

        Raises:
            SettingsError: the address or name cannot be used, or the server refuses the user.
            Unreachable: the server does not answer, or another process holds the folder.
        """
        check_database_name(database)
        address = parse_address(url)
        engine = open_engine(address.path, (database, *siblings)) if isinstance(address, ChdbFolder) else None
        return cls(address, database, engine)._created()

    def sibling(self, database: str) -> Self:
        """Open another database at the same address, and create it when it is not there. The caller closes it.

        Raises:
            SettingsError: the name cannot be used, or the user may not create it.
            Unreachable: the server does not answer.
        """
        check_database_name(database)
        engine = open_engine(self.engine.folder, (database,)) if self.engine is not None else None
        return type(self)(self.address, database, engine)._created()

    def client(self) -> Client:
        """Return the calling thread's client: full rights, in our database, times aware and in UTC.

        Raises:
            Unreachable: the server does not answer.
        """
        client: Client | None = getattr(self._here, "client", None)
        if client is None:
            client = self.new_client()
            self._here.client = client
        return client

    def new_client(self, settings: Mapping[str, str | int] | None = None) -> Client:
        """Return a client that the caller closes, with settings of its own; it ends at the latest with this object."""
        client = self._connect(self.database, settings or {})
        with self._lock:
            if not self._closed:
                self._clients.add(client)
                return client
        client.close()
        raise Unreachable(f"history {self.url_for_humans}: this connection was closed")

    def close(self) -> None:
        """Close every client and let go of the folder. Closing again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            clients = list(self._clients)
        for client in clients:
            client.close()
        if self.engine is not None:
            self.engine.release()

    def _created(self) -> Self:
        """Return this, its database there; without it, let go of the folder."""
        try:
            self._create()
        except BaseException:
            self.close()
            raise
        return self

    def _create(self) -> None:
        client = self._connect(None)
        try:
            if not client.command("EXISTS DATABASE {name:Identifier}", {"name": self.database}):
                client.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", {"name": self.database})
        except DatabaseError as error:
            raise _explain(error, self.url_for_humans) from error
        finally:
            client.close()

    def _connect(self, database: str | None, settings: Mapping[str, str | int] = MappingProxyType({})) -> Client:
        address = self.address
        settings = {"session_timezone": "UTC", **settings}
        try:
            if isinstance(address, ChdbFolder):
                assert self.engine is not None
                return clickhouse_connect.get_client(
                    interface="chdb",
                    path=str(address.path),
                    database=database,
                    chdb_options={"config-file": str(self.engine.config)},
                    settings=settings,
                    tz_mode="aware",
                )
            return clickhouse_connect.get_client(
                host=address.host,
                port=address.port,
                interface=address.scheme,
                username=address.user,
                password=address.password,
                database=database,
                settings=settings,
                tz_mode="aware",
                compress=False,  # batches are already small columns; the trial server does not know compression
                connect_timeout=_CONNECT_SECONDS,
                send_receive_timeout=_ANSWER_SECONDS,
                autogenerate_session_id=False,  # a session would serialize the threads
            )
        except ClickHouseError as error:
            raise _explain(error, self.url_for_humans) from error


def _explain(error: ClickHouseError, url: str) -> SettingsError | Unreachable:
    code = error.code if isinstance(error, DatabaseError) else None
    if code == _AUTHENTICATION_FAILED:
        return SettingsError(f"history {url}: the server refuses this user or password; put both into the address")
    if code == _ACCESS_DENIED:
        return SettingsError(f"history {url}: this user may not create or use the database; grant it, or create the database first")
    if code is not None:
        return Unreachable(f"history {url}: the database answers with ClickHouse error {code}; see its log")
    return Unreachable(f"history {url}: no answer; is a ClickHouse server running there, and does it speak HTTP on this port?")
