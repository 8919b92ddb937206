"""`runherald dev`: a local Kafka or ClickHouse for trials."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "dev", help="start a local Kafka or ClickHouse, for trials", description="Start a server for trials, until Ctrl-C."
    )
    parts = parser.add_subparsers(title="parts", metavar="PART", required=True)

    kafka = parts.add_parser(
        "kafka", help="a real Apache Kafka, from PyPI packages", description="Run a real Apache Kafka, from PyPI packages."
    )
    kafka.add_argument("--data", type=Path, metavar="DIR", help="folder to keep its data in; a temporary one if not said")
    kafka.add_argument("--nodes", type=int, default=1, choices=range(1, 6), metavar="N", help="how many brokers (1)")
    kafka.add_argument("--port", type=int, default=0, metavar="PORT", help="of the first broker; free ones if not said")
    kafka.set_defaults(run=run_kafka)

    clickhouse = parts.add_parser(
        "clickhouse",
        help="ClickHouse if its binary is on PATH, else a gateway over chDB",
        description="Run ClickHouse if its binary is on PATH, else a gateway over chDB.",
    )
    clickhouse.add_argument("--data", type=Path, metavar="DIR", help="folder to keep its data in; a temporary one if not said")
    clickhouse.add_argument("--port", type=int, default=0, metavar="PORT", help="a free one if not said")
    clickhouse.set_defaults(run=run_clickhouse)


def run_kafka(args: argparse.Namespace) -> int:
    """Run a Kafka until SIGTERM or Ctrl-C."""
    from runherald.deploy.local_kafka import VERSION, LocalKafka

    with ExitStack() as stack:
        folder = args.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runherald-kafka-")))
        sys.stderr.write(f"starting Apache Kafka {VERSION}; the first time its jars are fetched\n")
        broker = stack.enter_context(LocalKafka(folder, args.nodes, port=args.port))
        return _until_stopped(f"Apache Kafka {VERSION}, {args.nodes} node(s), for trials. Use it with --log {broker.url}")


def run_clickhouse(args: argparse.Namespace) -> int:
    """Run a ClickHouse until SIGTERM or Ctrl-C."""
    from runherald.deploy.local_clickhouse import LocalClickHouse

    with ExitStack() as stack:
        folder = args.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runherald-clickhouse-")))
        server = stack.enter_context(LocalClickHouse(folder, port=args.port))
        what = "a gateway over chDB, for trials only" if server.gateway else "the ClickHouse server found on PATH"
        queries = f" --query-history {server.url}" if server.gateway else ""
        return _until_stopped(f"This is {what}. Use it with --history {server.url}{queries}")


def _until_stopped(text: str) -> int:
    # A handler that raises lets the `with` blocks around stop what they started.
    signal.signal(signal.SIGTERM, _stop)
    sys.stdout.write(f"{text}\nCtrl-C stops it.\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt, SystemExit):
        signal.pause()
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
