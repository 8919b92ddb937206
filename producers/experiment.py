"""An experiment, as azureml-core's `Experiment`: runs under one name."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

from runherald.api import RunView
from runherald.clock import system_clock
from runherald.errors import InvalidEvent, InvalidInput, RunheraldError
from runherald.identifiers import new_run_id
from runherald.producers import arguments
from runherald.producers.allowed import allowed
from runherald.producers.errors import NotFound, Unsupported
from runherald.producers.experiment_record import ExperimentRecord, record_id
from runherald.producers.one_process import OfOneProcess
from runherald.producers.origin import check_lease, new_header
from runherald.producers.server.run_views import Matching, Wanted, matching
from runherald.validation import check_experiment_name

from .run.identity import Outputs
from .run.left_open import fail_if_left_open
from .run.run import Run, run_of

if TYPE_CHECKING:
    from runherald.producers.server.sql_questions import ExperimentRow

    from .jobs.script_run import ScriptRun
    from .workspace import Workspace

VIEW_TYPES = ("ActiveOnly", "ArchivedOnly", "All")


class Experiment(OfOneProcess):
    """An experiment of a workspace. It comes into being with its first run.

    What is said of the experiment itself (`tag`, `archive`) stands in the journal when the call returns, as with a run.

    Raises:
        InvalidInput: the name cannot be taken: 1 to 255 characters, of which the first is a letter or digit.
    """

    _elsewhere = "send its name, and call Experiment(Workspace(name=…), name) there"

    def __init__(self, workspace: Workspace, name: str, **kwargs: object) -> None:
        del kwargs  # azureml-core's internal ones
        if not hasattr(workspace, "session"):
            raise InvalidInput(f"experiment: the workspace is a {type(workspace).__name__}; pass a Workspace, first of all")
        if not isinstance(name, str):
            raise InvalidInput(f"experiment: the name is a {type(name).__name__}; pass a text")
        try:
            check_experiment_name("experiment", name, allowed())
        except InvalidEvent as error:
            raise InvalidInput(str(error)) from None
        self._workspace = workspace
        self._name = name
        self._what = f"experiment {name!r}"
        self._record = ExperimentRecord(workspace.session, workspace=workspace.name, experiment=name)
        self._known: RunView | None = None

    @staticmethod
    def list(
        workspace: Workspace,
        experiment_name: str | None = None,
        view_type: str = "ActiveOnly",
        tags: Wanted = None,
    ) -> builtins.list[Experiment]:
        """Return the experiments of a workspace, by name: those that are active, `ArchivedOnly`, or `All`; perhaps of one name, or with
        tags (a key, or keys with values that must be there).

        Raises:
            InvalidInput: the view type is another one.
        """
        if view_type not in VIEW_TYPES:
            raise InvalidInput(f"view_type: is none of {', '.join(VIEW_TYPES)}")
        wanted = matching("Experiment.list", tags=tags)
        found = []
        for row in _rows(workspace):
            if experiment_name not in (None, row.name) or (view_type != "All" and bool(row.archived_time) != (view_type == "ArchivedOnly")):
                continue
            experiment = Experiment(workspace, row.name)
            if tags is None or wanted.matches_tags(experiment.tags):
                found.append(experiment)
        return found

    @staticmethod
    def delete(workspace: Workspace, experiment_id: str) -> None:
        """Delete an experiment that has no runs.

        Raises:
            InvalidInput: it has runs, which are kept; archive it.
            NotFound: there is none of that id.
        """
        for row in _rows(workspace):
            if record_id(workspace.name, row.name) != experiment_id:
                continue
            if row.runs:
                raise InvalidInput(f"experiment {row.name!r}: has {row.runs} runs, and history is kept; call archive() to hide it")
            return  # what has no runs is not there
        raise NotFound(f"experiment_id: the workspace {workspace.name!r} has none of that id; see Experiment.list")

    @staticmethod
    def from_directory(path: str, auth: object = None) -> NoReturn:
        """Say how to come by the experiment of a folder."""
        del path, auth
        raise Unsupported("Experiment.from_directory: folders belong to no experiment; call Experiment(Workspace.from_config(path), name)")

    @classmethod
    def get_docs_url(cls) -> NoReturn:
        """Say where the documentation is."""
        raise Unsupported("Experiment.get_docs_url: the documentation has no address; call help(Experiment), or read docs/sdk-members.md")

    @property
    def id(self) -> str:
        """The experiment's id, made of its workspace and name."""
        return self._record.id

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self._name

    @property
    def workspace(self) -> Workspace:
        """The workspace that it is in."""
        return self._workspace

    @property
    def workspace_object(self) -> Workspace:
        """The workspace that it is in: its older name."""
        return self._workspace

    @property
    def archived_time(self) -> datetime | None:
        """Since when the experiment is archived; None while it is active."""
        view = self._read()
        return datetime.fromisoformat(text) if view and (text := view.params.get("archived_time", "")) else None

    @property
    def tags(self) -> dict[str, str | None]:
        """The experiment's own tags as this object knows them; `refresh` asks the server again."""
        view = self._read()
        return dict(view.tags) if view else {}

    def tag(self, key: str, value: object = None) -> None:
        """Set a tag of the experiment; without a value it is a flag.

        Raises:
            InvalidInput: key or value cannot be taken.
        """
        self.set_tags({arguments.tag_key(self._what, key): value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags of the experiment; others stay. Raises what `tag` does."""
        texts = arguments.tags(self._what, tags)
        if self._known is not None and len({**self._known.tags, **texts}) > allowed().tags:
            raise InvalidInput(f"{self._what}: tags: there would be more than {allowed().tags} of them; remove some with remove_tags")
        self._record.say(tags=texts)
        self._known = None

    def remove_tags(self, tags: str | Sequence[str]) -> None:
        """Remove tags of the experiment by their keys."""
        self._record.say(tags_removed=arguments.tag_keys(self._what, tags))
        self._known = None

    def archive(self) -> None:
        """Hide the experiment from `Experiment.list`. Its runs stay where they are, and may go on."""
        self._record.say(archived_time=system_clock().isoformat())
        self._known = None

    def reactivate(self, new_name: str | None = None) -> None:
        """Show the experiment in `Experiment.list` again.

        Raises:
            InvalidInput: a new name is given; an experiment keeps its name.
        """
        if new_name is not None:
            raise InvalidInput(f"{self._what}: new_name: an experiment keeps its name; call reactivate() without one")
        self._record.say(archived_time="")
        self._known = None

    def refresh(self) -> None:
        """Forget what is known of tags and archiving: it is read again when it is asked for."""
        self._known = None

    def get_portal_url(self) -> str:
        """Return the address of the page with the experiment's runs."""
        return f"{self._workspace.session.client.url}/?experiment={quote(self._name, safe='')}"

    def submit(self, config: object, tags: Mapping[str, object] | None = None, **kwargs: object) -> ScriptRun:
        """Run a script, or a command, on a compute target: `config` is a `ScriptRunConfig`. Returns when the run is queued.

        `show_output=True`: returns when it has ended, and prints what it prints.

        Raises:
            InvalidInput: configuration, target or a tag cannot be taken; then there is no run.
            RunFailed: it could not be handed to a runner; or, with `show_output`, the run failed.
        """
        return submitted(self, config, tags=tags, options=kwargs)

    def start_logging(
        self,
        *args: object,
        run_id: str | None = None,
        display_name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, object] | None = None,
        lease_seconds: float | None = None,
        outputs: Outputs = None,
        snapshot_directory: str | os.PathLike[str] | bool | None = None,
        resume: bool | str | None = None,
        system_metrics: bool | float = False,
        provenance: bool | None = None,
        **kwargs: object,
    ) -> Run:
        """Begin a run in this process, and return it Running.

        `lease_seconds` (ours): how long it may be silent before it counts as not responding; RUNHERALD_LEASE_SECONDS when not given.
        `outputs`: a folder of which the files are kept when the run ends. `snapshot_directory`: a folder of code that is kept now, as
        `Run.take_snapshot` does. Neither has a default as in azureml-core: what is copied is what was said (docs/files.md).
        `resume` (ours): True, or `allow`, goes on with the run of that id, where there is one: with its next attempt if it has ended, and
        with each metric at the step after the last, as far as the server or the journals of this machine know; `must` begins none. Names,
        description, tags and snapshot are those of the beginning.
        `system_metrics` (ours): log what machine and processes take, every 10 s or so many seconds (`Run.track_system`).
        `provenance` (ours): record git commit, command and the like as properties, a moment later; the setting when not given.

        Raises:
            InvalidInput: a name, id or tag cannot be taken, an argument is unknown, a folder cannot be taken, or the machine cannot be
                sampled so; no run is begun.
            OSError, or InvalidInput of a file: the snapshot cannot be kept; the run that was begun is Failed.
            NotFound: there is no such run, and `resume` is `must`.
            Unreachable: `resume` is `must`, and nobody knows whether there is one.
        """
        if kwargs:
            raise InvalidInput(f"start_logging: does not know the argument {min(kwargs)!r}")
        del args  # azureml-core takes and ignores them
        sample_seconds = _sample_seconds(system_metrics)
        if resume and (known := self._resumed(resume, run_id, lease_seconds, outputs)) is not None:
            fail_if_left_open(known)
            return self._accompanied(known, sample_seconds, provenance=False)
        code = _snapshot_of(snapshot_directory)
        run = self.begin_run(
            run_id=run_id,
            display_name=display_name or "",
            description=description,
            tags={} if tags is None else tags,
            lease_seconds=lease_seconds,
            outputs=outputs,
        )
        if code is not None:
            try:
                run.keep_snapshot(*code)
            except (RunheraldError, OSError) as error:
                run.fail(error)
                raise
        return self._accompanied(run, sample_seconds, provenance=self._workspace.provenance if provenance is None else provenance)

    def _accompanied(self, run: Run, sample_seconds: float | None, *, provenance: bool) -> Run:
        if provenance:
            run.record_provenance()
        if sample_seconds is not None:
            run.track_system(sample_seconds)
        return run

    def begin_run(
        self,
        *,
        run_id: str | None = None,
        parent: Run | None = None,
        display_name: str = "",
        description: str | None = None,
        tags: Mapping[str, object] = MappingProxyType({}),
        lease_seconds: float | None = None,
        kind: type[Run] = Run,
        outputs: Outputs = None,
    ) -> Run:
        """Begin a run, perhaps below another (ours; what `start_logging` and `Run.child_run` share). Raises what `start_logging` does.

        `kind`: the class of the object.
        """
        run = kind(
            self,
            new_run_id() if run_id is None else run_id,
            outputs,
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
        fail_if_left_open(run)
        return run

    def get_runs(
        self,
        type: str | None = None,
        tags: Wanted = None,
        properties: Wanted = None,
        include_children: bool = False,
    ) -> Iterator[Run]:
        """Go through the runs, newest first; `tags` and `properties` are a key, or keys with values that must be there.

        Raises:
            InvalidInput: what is wanted is of a wrong type.
        """
        wanted = matching(f"{self._what}: get_runs", tags=tags, properties=properties, run_type=type)
        return self.matching_runs(wanted, include_children=include_children)

    def matching_runs(self, wanted: Matching, *, include_children: bool) -> Iterator[Run]:
        """Go through the runs that are wanted, newest first (ours; what `get_runs` and `Run.list` share)."""
        client = self._workspace.session.reader()
        views = client.runs(experiment=self._name, status=wanted.status or "", root_only=not include_children, tag=wanted.tag_parameter)
        for view in views:
            if view.workspace == self._workspace.name and wanted.matches(view):
                yield run_of(self, view)

    def __repr__(self) -> str:
        return f"Experiment(Name: {self._name}, Workspace: {self._workspace.name})"

    def _resumed(self, resume: bool | str, run_id: str | None, lease_seconds: float | None, outputs: Outputs) -> Run | None:
        from .run.resume import known_run, wanted  # what begins runs anew knows nothing of it

        must = wanted(resume, run_id) == "must"
        lease = check_lease(self._workspace.lease_seconds if lease_seconds is None else lease_seconds)
        run = Run(self, run_id or "", outputs, _lease_seconds=lease)
        known = known_run(self._workspace.session, self._workspace.name, self._name, run.id, must=must)
        if known is None:
            return None
        run.resume(known)
        return run

    def _read(self) -> RunView | None:
        if self._known is None:
            self._known = self._record.read()
        return self._known


def _sample_seconds(system_metrics: bool | float) -> float | None:
    """Return how often to sample the machine, None for never. What cannot be is refused before there is a run."""
    if system_metrics is False:
        return None
    from runherald.producers.machine.sampler import INTERVAL_SECONDS  # with the first run that is tracked
    from runherald.producers.machine.tracking import check_sampling

    return check_sampling(INTERVAL_SECONDS if system_metrics is True else system_metrics)


def _snapshot_of(folder: object) -> tuple[str, bytes] | None:
    if folder is None or folder is False:
        return None
    if not isinstance(folder, (str, os.PathLike)):
        raise InvalidInput(f"start_logging: snapshot_directory is a {type(folder).__name__}; pass a folder's path, or None for none")
    from runherald.producers.files.snapshot import snapshot  # with the first one

    return snapshot("start_logging: snapshot_directory", Path(os.fsdecode(folder)))


def _rows(workspace: Workspace) -> Iterator[ExperimentRow]:
    from runherald.producers.server.sql_questions import experiments  # what logs asks nothing

    return experiments(workspace.session.reader(), workspace.name)


def submitted(
    experiment: Experiment, config: object, *, tags: Mapping[str, object] | None, options: Mapping[str, object], parent: Run | None = None
) -> ScriptRun:
    """Submit a configuration, and wait for the run's end if that is asked for: what `Experiment.submit` and `Run.submit_child` share."""
    from .jobs.submission import submit  # what logs submits nothing

    unknown = sorted(set(options) - {"show_output"})
    if unknown:
        raise InvalidInput(f"submit: does not know the argument {unknown[0]!r}")
    run = submit(experiment, config, tags=tags, parent=parent)
    if options.get("show_output"):
        run.wait_for_completion(show_output=True, wait_post_processing=True)
    return run
