"""The variables of a job's program: those of its runner, the job's own, and what says which run it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .job import JOB_VARIABLE, Job

if TYPE_CHECKING:
    from ..workspace import Workspace

_OF_ANOTHER_RUN = ("RUNHERALD_OFFLINE_RUN_ID",)


def variables_of(job: Job, workspace: Workspace, folder: Path, *, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of a job's program; `folder` is the job's, for its control files.

    `Run.get_context()` in the program is the run then, and sends where the runner sends. Python prints each line at once, unless the job
    says otherwise.
    """
    to = workspace.session.destination
    config = environ.get("RUNHERALD_CONFIG", "")
    said = {
        "RUNHERALD_RUN_ID": job.run_id,
        "RUNHERALD_EXPERIMENT": job.experiment,
        "RUNHERALD_WORKSPACE": job.workspace,
        "RUNHERALD_URL": to.url,
        "RUNHERALD_TOKEN": to.token,
        "RUNHERALD_LOG": to.log,
        "RUNHERALD_HOME": str(to.home),
        "RUNHERALD_FILES": workspace.files_at,
        JOB_VARIABLE: str(folder),
        # The program's working folder may be another one.
        "RUNHERALD_CONFIG": str(Path(config).expanduser().absolute()) if config else "",
    }
    variables = {**environ, "PYTHONUNBUFFERED": "1", **job.environment}
    for name in _OF_ANOTHER_RUN:
        variables.pop(name, None)
    for name, value in said.items():
        if value:
            variables[name] = value
        else:
            variables.pop(name, None)
    return variables
