"""`runherald worker`: the processors on Kafka with Faust, until it is stopped."""

from __future__ import annotations

import argparse
from contextlib import closing

from runherald.cli import serving
from runherald.cli.allocator import steady_allocator


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "worker",
        help="run processors on Kafka",
        description="Run processors on Kafka with Faust. Any number of workers share the work; each processor is a consumer group.",
    )
    serving.add_connections(parser)
    serving.add_alerting(parser)
    parser.add_argument("--processors", metavar="NAMES", help="some of them only, separated by commas: " + ", ".join(serving.PROCESSORS))
    parser.add_argument(
        "--metrics", metavar="HOST:PORT", default="", help="where Prometheus finds how full the queues are; nowhere if not said"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the worker until SIGTERM or Ctrl-C; an exit status that is not 0 says that a processor stopped."""
    from runherald.cli.parts import check_schema, limited, open_history, processors, rules_of
    from runherald.streams.faust_runner import run_worker

    steady_allocator()
    settings = serving.settings_of(args)
    serving.refuse_embedded(settings, "worker")
    serving.start_logging(args)
    names = serving.chosen_processors(args.processors)
    rules = rules_of(settings)
    with closing(open_history(settings)) as history:
        check_schema(history)
    # Each processor runs in a process of its own and opens history there.
    made = processors(settings, lambda: open_history(settings), rules, mail=settings.mail, public_url=settings.public_url)
    chosen = limited({name: made[name] for name in names}, lambda: open_history(settings))
    return run_worker(settings.log, chosen, metrics=args.metrics)
