"""A submitted run, as azureml-core's `ScriptRun`: whoever submits it only says that it exists, and its runner says how it goes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from runherald.events import AmlRunHeartbeatEvent, RunHeader
from runherald.producers.jobs.job import CANCEL_FILE, job_folder
from runherald.producers.jobs.processes import end_all
from runherald.producers.jobs.waits import RUNNER_LOCK
from runherald.producers.journal.owner_lock import is_held
from runherald.producers.origin import host_name
from runherald.producers.server.run_views import view_of
from runherald.status import Cause, Status

from ..run.run import SUBMITTED_TYPE, Run


class ScriptRun(Run):
    """A run that a runner on some machine runs."""

    RUN_TYPE = SUBMITTED_TYPE

    def __init__(self, experiment: Any, run_id: str, directory: str | None = None, **kwargs: Any) -> None:
        del directory  # azureml-core's
        super().__init__(experiment, run_id, **kwargs)

    def create(self, header: RunHeader) -> None:
        """Say that the run exists, and is queued."""
        self._writer.create(header)
        self._view = view_of(self._id, self._experiment.workspace.name, header)
        self._writer.report(Status.QUEUED, message=f"Waits for a slot of the compute target {header.compute_target!r}.")
        # One heartbeat, for a lease in which the runner is to be heard: if it never begins, the run is not to wait for ever.
        lease_seconds = self._experiment.workspace.lease_seconds
        self._writer._say(AmlRunHeartbeatEvent(lease_seconds=lease_seconds, host=host_name(), pid=os.getpid()))
        self._learn(status=str(Status.QUEUED))

    def cancel(self) -> None:
        """Cancel the run. On this machine it is Canceled at once, and stays so: its script is told to end, and has the grace to do so, or
        two seconds where its runner was killed (on Linux). Of a run elsewhere its runner is asked, over the server.

        Raises:
            InvalidInput: it has ended otherwise.
            Unreachable: the run is on another machine, and the server does not answer.
        """
        folder = self._job_folder()
        try:
            folder.joinpath(CANCEL_FILE).write_text("Canceled by who submitted it.", encoding="utf-8")
        except FileNotFoundError:  # it is elsewhere, or has ended
            super().cancel()
            return
        self._end(Status.CANCELED, Cause.USER, "Canceled by who submitted it.")
        runner = folder / RUNNER_LOCK
        if runner.exists() and not is_held(runner):  # nobody is left who would read that file
            end_all(folder)

    def clean(self) -> list[str]:
        """Remove what the run left in its folder on this machine, and return the paths; nothing while it runs."""
        folder = self._job_folder()
        if not folder.is_dir() or is_held(folder / RUNNER_LOCK):
            return []
        removed = sorted(str(path) for path in folder.iterdir())
        shutil.rmtree(folder, ignore_errors=True)
        return removed

    def _job_folder(self) -> Path:
        return job_folder(self._session.destination.home, self._id)
