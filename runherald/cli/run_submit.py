"""`runherald run submit-script`: run a script on a compute target, as `az ml run submit-script` does."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runherald.cli.options import add_server, parse_seconds, parse_tags, workspace_of
from runherald.errors import InvalidInput

if TYPE_CHECKING:
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `submit-script`."""
    parser = commands.add_parser(
        "submit-script",
        help="run a script on a compute target",
        usage="runherald run submit-script -e EXPERIMENT [OPTIONS] SCRIPT [ARGUMENT …]",
        description="Run a copy of a folder's script on a compute target of this machine, and follow it. Ctrl-C stops following; the"
        " run goes on (`runherald run cancel` stops it).",
    )
    parser.add_argument("-e", "--experiment-name", required=True, metavar="NAME", help="what the run is of")
    parser.add_argument("-c", "--run-configuration-name", default=None, metavar="NAME", help="of .azureml/NAME.runconfig below --path")
    parser.add_argument("--path", type=Path, default=Path(), metavar="DIR", help="where .azureml is; this folder if not said")
    parser.add_argument("--source-directory", type=Path, default=None, metavar="DIR", help="the code; --path if not said")
    parser.add_argument("--target", "--ct", default=None, metavar="NAME", help="compute target; local if neither this nor -c says one")
    parser.add_argument("--tag", action="append", default=[], metavar="K[=V]", help="a tag of the run; may be given several times")
    parser.add_argument("--max-seconds", default=None, metavar="TIME", help="cancel it after so long: seconds, or such as 1h30m")
    parser.add_argument("--async", action="store_true", dest="detached", help="return once it is queued")
    parser.add_argument("script", nargs="?", default=None, metavar="SCRIPT", help="a file of the code; what -c says if not said")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="of the script")
    add_server(parser)
    parser.set_defaults(run=submit_script)


def submit_script(args: argparse.Namespace) -> int:
    """Submit a script, print the run's id and page, and follow it; status 1 when it failed.

    Raises:
        InvalidInput: an option cannot be taken; then there is no run.
        RunFailed: the run failed.
    """
    from runherald.producers.experiment import Experiment
    from runherald.producers.jobs.run_configuration import RunConfiguration
    from runherald.producers.jobs.script_run_config import ScriptRunConfig

    if args.script is None and args.run_configuration_name is None:
        raise InvalidInput("submit-script: say what is to be run: a script, or -c NAME of a run configuration")
    run_config = None if args.run_configuration_name is None else RunConfiguration.load(args.path, args.run_configuration_name)
    max_seconds = None if args.max_seconds is None else parse_seconds("--max-seconds", args.max_seconds)
    what = ScriptRunConfig(
        args.source_directory or args.path,
        script=args.script,
        arguments=args.arguments or None,
        run_config=run_config,
        compute_target=args.target,
    )
    if max_seconds is not None:
        what.run_config.max_run_duration_seconds = max_seconds
    run = Experiment(workspace_of(args), args.experiment_name).submit(what, tags=parse_tags(args.tag))
    sys.stdout.write(f"{run.id}\n")
    sys.stderr.write(f"queued on {what.run_config.target}: {run.get_portal_url()}\n")
    sys.stdout.flush()
    if not args.detached:
        run.wait_for_completion(show_output=True, wait_post_processing=True)
    return 0
