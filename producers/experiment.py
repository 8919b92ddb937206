"""An experiment, as azureml-core's `Experiment`: runs under one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from runherald.errors import InvalidEvent, InvalidInput
from runherald.identifiers import new_run_id
from runherald.producers import arguments
from runherald.producers.origin import check_lease, new_header
from runherald.producers.run_views import Matching
from runherald.validation import check_experiment_name

from .run import Run

if TYPE_CHECKING:
    from .workspace import Workspace


class Experiment:
    """An experiment of a workspace. It comes into being with its first run.

    Raises:
        InvalidInput: the name cannot be taken: 1 to 255 characters, of which the first is a letter or digit.
    """

    def __init__(self, workspace: Workspace, name: str, **kwargs: object) -> None:
        del kwargs  # azureml-core's internal ones
        if not hasattr(workspace, "session"):
            raise InvalidInput(f"experiment: the workspace is a {type(workspace).__name__}; pass a Workspace, first of all")
        if not isinstance(name, str):
            raise InvalidInput(f"experiment: the name is a {type(name).__name__}; pass a text")
        try:
            check_experiment_name("experiment", name)
        except InvalidEvent as error:
            raise InvalidInput(str(error)) from None
        self._workspace = workspace
        self._name = name

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self._name

    @property
    def workspace(self) -> Workspace:
        """The workspace that it is in."""
        return self._workspace

    def start_logging(
        self,
        *args: object,
        run_id: str | None = None,
        display_name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, object] | None = None,
        lease_seconds: float | None = None,
        **kwargs: object,
    ) -> Run:
        """Begin a run in this process, and return it Running.

        `lease_seconds` (ours): how long it may be silent before it counts as not responding; RUNHERALD_LEASE_SECONDS when not given.
        azureml-core's `outputs` and `snapshot_directory` are taken; files come later.

        Raises:
            InvalidInput: a name, id or tag cannot be taken, or an argument is unknown.
        """
        unknown = sorted(set(kwargs) - {"outputs", "snapshot_directory"})
        if unknown:
            raise InvalidInput(f"start_logging: does not know the argument {unknown[0]!r}")
        del args  # azureml-core takes and ignores them
        return self.begin_run(
            run_id=run_id,
            display_name=display_name or "",
            description=description,
            tags={} if tags is None else tags,
            lease_seconds=lease_seconds,
        )

    def begin_run(
        self,
        *,
        run_id: str | None = None,
        parent: Run | None = None,
        display_name: str = "",
        description: str | None = None,
        tags: Mapping[str, object] = MappingProxyType({}),
        lease_seconds: float | None = None,
    ) -> Run:
        """Begin a run, perhaps below another (ours; what `start_logging` and `Run.child_run` share). Raises what `start_logging` does."""
        run = Run(
            self,
            new_run_id() if run_id is None else run_id,
            _parent=parent,
            _lease_seconds=check_lease(self._workspace.lease_seconds if lease_seconds is None else lease_seconds),
        )
        what = f"run {run.id}"
        header = new_header(
            self._name,
            parent_run_id=parent.id if parent else "",
            root_run_id=parent.root_run_id if parent else run.id,
            display_name=arguments.display_name(what, display_name),
            description=arguments.description(what, description),
            tags=arguments.tags(what, tags),
        )
        run.create(header)
        return run

    def get_runs(
        self,
        type: str | None = None,
        tags: str | Mapping[str, object] | None = None,
        properties: str | Mapping[str, object] | None = None,
        include_children: bool = False,
    ) -> Iterator[Run]:
        """Go through the runs, newest first; `tags` and `properties` are a key, or keys with values that must be there."""
        matching = Matching(tags=tags, properties=properties, run_type=type)
        client = self._workspace.session.reader()
        for view in client.runs(experiment=self._name, root_only=not include_children):
            if view.workspace == self._workspace.name and matching.matches(view):
                yield Run(self, view.run_id, _view=view)

    def __repr__(self) -> str:
        return f"Experiment(Name: {self._name}, Workspace: {self._workspace.name})"
