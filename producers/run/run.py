"""A run, as azureml-core's `Run`: names, parameters and behaviour are its own, so that a script needs one changed import.

`Run` is one class in six parts: what it is (`identity`), what it logs (`logging`), how it ends (`ending`), what is read back
(`reading`), its files (`files`), those that are a model (`models`); here, how to come by one, and its family. Members marked "ours" are
not in azureml-core; `docs/sdk-members.md` says of each that is what it does here.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runherald.api import RunView
from runherald.errors import InvalidInput, Unreachable
from runherald.events import RunHeader
from runherald.producers import arguments
from runherald.producers.journal.headers import header_in_journal
from runherald.producers.server.run_views import Matching, Wanted, details_of, matching, view_of

from .azure_only import AzureOnly
from .ending import RunEnding
from .identity import Outputs, RunIdentity
from .logging import RunLogging
from .models import RunModels
from .reading import RunReading

if TYPE_CHECKING:
    from ..experiment import Experiment
    from ..jobs.script_run import ScriptRun
    from ..workspace import Workspace

MAX_CHILDREN_AT_ONCE = 100
CHILD_NUMBER_TAG = "azureml.batch_child_number"
_UNDER_WAY = ("Queued", "Running")

RunFactory = Callable[["Experiment", RunView], "Run"]

SUBMITTED_TYPE = "azureml.scriptrun"


class Run(RunLogging, RunEnding, RunReading, RunModels, AzureOnly):
    """A run of an experiment. `Run(experiment, run_id)` attaches to one that exists; `Experiment.start_logging` begins one.

    Used in a `with` statement, the run completes when the block ends, and fails with the exception that leaves it. `SystemExit` with
    status 0 counts as success; `KeyboardInterrupt` makes the run Canceled by its user, as does leaving the block after
    `cancel_requested` was seen to be true. A forked child that leaves the block ends nothing: the run is its parent's.

    Raises:
        InvalidInput: the id can be no run's.
    """

    def __init__(
        self,
        experiment: Experiment,
        run_id: str,
        outputs: Outputs = None,
        *,
        _view: RunView | None = None,
        _parent: Run | None = None,
        _lease_seconds: float = 0.0,
        **kwargs: object,
    ) -> None:
        RunIdentity.__init__(self, experiment, run_id, outputs, _view=_view, _lease_seconds=_lease_seconds, **kwargs)
        self._parent = _parent

    @staticmethod
    def get(workspace: Workspace, run_id: str) -> Run:
        """Return a run of a workspace.

        Raises:
            NotFound: there is none of that id.
        """
        return workspace.get_run(run_id)

    @staticmethod
    def list(
        experiment: Experiment,
        type: str | None = None,
        tags: Wanted = None,
        properties: Wanted = None,
        status: str | None = None,
        include_children: bool = False,
    ) -> Iterator[Run]:
        """Go through the runs of an experiment, newest first; `tags` and `properties` are a key, or keys with values that must be there."""
        wanted = matching("Run.list", tags=tags, properties=properties, run_type=type, status=status)
        return experiment.matching_runs(wanted, include_children=include_children)

    @staticmethod
    def list_by_compute(
        compute: object,
        type: str | None = None,
        tags: Wanted = None,
        properties: Wanted = None,
        status: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Go through the details of the runs on a compute target that are Queued or Running, newest first.

        `compute` is an object with a `name`, and a `workspace` if it has one, or the name itself, which is looked for in the default
        workspace.

        Raises:
            InvalidInput: `compute` has no name, or the status is another one.
        """
        from ..workspace import Workspace

        name = compute if isinstance(compute, str) else getattr(compute, "name", None)
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"list_by_compute: compute is a {compute.__class__.__name__} without a name; pass the target's name")
        if status is not None and status not in _UNDER_WAY:
            raise InvalidInput(f"list_by_compute: status: is none of {', '.join(_UNDER_WAY)}; use Experiment.get_runs for others")
        workspace = getattr(compute, "workspace", None)
        if not isinstance(workspace, Workspace):
            workspace = Workspace()
        wanted = matching("list_by_compute", tags=tags, properties=properties, run_type=type)
        return _under_way(workspace, name, status or ",".join(_UNDER_WAY), wanted)

    @classmethod
    def get_context(cls, allow_offline: bool = True, **kwargs: object) -> Run:
        """Return the run that this script was submitted as; elsewhere an offline run, which prints what is logged, and journals it too.

        Asked again, it is the same object. An offline run ends with the process: Failed if an exception ended it, or `sys.exit` with
        a status that is not 0; else Completed.

        Raises:
            NoSubmittedRun: the script was not submitted, and `allow_offline` is false.
            Unreachable: the script was submitted without its experiment's name, and the server does not answer.
        """
        from .context import current_run

        del kwargs  # azureml-core's internal ones
        return current_run(allow_offline=allow_offline)

    @classmethod
    def get_submitted_run(cls, **kwargs: object) -> Run:
        """Return what `get_context` does: its older name."""
        del kwargs
        return cls.get_context()

    @staticmethod
    def add_type_provider(runtype: str, run_factory: RunFactory) -> None:
        """Let a function make the objects of runs of a type that are read: it is given the experiment and a `RunView`."""
        _factories[runtype] = run_factory

    def create(self, header: RunHeader) -> None:
        """Begin the run (ours; called by `Experiment.begin_run`): it exists and is Running when this returns."""
        self._writer.create(header)
        self._view = view_of(self._id, self._experiment.workspace.name, header)
        self.start()

    @property
    def parent(self) -> Run | None:
        """The run that this one is a child of. While the server is away it is read from the journal, if the run was begun on this machine.

        What is logged to it, or to its own parent, goes to that run.
        """
        if self._parent is None and (parent_id := self._parent_id()):
            self._parent = Run(self._experiment, parent_id)
        return self._parent

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: Outputs = None) -> Run:
        """Begin a run below this one, of the same experiment. `outputs`: a folder of which the files are kept when it ends.

        Raises:
            InvalidInput: the name or id cannot be taken, or `outputs` is no folder's path.
        """
        return self._begin_child(name or "", run_id, outputs=outputs)

    def create_children(
        self, count: int | None = None, tag_key: str | None = None, tag_values: Sequence[object] | None = None
    ) -> builtins.list[Run]:
        """Begin several runs below this one: `count` of them, or one for each value of a tag. Each has its number in a tag of its own.

        Raises:
            InvalidInput: neither or both are given, the count is not from 1 to 100, or a tag cannot be taken.
        """
        children = []
        for number, tags in enumerate(_tags_of_children(f"run {self._id}: create_children:", count, tag_key, tag_values)):
            children.append(self._begin_child("", None, {CHILD_NUMBER_TAG: number, **tags}))
        return children

    def submit_child(self, config: object, tags: Mapping[str, object] | None = None, **kwargs: object) -> ScriptRun:
        """Run a script, or a command, on a compute target, as a run below this one; see `Experiment.submit`.

        A submitted script that waits for such a run (`wait_for_completion`) leaves its own slot to others meanwhile.
        """
        from ..experiment import submitted

        return submitted(self._experiment, config, tags=tags, options=kwargs, parent=self)

    def get_children(
        self,
        recursive: bool = False,
        tags: Wanted = None,
        properties: Wanted = None,
        type: str | None = None,
        status: str | None = None,
    ) -> Iterator[Run]:
        """Go through the children, page by page, or all descendants; `tags` and `properties` are a key, or keys with values that must be
        there. Those that were deleted are left out.

        Raises:
            InvalidInput: what is wanted is of a wrong type, or there is no such status.
        """
        wanted = matching(f"run {self._id}: get_children", tags=tags, properties=properties, run_type=type, status=status)
        return self._children(wanted, recursive=recursive)

    def clean(self) -> builtins.list[str]:
        """Return the files that were removed where the run ran: none, since nothing is kept there."""
        return []

    def _children(self, wanted: Matching, *, recursive: bool) -> Iterator[Run]:
        client = self._session.reader()
        if recursive:
            views = client.each_child(self._id, recursive=True)
        else:
            views = client.runs(parent=self._id, life="all", status=wanted.status or "", tag=wanted.tag_parameter)
        for view in views:
            if view.life != "Deleted" and wanted.matches(view):
                yield run_of(self._experiment, view)

    def _begin_child(
        self, name: str, run_id: str | None, tags: Mapping[str, object] = MappingProxyType({}), outputs: Outputs = None
    ) -> Run:
        return self._experiment.begin_run(
            run_id=run_id, parent=self, display_name=name, tags=tags, lease_seconds=self._lease_seconds or None, outputs=outputs
        )

    def _parent_id(self) -> str:
        try:
            return self._known().parent_run_id
        except Unreachable:
            header = header_in_journal(self._session.destination.home, self._id)
            if header is None:
                raise
            return header.parent_run_id


def run_of(experiment: Experiment, view: RunView) -> Run:
    """Return the object of a run that was read."""
    factory = _factories.get(view.run_type)
    return Run(experiment, view.run_id, _view=view) if factory is None else factory(experiment, view)


def _script_run(experiment: Experiment, view: RunView) -> Run:
    from ..jobs.script_run import ScriptRun  # what logs submits nothing

    return ScriptRun(experiment, view.run_id, _view=view)


def _under_way(workspace: Workspace, compute: str, status: str, wanted: Matching) -> Iterator[dict[str, Any]]:
    for view in workspace.session.reader().runs(status=status, tag=wanted.tag_parameter):
        if view.compute_target == compute and view.workspace == workspace.name and wanted.matches(view):
            yield details_of(view)


def _tags_of_children(what: str, count: object, tag_key: object, values: Sequence[object] | None) -> Sequence[Mapping[str, object]]:
    if (count is None) == (values is None) or (values is None) != (tag_key is None):
        raise InvalidInput(f"{what} pass either count, or tag_key and tag_values")
    if values is None:
        if not isinstance(count, int) or isinstance(count, bool):
            raise InvalidInput(f"{what} count is a {type(count).__name__}; pass a whole number")
        number = count
    elif isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
        number = len(values)
    else:
        raise InvalidInput(f"{what} tag_values is a {type(values).__name__}; pass a list")
    if not 1 <= number <= MAX_CHILDREN_AT_ONCE:
        raise InvalidInput(f"{what} there would be {number} children; begin from 1 to {MAX_CHILDREN_AT_ONCE} at once")
    tags: list[Mapping[str, object]] = [{}] * number if values is None else [{arguments.tag_key(what, tag_key): one} for one in values]
    for one in tags:
        arguments.tags(what, one)  # all of them, before the first is begun
    return tags


_factories: dict[str, RunFactory] = {SUBMITTED_TYPE: _script_run}
"""What makes the object of a run that is read, by the run's type."""
