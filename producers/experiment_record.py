"""What is said of an experiment itself: tags, and that it is archived.

An experiment has no events of its own: it comes into being with its first run. What is said of it stands in the record of a run that never
runs: its id is made of workspace and experiment, its type is `runherald.experiment`, and it counts as deleted from its first event on, so
that no list of runs shows it and nothing waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid5

from runherald.api import RunView
from runherald.events import NAMESPACE, Actor, AmlRunEvent, RunHeader
from runherald.producers.errors import NotFound

if TYPE_CHECKING:
    from runherald.producers.recorder import Recorder
    from runherald.producers.session import Session

EXPERIMENT_RECORD = "runherald.experiment"
"""The type of the run that keeps what is said of an experiment."""


def record_id(workspace: str, experiment: str) -> str:
    """Return the id of the run that keeps what is said of an experiment."""
    return f"experiment-{uuid5(NAMESPACE, f'{workspace}/{experiment}')}"


class ExperimentRecord:
    """Says and reads what is known of an experiment itself. Its journal is opened by the first thing that is said."""

    def __init__(self, session: Session, *, workspace: str, experiment: str) -> None:
        self.id = record_id(workspace, experiment)
        self._session = session
        self._workspace = workspace
        self._experiment = experiment
        self._recorder: Recorder | None = None

    def say(
        self, *, tags: dict[str, str | None] | None = None, tags_removed: tuple[str, ...] = (), archived_time: str | None = None
    ) -> None:
        """Record a change of what is given; `archived_time` is empty for an experiment that is active again."""
        with self._session.opening:
            if self._recorder is None or self._recorder.closed:
                self._recorder = self._session.open_recorder(workspace=self._workspace, run_id=self.id, steps={})
        self._recorder.say(
            AmlRunEvent(
                operation="Deleted",
                header=RunHeader(experiment_name=self._experiment, run_type=EXPERIMENT_RECORD),
                tags=tags or {},
                tags_removed=tags_removed,
                params={} if archived_time is None else {"archived_time": archived_time},
                actor=Actor(kind="user"),
            )
        )

    def read(self) -> RunView | None:
        """Return what history has of it; None where nothing was ever said."""
        try:
            return self._session.reader().get_run(self.id)
        except NotFound:
            return None
