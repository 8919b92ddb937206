"""The run that a script is: the one it was submitted as, or an offline one.

Whoever starts a script for a run says so in RUNHERALD_RUN_ID, and the run's experiment in RUNHERALD_EXPERIMENT; where to send comes from
the settings. Whoever started it also says how it ended.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from runherald.limits import DEFAULT_LIMITS
from runherald.producers.errors import NoSubmittedRun
from runherald.producers.run.exit_watch import exit_of_process, watch_exit
from runherald.producers.run.failure import Failure, failure_of_exception, is_success
from runherald.producers.texts import cut
from runherald.status import Cause, Status

from ..experiment import Experiment
from ..workspace import Workspace
from .identity import Outputs
from .left_open import exception_of_script
from .run import Run
from .submitted import SubmittedRun

if TYPE_CHECKING:
    from typing import SupportsIndex

RUN_ID_VARIABLE = "RUNHERALD_RUN_ID"
EXPERIMENT_VARIABLE = "RUNHERALD_EXPERIMENT"
OFFLINE_VARIABLE = "RUNHERALD_OFFLINE_RUN_ID"
"""The offline run of a process, for those that it starts: workers that load the script again belong to its run, and make none."""
OFFLINE_PREFIX = "OfflineRun_"
OFFLINE_EXPERIMENT = "offline"
_SHOWN = 200
"""How many characters of a value are printed."""

_runs: dict[str, Run] = {}
"""The run that this process is, by the id it was submitted with; empty for offline."""


class OfflineRun(Run):
    """A run of a script that nobody submitted: it prints each call that logs, on one line, and ends with the process that began it."""

    def __init__(self, experiment: Experiment, run_id: str, outputs: Outputs = None, **kwargs: Any) -> None:
        super().__init__(experiment, run_id, outputs, **kwargs)
        self._numbers = itertools.count()
        if self._lease_seconds:
            watch_exit()
            atexit.register(self._end_with_process)

    def log(self, name: str, value: object, description: str = "", step: SupportsIndex | None = None) -> None:
        """Log a number or text, and print it."""
        super().log(name, value, description, step)
        self._print(name, value if step is None else f"{value} (step {step})")

    def log_list(self, name: str, value: object, description: str = "") -> None:
        """Log a list, and print it."""
        super().log_list(name, value, description)
        self._print(name, value)

    def log_row(self, name: str, description: str | None = None, **kwargs: object) -> None:
        """Log a row, and print it."""
        super().log_row(name, description, **kwargs)
        self._print(name, kwargs)

    def log_table(self, name: str, value: Mapping[str, object], description: str = "") -> None:
        """Log a table, and print it."""
        super().log_table(name, value, description)
        self._print(name, value)

    def log_image(self, name: str, path: str | os.PathLike[str] | None = None, plot: Any = None, description: str = "") -> None:
        """Log an image, and print its file."""
        super().log_image(name, path, plot, description)
        self._print(name, "a plot" if path is None else os.fspath(path))

    def log_confusion_matrix(self, name: str, value: Mapping[str, object] | str, description: str = "") -> None:
        """Log a confusion matrix, and print it."""
        super().log_confusion_matrix(name, value, description)
        self._print(name, value)

    def log_accuracy_table(self, name: str, value: Mapping[str, object] | str, description: str = "") -> None:
        """Log an accuracy table, and print it."""
        super().log_accuracy_table(name, value, description)
        self._print(name, value)

    def log_residuals(self, name: str, value: Mapping[str, object] | str, description: str = "") -> None:
        """Log residuals, and print them."""
        super().log_residuals(name, value, description)
        self._print(name, value)

    def log_predictions(self, name: str, value: Mapping[str, object] | str, description: str = "") -> None:
        """Log predictions, and print them."""
        super().log_predictions(name, value, description)
        self._print(name, value)

    def _begin_child(
        self, name: str, run_id: str | None, tags: Mapping[str, object] = MappingProxyType({}), outputs: Outputs = None
    ) -> Run:
        if run_id is None:
            last = re.sub(r"[^A-Za-z0-9_.-]", "_", name) if name else str(next(self._numbers))
            run_id = f"{self._id}.{last}"[: DEFAULT_LIMITS.run_id]
        return self._experiment.begin_run(
            run_id=run_id,
            parent=self,
            display_name=name,
            tags=tags,
            lease_seconds=self._lease_seconds,
            kind=OfflineRun,
            outputs=outputs,
        )

    def _end(self, status: Status, cause: Cause | None = None, message: str = "") -> None:
        super()._end(status, cause, message)
        _forget(self._id)

    def _fail(self, failure: Failure) -> None:
        super()._fail(failure)
        _forget(self._id)

    def _print(self, name: str, value: object) -> None:
        line = cut(" ".join(str(value).split()), _SHOWN)
        with contextlib.suppress(OSError, ValueError, AttributeError):  # whoever read it is gone, or there is nowhere to print to
            sys.stdout.write(f"{self._id}: {name}: {line}\n")

    def _end_with_process(self) -> None:
        """End what the script left open."""
        if self.has_ended or self._session.closed or os.getpid() != self._pid:
            return
        error = None if hasattr(sys, "ps1") else exception_of_script() or exit_of_process()
        if error is None or is_success(error):
            self._end(Status.COMPLETED)
        elif isinstance(error, KeyboardInterrupt):
            self._end(Status.CANCELED, Cause.USER, "Interrupted by the user (KeyboardInterrupt).")
        else:
            self._fail(failure_of_exception(error))


def current_run(*, allow_offline: bool, environ: Mapping[str, str] = os.environ) -> Run:
    """Return the run that this script is; the same object each time, until it has ended.

    Raises:
        NoSubmittedRun: it was not submitted, and may not be offline.
        Unreachable: it was submitted without the name of its experiment, and no server can be asked.
    """
    run_id = environ.get(RUN_ID_VARIABLE, "")
    if not run_id and not allow_offline:
        raise NoSubmittedRun(
            f"{RUN_ID_VARIABLE} is not set: this script was not submitted as a run; begin one with Experiment.start_logging, or let"
            " Run.get_context be offline"
        )
    workspace = Workspace() if run_id else Workspace.from_config()
    known = _runs.get(run_id)
    if known is None or known.experiment.workspace.session is not workspace.session or (known.has_ended and not run_id):
        known = _runs[run_id] = _submitted(workspace, run_id, environ) if run_id else _offline(workspace, environ)
    return known


def _submitted(workspace: Workspace, run_id: str, environ: Mapping[str, str]) -> Run:
    name = environ.get(EXPERIMENT_VARIABLE, "") or workspace.get_run(run_id).experiment.name
    return SubmittedRun(Experiment(workspace, name), run_id)


def _offline(workspace: Workspace, environ: Mapping[str, str]) -> Run:
    experiment = Experiment(workspace, environ.get(EXPERIMENT_VARIABLE, "") or OFFLINE_EXPERIMENT)
    if run_id := environ.get(OFFLINE_VARIABLE, ""):
        return OfflineRun(experiment, run_id)
    run = experiment.begin_run(run_id=f"{OFFLINE_PREFIX}{uuid4()}", kind=OfflineRun)
    os.environ[OFFLINE_VARIABLE] = run.id
    if workspace.provenance:
        run.record_provenance()
    return run


def _forget(run_id: str) -> None:
    if os.environ.get(OFFLINE_VARIABLE) == run_id:
        del os.environ[OFFLINE_VARIABLE]
