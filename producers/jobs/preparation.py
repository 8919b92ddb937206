"""Begins the run of a job: it exists, and is Preparing, until its program starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runherald.events import RunHeader
from runherald.identifiers import new_run_id
from runherald.limits import DEFAULT_LIMITS
from runherald.producers import arguments
from runherald.producers.origin import check_lease, host_evidence, new_header
from runherald.producers.server.run_views import view_of
from runherald.producers.texts import line_of
from runherald.status import Status

from ..run.run import Run

if TYPE_CHECKING:
    from ..experiment import Experiment


class JobRun(Run):
    """A run whose program is not started yet: created, it is Preparing."""

    def create(self, header: RunHeader) -> None:
        """Begin the run."""
        self._writer.create(header)
        self._view = view_of(self._id, self._experiment.workspace.name, header)
        self._writer.report(Status.PREPARING, evidence=host_evidence(self._lease_seconds))
        self._learn(status=str(Status.PREPARING))


def prepare_run(
    experiment: Experiment,
    command: Sequence[str],
    *,
    run_id: str | None = None,
    display_name: str = "",
    description: str = "",
    tags: Mapping[str, object] = MappingProxyType({}),
    lease_seconds: float | None = None,
) -> JobRun:
    """Begin the run of a command, which is not started yet.

    Raises:
        InvalidInput: a name, id or tag cannot be taken; then there is no run.
    """
    lease = check_lease(experiment.workspace.lease_seconds if lease_seconds is None else lease_seconds)
    run = JobRun(experiment, new_run_id() if run_id is None else run_id, _lease_seconds=lease)
    what = f"run {run.id}"
    header = new_header(
        experiment.name,
        parent_run_id="",
        root_run_id=run.id,
        display_name=arguments.display_name(what, display_name),
        description=arguments.description(what, description),
        tags=arguments.tags(what, tags),
    )
    run.create(replace(header, script_name=line_of(_script(command), DEFAULT_LIMITS.path)))
    return run


def _script(command: Sequence[str]) -> str:
    """Return the name of what a command runs: the script where an interpreter is named first."""
    name = Path(command[0]).name if command else ""
    script = next((part for part in command[1:] if not part.startswith("-")), "")
    return Path(script).name if script.endswith((".py", ".sh", ".R", ".jl", ".pl", ".rb", ".js")) else name
