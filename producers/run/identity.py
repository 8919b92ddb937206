"""What a run is: its id, names, tags and properties. The ground that the other parts of `Run` stand on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from runherald.api import RunView
from runherald.errors import InvalidInput, Unreachable
from runherald.producers import arguments
from runherald.producers.allowed import allowed
from runherald.producers.journal.headers import header_in_journal
from runherald.producers.one_process import OfOneProcess
from runherald.producers.run.health import Health
from runherald.producers.run.writer import RunWriter

if TYPE_CHECKING:
    from ..experiment import Experiment


Outputs = str | os.PathLike[str] | bool | None
"""A folder of which the files are kept when a run ends; azureml-core takes False for none, too."""


class RunIdentity(OfOneProcess):
    """Who the run is, what this object knows of it, and what it says with (`_writer`)."""

    _elsewhere = "send its id, and call Run.get(workspace, id) there"

    def __init__(
        self,
        experiment: Experiment,
        run_id: str,
        outputs: Outputs = None,
        *,
        _view: RunView | None = None,
        _lease_seconds: float = 0.0,
        **kwargs: object,
    ) -> None:
        del kwargs  # azureml-core's internal ones
        if not hasattr(experiment, "workspace"):
            raise InvalidInput(f"run: the experiment is a {type(experiment).__name__}; pass an Experiment, first of all")
        run_id = arguments.run_id(run_id)
        self._outputs_folder = outputs_folder(f"run {run_id}", outputs)
        self._uploaded: set[str] = set()
        self._experiment = experiment
        self._session = experiment.workspace.session
        self._id = run_id
        self._view = _view
        self._lease_seconds = _lease_seconds
        self._cancel_seen = False
        self._pid = os.getpid()
        self._writer = RunWriter(
            self._session,
            workspace=experiment.workspace.name,
            experiment_name=experiment.name,
            run_id=run_id,
            lease_seconds=_lease_seconds,
        )
        if _view is not None:
            self._writer.properties = dict(_view.properties)

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    @property
    def experiment(self) -> Experiment:
        """The experiment that the run is of."""
        return self._experiment

    @property
    def number(self) -> int:
        """The run's place among all of its experiment, in the order of their creation: the first is 1. Asks the server.

        A run that was begun earlier and is sent later, from a machine that was away, moves those after it.
        """
        from runherald.producers.server.sql_questions import run_number  # what logs asks nothing

        created = self._known().created_time or self._fresh().created_time
        if created is None:
            raise InvalidInput(f"run {self._id}: number: history knows of no creation of the run; create it with start_logging")
        return run_number(self._session.reader(), self._experiment.workspace.name, self._experiment.name, self._id, created)

    @property
    def root_run_id(self) -> str:
        """The id of the topmost run above this one, or its own (ours).

        While the server is away it is read from the journal, if the run was begun on this machine; else such a run counts as its own root,
        so that a child of it can begin all the same.
        """
        try:
            return self._known().root_run_id or self._id
        except Unreachable:
            header = header_in_journal(self._session.destination.home, self._id)
            return (header.root_run_id if header else "") or self._id

    @property
    def name(self) -> str:
        """The display name; the id where none was given."""
        return self.display_name

    @property
    def display_name(self) -> str:
        """The display name; the id where none was given. May be set."""
        return self._known().display_name or self._id

    @display_name.setter
    def display_name(self, display_name: str) -> None:
        self._writer.update(display_name=display_name)
        self._learn(display_name=display_name)

    @property
    def description(self) -> str:
        """What the run is about. May be set."""
        return self._known().description

    @description.setter
    def description(self, description: str) -> None:
        self._writer.update(description=description)
        self._learn(description=description or "")

    @property
    def type(self) -> str:
        """The run's type; empty for one that was begun with `start_logging`."""
        return self._known().run_type

    @property
    def status(self) -> str:
        """The status as this object knows it; `get_status` asks the server."""
        return str(self._known().status)

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags as this object knows them; `get_tags` asks the server."""
        return dict(self._known().tags)

    @property
    def properties(self) -> dict[str, str]:
        """The properties as this object knows them; `get_properties` asks the server."""
        return dict(self._known().properties)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel this run, as of the last answer of the server (ours).

        A training loop that looks at it and ends can be stopped gently: a `with` block left after this was true makes the run Canceled.
        """
        requested = self._writer.cancel_requested
        self._cancel_seen = self._cancel_seen or requested
        return requested

    @property
    def has_ended(self) -> bool:
        """Whether this object ended the run (ours)."""
        return self._writer.ended is not None

    @property
    def health(self) -> Health:
        """How the reporting of this object is doing (ours)."""
        return self._writer.health()

    def tag(self, key: str, value: object = None) -> None:
        """Set a tag; without a value it is a flag.

        Raises:
            InvalidInput: key or value cannot be taken, or the run has as many tags as it may.
        """
        self.set_tags({arguments.tag_key(f"run {self._id}", key): value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags; others stay. Raises what `tag` does."""
        texts = arguments.tags(f"run {self._id}", tags)
        known = {} if self._view is None else self._view.tags
        self._check_count("tags", len({**known, **texts}), allowed().tags, "remove some with remove_tags")
        self._writer.set_tags(texts)
        self._learn(tags={**known, **texts})

    def remove_tags(self, tags: str | Sequence[str]) -> None:
        """Remove tags by their keys."""
        removed = self._writer.remove_tags(tags)
        if self._view is not None:
            self._learn(tags={key: value for key, value in self._view.tags.items() if key not in removed})

    def get_tags(self) -> dict[str, str | None]:
        """Return the tags as the server has them."""
        return dict(self._fresh().tags)

    def add_properties(self, properties: Mapping[str, object]) -> None:
        """Add properties, which are written once.

        Raises:
            InvalidInput: one is known to have another value already, or cannot be taken, or there are too many.
        """
        texts = arguments.properties(f"run {self._id}", properties)
        known = {} if self._view is None else self._view.properties
        self._check_count("properties", len({**known, **texts}), allowed().properties, "use tags, or log a table")
        self._writer.add_properties(texts)
        self._learn(properties={**known, **texts})

    def get_properties(self) -> dict[str, str]:
        """Return the properties as the server has them."""
        return dict(self._fresh().properties)

    def get_portal_url(self) -> str:
        """Return the address of the run's page."""
        return f"{self._session.client.url}/runs/{self._id}"

    def __repr__(self) -> str:
        return f"Run(Experiment: {self._experiment.name}, Id: {self._id}, Status: {self._view.status if self._view else 'not read yet'})"

    def _before_end(self) -> None:
        """Do what belongs to the run's end and comes before it. Nothing of it may keep the run from ending."""

    def _check_count(self, what: str, count: int, most: int, instead: str) -> None:
        if count > most:
            raise InvalidInput(f"run {self._id}: {what}: there would be {count} of them; at most {most} are kept: {instead}")

    def _fresh(self) -> RunView:
        self._view = self._session.reader().get_run(self._id)
        return self._view

    def _known(self) -> RunView:
        return self._view or self._fresh()

    def _learn(self, **changes: Any) -> None:
        if self._view is not None:
            self._view = replace(self._view, **changes)


def outputs_folder(what: str, given: object) -> Path | None:
    """Return the folder that `outputs` names, wherever the script goes later; it need not be there yet.

    Raises:
        InvalidInput: it is no path, or a file.
    """
    if given is None or given is False:
        return None
    if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
        raise InvalidInput(f"{what}: outputs is a {type(given).__name__} that names no folder; pass a path, or None for none")
    folder = Path(os.fsdecode(given)).absolute()
    if folder.is_file():
        raise InvalidInput(f"{what}: outputs: {folder}: is a file; pass a folder, or keep it with upload_file")
    return folder
