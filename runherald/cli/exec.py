"""`runherald exec`: run a program, in whatever language, as a run."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runherald.cli.options import add_server, parse_seconds, parse_tags, workspace_of
from runherald.errors import InvalidInput

if TYPE_CHECKING:
    from runherald import Workspace
    from runherald.cli.options import Commands
    from runherald.producers.run.run import Run

_EXPERIMENT_VARIABLE = "RUNHERALD_EXPERIMENT"
_GRACE = "30"


def register(commands: Commands) -> None:
    """Add `exec`."""
    parser = commands.add_parser(
        "exec",
        help="run a program as a run",
        usage="runherald exec -e EXPERIMENT [OPTIONS] -- PROGRAM [ARGUMENT …]",
        description="Run a program and keep what becomes of it: status and cause, what it prints, new files in outputs/ and logs/. It runs "
        "the same without a server; what is kept is sent later. A program that uses runherald itself has its run from Run.get_context().",
        epilog="Exit status: the program's own; 128 and the signal's number where one ended it; 127 where there is no such program, 126 "
        "where it cannot be executed; 2 wrong use. Ctrl-C reaches the program once; a second one kills it.",
    )
    parser.add_argument("-e", "--experiment", default="", metavar="NAME", help=f"what the run is of ({_EXPERIMENT_VARIABLE})")
    parser.add_argument("--name", default="", metavar="TEXT", help="the run's display name; its id if not said")
    parser.add_argument("--description", default="", metavar="TEXT", help="what the run is about")
    parser.add_argument("--tag", action="append", default=[], metavar="K[=V]", help="a tag of the run; may be given several times")
    parser.add_argument("--run-id", default=None, metavar="ID", help="the run's id; a new one if not said")
    parser.add_argument("--workspace", default=None, metavar="NAME", help="default if not said (RUNHERALD_WORKSPACE)")
    parser.add_argument("--folder", type=Path, default=None, metavar="DIR", help="the program's working folder; this one if not said")
    parser.add_argument(
        "--max-seconds",
        default="0",
        metavar="TIME",
        help="cancel it after so long: seconds, or such as 1h30m; never if not said",
    )
    parser.add_argument("--grace", default=_GRACE, metavar="TIME", help=f"between asking it to end and SIGKILL; {_GRACE} s if not said")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="PROGRAM", help="the program and its arguments, after --")
    add_server(parser)
    parser.set_defaults(run=execute_command)


def execute_command(args: argparse.Namespace) -> int:
    """Run a program as a run, and return its exit status.

    Raises:
        InvalidInput: an option cannot be taken; then nothing was run.
    """
    command = _command(args.command)
    name = args.experiment or os.environ.get(_EXPERIMENT_VARIABLE, "")
    if not name:
        raise InvalidInput(f"exec: say what the run is of: -e EXPERIMENT, or {_EXPERIMENT_VARIABLE}")
    max_seconds, grace_seconds = parse_seconds("--max-seconds", args.max_seconds), parse_seconds("--grace", args.grace)
    folder = (args.folder or Path()).absolute()
    if not folder.is_dir():
        raise InvalidInput(f"--folder: {folder}: there is no such folder")
    tags = parse_tags(args.tag)

    from runherald.producers.experiment import Experiment
    from runherald.producers.jobs.execute import execute
    from runherald.producers.jobs.job import Job
    from runherald.producers.jobs.preparation import prepare_run

    _tell_on_stderr()
    workspace = workspace_of(args, args.workspace)
    experiment = Experiment(workspace, name)
    with _alone(workspace.session.destination.home, args.run_id):
        _refuse_ended(workspace, args.run_id)
        run = prepare_run(experiment, command, run_id=args.run_id, display_name=args.name, description=args.description, tags=tags)
        if workspace.provenance:
            run.record_provenance(folder)
        _say(f"run {run.id} of {name}{_page(run)}")
        status = execute(
            Job(
                run_id=run.id,
                experiment=name,
                workspace=workspace.name,
                command=command,
                folder=folder,
                max_seconds=max_seconds,
                grace_seconds=grace_seconds,
                is_terminal=True,
            ),
            run,
        )
    workspace.session.told_of_left = _say_if_away(run)
    return status


@contextlib.contextmanager
def _alone(home: Path, run_id: str | None) -> Iterator[None]:
    """Keep other runners of a run away: whoever ends first would end what has the run's job in its environment, theirs as well."""
    if run_id is None:
        yield
        return
    from runherald.producers import arguments
    from runherald.producers.jobs.job import job_folder
    from runherald.producers.jobs.waits import RUNNER_LOCK
    from runherald.producers.journal.owner_lock import OwnerLock

    folder = job_folder(home, arguments.run_id(run_id))
    lock = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = OwnerLock(folder / RUNNER_LOCK)
    except BlockingIOError:
        raise InvalidInput(f"--run-id: {run_id}: is being run on this machine; wait for its end, or name another run") from None
    except OSError:  # the home cannot be written: the program is run all the same
        pass
    try:
        yield
    finally:
        if lock is not None:
            with contextlib.suppress(OSError):
                (folder / RUNNER_LOCK).unlink()
                folder.rmdir()
            lock.release()


def _refuse_ended(workspace: Workspace, run_id: str | None) -> None:
    """Run nothing for a run that has ended: history would refuse all that is said of it. Where no server answers, nobody knows of one."""
    if run_id is None:
        return
    from runherald.errors import RunheraldError
    from runherald.status import TERMINAL

    try:
        view = workspace.session.client.get_run(run_id)
    except RunheraldError:
        return
    if view.status in TERMINAL and not view.claimed:
        raise InvalidInput(f"--run-id: {run_id}: has ended ({view.status}), and nothing follows that; name another run, or leave it out")


def _command(words: list[str]) -> tuple[str, ...]:
    command = tuple(words[1:] if words[:1] == ["--"] else words)
    if not command or not command[0]:
        raise InvalidInput("exec: say what is to be run: runherald exec -e EXPERIMENT -- PROGRAM [ARGUMENT …]")
    return command


def _tell_on_stderr() -> None:
    """Show what goes wrong on our side among what the program prints, named; that the server is away is said once, at the end."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("runherald: %(message)s"))
    handler.addFilter(lambda record: not record.getMessage().startswith("shipper_"))
    log = logging.getLogger("runherald")
    log.addHandler(handler)
    log.propagate = False


def _page(run: Run) -> str:
    from runherald.errors import Unreachable

    try:
        return f": {run.get_portal_url()}"
    except Unreachable:  # offline mode
        return f", kept in {run.experiment.workspace.session.destination.home}"


def _say_if_away(run: Run) -> bool:
    session = run.experiment.workspace.session
    if session.shipper.last_error is None:
        return False
    if session.destination.home.is_dir():
        _say(f"the run is kept in {session.destination.home}, and not sent yet ({session.shipper.last_error}): `runherald sync` sends it")
    else:
        _say(f"the run cannot be sent ({session.shipper.last_error}), nor kept in {session.destination.home}: set RUNHERALD_HOME")
    return True


def _say(text: str) -> None:
    sys.stderr.write(f"runherald: {' '.join(text.split())}\n")
