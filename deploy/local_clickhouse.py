"""A ClickHouse for trials and tests: the `clickhouse` binary when there is one on PATH, else a gateway over chDB."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from runherald.deploy.child import Child, start_child
from runherald.errors import Unreachable

_SERVER_CONFIG = """<clickhouse>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <path>{folder}/data/</path>
  <tmp_path>{folder}/tmp/</tmp_path>
  <user_files_path>{folder}/user_files/</user_files_path>
  <mark_cache_size>268435456</mark_cache_size>
  <users_config>{folder}/users.xml</users_config>
  <access_control_path>{folder}/access/</access_control_path>
</clickhouse>
"""
_USERS = """<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota><access_management>1</access_management>
  </default></users>
</clickhouse>
"""


class LocalClickHouse:
    """A ClickHouse on a free loopback port, its data in a folder; a context manager that starts and stops it.

    Attributes:
        gateway: True when it is the gateway over chDB, which is for trials only; False when it is the real server.
        port: where it answers, once started.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self._binary = shutil.which("clickhouse") or shutil.which("clickhouse-server")
        self.gateway = self._binary is None
        self.port = port
        self._folder = folder.resolve()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """What `--history` takes."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, timeout: float = 30.0) -> None:
        """Start it and wait until it answers; a killed one comes back on the same port.

        Raises:
            Unreachable: it does not answer in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or _free_port()
        log = self._folder / "clickhouse.log"
        self._child = start_child(self._command(), log)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._child.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        end = log.read_text(errors="replace")[-500:]
        self.stop()
        raise Unreachable(f"the local ClickHouse does not answer on {self.url}; its log ends: {end}")

    def stop(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def faults(self, **counts: float) -> dict[str, Any]:
        """Tell the gateway what is to go wrong (see `runherald.deploy.gateway`) and return what is told so far."""
        request = Request(f"{self.url}/_faults", json.dumps(counts).encode(), method="POST" if counts else "GET")
        with urlopen(request, timeout=10) as reply:
            told: dict[str, Any] = json.load(reply)
        return told

    def _command(self) -> list[str]:
        if self._binary is None:
            return [sys.executable, "-m", "runherald.deploy.gateway", "--data", str(self._folder / "chdb"), "--port", str(self.port)]
        config = self._folder / "config.xml"
        config.write_text(_SERVER_CONFIG.format(port=self.port, folder=self._folder))
        (self._folder / "users.xml").write_text(_USERS)
        server = [self._binary, "server"] if Path(self._binary).name == "clickhouse" else [self._binary]
        return [*server, f"--config-file={config}"]

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/ping", timeout=2) as reply:
                return bool(reply.read() == b"Ok.\n")
        except (URLError, OSError):
            return False

    def __enter__(self) -> LocalClickHouse:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
