"""`runherald topics`: the topics on Kafka."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from runherald.cli.grid import Grid, Head, text
from runherald.cli.options import add_config, settings_of
from runherald.cli.output import add_output, print_answer
from runherald.errors import SettingsError

if TYPE_CHECKING:
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `topics` and its actions."""
    parser = commands.add_parser("topics", help="the topics on Kafka", description="The topics on Kafka.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    create = actions.add_parser("create", help="make those that are missing", description="Make the topics that are missing on Kafka.")
    create.add_argument("--log", metavar="URL", help="kafka://host:port,… (RUNHERALD_LOG)")
    create.add_argument("--replication", type=int, metavar="N", help="copies of each partition (3, or one a broker where there are fewer)")
    add_output(create)
    add_config(create)
    create.set_defaults(run=create_topics)

    listing = actions.add_parser("list", help="what `create` makes", description="Say which topics there are, and how each is kept.")
    add_output(listing)
    listing.set_defaults(run=list_topics)


def create_topics(args: argparse.Namespace) -> int:
    """Make the topics that are missing.

    Raises:
        SettingsError: the log is not Kafka.
        TopicsDiffer: a topic is there with another number of partitions.
        Unreachable: no broker answers.
    """
    from runherald.streams.topic_admin import create_topics as create

    log = settings_of(args, log=args.log).log
    if not log.startswith("kafka://"):
        raise SettingsError("--log: topics are made on Kafka; write kafka://host:port,… (the embedded log makes its own)")
    made = create(log, replication=args.replication)
    print_answer(args, {"created": made}, table=lambda: text([f"created {name}" for name in made] or ["all topics are there"]))
    return 0


def list_topics(args: argparse.Namespace) -> int:
    """Print the topics and how each is kept."""
    from runherald.topics import TOPICS

    rows = [
        {
            "name": topic.name,
            "partitions": topic.partitions,
            "retention_seconds": topic.retention.total_seconds(),
            "max_message_bytes": topic.max_message_bytes,
        }
        for topic in TOPICS.values()
    ]
    heads = (Head("TOPIC", keep=True), *(Head(name, right=True) for name in ("PARTITIONS", "RETENTION", "LARGEST MESSAGE")))
    table = [
        (topic.name, str(topic.partitions), f"{topic.retention.days} days", f"{topic.max_message_bytes} B") for topic in TOPICS.values()
    ]
    print_answer(args, rows, table=lambda: Grid(heads=heads, rows=table))
    return 0
