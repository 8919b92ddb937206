"""Submits a script: its run exists and is queued, a copy of its code lies in the job's folder, and a runner of its own is started.

The runner (`runherald.producers.jobs.runner`) is a process that outlives the one that submits.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runherald.errors import InvalidInput, RunFailed, RunheraldError
from runherald.identifiers import new_run_id
from runherald.limits import DEFAULT_LIMITS
from runherald.producers import arguments
from runherald.producers.files.snapshot import snapshot
from runherald.producers.jobs.compute import target_folder
from runherald.producers.jobs.slots import stand_in_queue
from runherald.producers.origin import new_header
from runherald.producers.provenance.capture import submitted_provenance
from runherald.producers.texts import line_of
from runherald.status import Cause, Status

from ..run.ending import END_SECONDS
from .job import JOB_FILE, JOB_VARIABLE, Job, job_folder, write_job
from .script_run import ScriptRun
from .script_run_config import ScriptRunConfig

if TYPE_CHECKING:
    from ..experiment import Experiment
    from ..run.run import Run
    from ..workspace import Workspace

CODE_FOLDER = "code"
CODE_FILE = "code.zip"
QUEUE_FILE = "queue.json"
LOG_FILE = "runner.log"
SEND_SECONDS = 5.0
"""How long a submission waits until the run is known to the server; it goes on without."""
_OF_THE_SUBMITTER = (JOB_VARIABLE, "RUNHERALD_RUN_ID", "RUNHERALD_EXPERIMENT", "RUNHERALD_OFFLINE_RUN_ID")

_runners: list[subprocess.Popen[bytes]] = []
"""Those that this process started: asked now and then whether they ended, so that none stays a zombie."""


class Queued(Struct, frozen=True, kw_only=True):
    """Where a job waits: the target's folder and number of slots, and the job's place in the queue."""

    target: str
    slots: int
    place: str


def submit(experiment: Experiment, config: object, *, tags: Mapping[str, object] | None = None, parent: Run | None = None) -> ScriptRun:
    """Submit what a `ScriptRunConfig` says, as a run of an experiment, perhaps below another run.

    Raises:
        InvalidInput: the configuration or a tag cannot be taken, or there is no such target; then there is no run.
        RunFailed: its code could not be kept, or no runner started; the run says so as well.
        OSError: the job's folder cannot be written; then there is no run.
    """
    if not isinstance(config, ScriptRunConfig):
        raise InvalidInput(f"submit: config is a {type(config).__name__}; pass a ScriptRunConfig")
    run_config = config.run_config
    workspace = experiment.workspace
    slots = workspace.compute_targets.slots_of(run_config.target)
    if slots is None:
        there = ", ".join(workspace.compute_targets)
        raise InvalidInput(f"submit: compute_target: {run_config.target!r} is none of {there}; make it with `runherald compute create`")
    program, variables = config.program, run_config.environment.variables()
    run = ScriptRun(experiment, new_run_id(), _parent=parent)
    what = f"run {run.id}"
    checked_tags = arguments.tags(what, {} if tags is None else tags)
    snapshot_id, code = snapshot(f"{what}: source_directory", config.source_directory)
    folder = job_folder(workspace.session.destination.home, run.id)
    folder.mkdir(parents=True)
    folder.joinpath(CODE_FILE).write_bytes(code)
    job = Job(
        run_id=run.id,
        experiment=experiment.name,
        workspace=workspace.name,
        command=program,
        folder=folder / CODE_FOLDER,
        environment=variables,
        max_seconds=run_config.max_run_duration_seconds or 0.0,
    )
    write_job(folder / JOB_FILE, job)
    header = new_header(
        experiment.name,
        parent_run_id=parent.id if parent else "",
        root_run_id=parent.root_run_id if parent else run.id,
        display_name="",
        description="",
        tags=checked_tags,
    )
    script = line_of(config.script_name, DEFAULT_LIMITS.path)
    origin = submitted_provenance(Path(config.source_directory), program, variables) if workspace.provenance else {}
    run.create(replace(header, run_type=ScriptRun.RUN_TYPE, compute_target=run_config.target, script_name=script, properties=origin))
    try:
        run.keep_snapshot(snapshot_id, code)
        run.flush(SEND_SECONDS)
        _hand_over(workspace, folder, run.id, target_folder(workspace.session.destination.home, run_config.target), slots)
    except (RunheraldError, OSError) as error:  # nobody has the run yet: it would stay queued for ever
        message = f"The run could not be handed to a runner: {getattr(error, 'strerror', None) or error}."
        run._writer.end(Status.FAILED, timeout_seconds=END_SECONDS, cause=Cause.UNKNOWN, message=message)
        raise RunFailed(f"{what}: {message}") from None
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)
        run._writer.end(Status.CANCELED, timeout_seconds=END_SECONDS, cause=Cause.USER, message="Its submission was interrupted.")
        raise
    return run


def _hand_over(workspace: Workspace, folder: Path, run_id: str, target: Path, slots: int) -> None:
    place = stand_in_queue(target, run_id, now_ns=time.time_ns())
    try:
        queued = Queued(target=str(target), slots=slots, place=str(place))
        folder.joinpath(QUEUE_FILE).write_bytes(msgspec.json.encode(queued))
        _start_runner(workspace, folder)
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def _start_runner(workspace: Workspace, folder: Path) -> None:
    _runners[:] = [runner for runner in _runners if runner.poll() is None]
    with folder.joinpath(LOG_FILE).open("ab") as log:
        runner = subprocess.Popen(
            # -P: the working folder may hold modules of the same names as Python's own.
            [sys.executable, "-P", "-m", "runherald.producers.jobs.runner", str(folder)],
            env=_runner_variables(workspace),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=os.name == "posix",
        )
    _runners.append(runner)


def _runner_variables(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    to = workspace.session.destination
    said = {
        "RUNHERALD_URL": to.url,
        "RUNHERALD_TOKEN": to.token,
        "RUNHERALD_LOG": to.log,
        "RUNHERALD_HOME": str(to.home),
        "RUNHERALD_WORKSPACE": workspace.name,
        "RUNHERALD_FILES": workspace.files_at,
    }
    variables = {name: value for name, value in environ.items() if name not in _OF_THE_SUBMITTER}
    return {**variables, **{name: value for name, value in said.items() if value}}
