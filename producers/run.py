"""A run, as azureml-core's `Run`: names, parameters and behaviour are its own, so that a script needs one changed import.

Calls that log return when the record stands in the journal: they never wait for the network and never raise for it. Calls that read wait
until all that this process said is sent, and raise `Unreachable` when it cannot be. Members marked "ours" are not in azureml-core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

from msgspec.structs import replace

from runherald.api import RunView
from runherald.errors import Unreachable
from runherald.events import RunHeader
from runherald.producers import arguments
from runherald.producers.failure import Failure, failure_of, failure_of_exception, is_success
from runherald.producers.health import Health
from runherald.producers.journal_roots import root_in_journal
from runherald.producers.logged import metrics_of
from runherald.producers.origin import host_evidence
from runherald.producers.run_views import Matching, details_of, view_of
from runherald.producers.run_writer import RunWriter
from runherald.producers.waiting import wait_until_done
from runherald.status import Cause, Status

if TYPE_CHECKING:
    from .experiment import Experiment
    from .workspace import Workspace

END_SECONDS = 10.0
"""How long the end of a run waits for its last events to be sent, so that short scripts deliver."""


class Run:
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
        outputs: str | None = None,
        *,
        _view: RunView | None = None,
        _parent: Run | None = None,
        _lease_seconds: float = 0.0,
        **kwargs: object,
    ) -> None:
        del outputs, kwargs  # azureml-core's; files come later
        run_id = arguments.run_id(run_id)
        self._experiment = experiment
        self._session = experiment.workspace.session
        self._id = run_id
        self._view = _view
        self._parent = _parent
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

    @staticmethod
    def get(workspace: Workspace, run_id: str) -> Run:
        """Return a run of a workspace.

        Raises:
            NotFound: there is none of that id.
        """
        return workspace.get_run(run_id)

    def create(self, header: RunHeader) -> None:
        """Begin the run (ours; called by `Experiment.begin_run`): it exists and is Running when this returns."""
        self._writer.create(header)
        self._view = view_of(self._id, self._experiment.workspace.name, header)
        self.start()

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    @property
    def experiment(self) -> Experiment:
        """The experiment that the run is of."""
        return self._experiment

    @property
    def parent(self) -> Run | None:
        """The run that this one is a child of."""
        if self._parent is None and self._known().parent_run_id:
            self._parent = Run(self._experiment, self._known().parent_run_id)
        return self._parent

    @property
    def root_run_id(self) -> str:
        """The id of the topmost run above this one, or its own (ours).

        While the server is away it is read from the journal, if the run was begun on this machine; else such a run counts as its own root,
        so that a child of it can begin all the same.
        """
        try:
            return self._known().root_run_id or self._id
        except Unreachable:
            return root_in_journal(self._session.destination.home, self._id) or self._id

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
        self._learn(description=description)

    @property
    def type(self) -> str:
        """The run's type."""
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
    def health(self) -> Health:
        """How the reporting of this object is doing (ours)."""
        return self._writer.health()

    def log(self, name: str, value: object, description: str = "", step: SupportsIndex | None = None) -> None:
        """Log a number or a text under a name. Several values of a name make a curve, over `step` or their order.

        Raises:
            InvalidInput: the name, value or step cannot be taken, or the run has ended.
        """
        self._writer.log(name, value, description, step)

    def log_list(self, name: str, value: object, description: str = "") -> None:
        """Log a list of numbers or texts at once, as if one by one.

        Raises:
            InvalidInput: the list is empty or holds something else, the name cannot be taken, or the run has ended.
        """
        self._writer.log_list(name, value, description)

    def log_row(self, name: str, description: str | None = None, **kwargs: object) -> None:
        """Log one row; each keyword is a column.

        Raises:
            InvalidInput: there is no column, a value cannot be taken, or the run has ended.
        """
        self._writer.log_row(name, kwargs, description)

    def log_table(self, name: str, value: Mapping[str, object], description: str = "") -> None:
        """Log a table: a dictionary of columns, each a list, all of one length.

        Raises:
            InvalidInput: the columns differ in length, a value cannot be taken, or the run has ended.
        """
        self._writer.log_table(name, value, description)

    def tag(self, key: str, value: object = None) -> None:
        """Set a tag; without a value it is a flag.

        Raises:
            InvalidInput: key or value cannot be taken.
        """
        self.set_tags({arguments.tag_key(f"run {self._id}", key): value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags; others stay. Raises what `tag` does."""
        texts = self._writer.set_tags(tags)
        if self._view is not None:
            self._learn(tags={**self._view.tags, **texts})

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
            InvalidInput: one is known to have another value already, or cannot be taken.
        """
        known = self._writer.add_properties(properties)
        if self._view is not None:
            self._learn(properties={**self._view.properties, **known})

    def get_properties(self) -> dict[str, str]:
        """Return the properties as the server has them."""
        return dict(self._fresh().properties)

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: str | None = None) -> Run:
        """Begin a run below this one, of the same experiment.

        Raises:
            InvalidInput: the name or id cannot be taken.
        """
        del outputs  # azureml-core's; files come later
        return self._experiment.begin_run(run_id=run_id, parent=self, display_name=name or "", lease_seconds=self._lease_seconds or None)

    def start(self) -> None:
        """Say that the run runs now: for one that was created elsewhere."""
        self._writer.report(Status.RUNNING, evidence=host_evidence(self._lease_seconds))
        self._learn(status=str(Status.RUNNING))

    def complete(self) -> None:
        """End the run as completed. Returns when that stands in the journal, and has been sent or could not be.

        Raises:
            InvalidInput: it has ended otherwise.
        """
        self._end(Status.COMPLETED)

    def fail(self, error_details: object = None, error_code: object = None) -> None:
        """End the run as failed, with a text or an exception that says why. Raises what `complete` does."""
        self._fail(failure_of(error_details, error_code))

    def cancel(self) -> None:
        """End the run as canceled, if this object began it; else ask whoever runs it to do so.

        Raises:
            InvalidInput: it has ended otherwise.
            Unreachable: the run is another's, and the server does not answer.
        """
        if self._lease_seconds:
            self._end(Status.CANCELED, Cause.USER, "Canceled by the script.")
        else:
            self._session.reader().cancel(self._id)

    def flush(self, timeout_seconds: float = 300) -> None:
        """Wait until all that was logged is acknowledged, for a time; `health` says what is not."""
        self._writer.flush(timeout_seconds)

    def get_status(self) -> str:
        """Return the status as the server has it."""
        return self._fresh().status

    def get_details(self) -> dict[str, Any]:
        """Return what the server knows of the run, in azureml-core's fields."""
        return details_of(self._fresh())

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: str | None = None, populate: bool = False
    ) -> dict[str, Any]:
        """Return what was logged, of one name or all: once is a scalar, several times a list, a table a dictionary of columns.

        `recursive`: keyed by run id, with the descendants (of `run_type` only, if it is given) that logged anything.
        """
        del populate  # azureml-core's: artifact-backed values are whole here
        series = self._session.reader().metrics(self._id, name=name or "", recursive=recursive)
        if not recursive:
            return metrics_of(series)
        wanted = {self._id, *(run.id for run in self.get_children(recursive=True, type=run_type))}
        runs = dict.fromkeys(one.run_id for one in series if one.run_id in wanted)
        return {run_id: metrics_of(one for one in series if one.run_id == run_id) for run_id in runs}

    def get_children(
        self,
        recursive: bool = False,
        tags: str | Mapping[str, object] | None = None,
        properties: str | Mapping[str, object] | None = None,
        type: str | None = None,
        status: str | None = None,
    ) -> Iterator[Run]:
        """Go through the children, or all descendants; `tags` and `properties` are a key, or keys with values that must be there."""
        wanted = Matching(tags=tags, properties=properties, run_type=type, status=status)
        for view in filter(wanted.matches, self._session.reader().children(self._id, recursive=recursive)):
            yield Run(self._experiment, view.run_id, _view=view)

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> dict[str, Any]:
        """Wait until the run has ended and return its details; it counts as ended in Finalizing and CancelRequested already, unless
        `wait_post_processing`.

        Raises:
            RunFailed: it failed, and `raise_on_error`.
        """
        view = wait_until_done(
            self._session.reader(),
            self._id,
            output=sys.stdout.write if show_output else None,
            to_the_end=wait_post_processing,
            raise_on_error=raise_on_error,
            sleep=time.sleep,
        )
        return details_of(view)

    def get_portal_url(self) -> str:
        """Return the address of the run's page."""
        return f"{self._session.client.url}/runs/{self._id}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        del kind, trace
        if self._writer.ended is not None or os.getpid() != self._pid:
            return
        if isinstance(error, KeyboardInterrupt):
            self._end(Status.CANCELED, Cause.USER, "Interrupted by the user (KeyboardInterrupt).")
        elif error is not None and not is_success(error):
            self._fail(failure_of_exception(error))
        elif self._cancel_seen:
            self._end(Status.CANCELED, Cause.USER, "Canceled on request.")
        else:
            self._end(Status.COMPLETED)

    def __repr__(self) -> str:
        return f"Run(Experiment: {self._experiment.name}, Id: {self._id}, Status: {self._view.status if self._view else 'not read yet'})"

    def _end(self, status: Status, cause: Cause | None = None, message: str = "") -> None:
        self._writer.end(status, timeout_seconds=END_SECONDS, cause=cause, message=message)
        self._learn(status=str(status))

    def _fail(self, failure: Failure) -> None:
        self._writer.end(
            Status.FAILED,
            timeout_seconds=END_SECONDS,
            cause=failure.cause,
            message=failure.message,
            error=failure.envelope,
            evidence=failure.evidence,
        )
        self._learn(status=str(Status.FAILED))

    def _fresh(self) -> RunView:
        self._view = self._session.reader().get_run(self._id)
        return self._view

    def _known(self) -> RunView:
        return self._view or self._fresh()

    def _learn(self, **changes: Any) -> None:
        if self._view is not None:
            self._view = replace(self._view, **changes)
