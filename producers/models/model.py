"""A model, as azureml-core's `Model`: files under a name and a number. What it has no meaning for here is not there (docs/models.md)."""

from __future__ import annotations

import builtins
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from msgspec.structs import replace

from runherald.errors import InvalidInput
from runherald.producers import arguments
from runherald.producers.allowed import allowed
from runherald.producers.errors import NotFound, Unsupported
from runherald.producers.files.names import place_below
from runherald.producers.files.store import fetch
from runherald.producers.models.names import Wanted, has, model_version, name_and_version, wanted
from runherald.producers.models.names import model_name as checked_name
from runherald.producers.models.record import FRAMEWORK, FRAMEWORK_VERSION, OURS, PATH, RUN_ID, ModelRecord
from runherald.producers.server.sql_questions import ModelRow, models, outputs

from .registration import described, files_of_machine, own_properties, register

if TYPE_CHECKING:
    from ..run.run import Run
    from ..workspace import Workspace


class Model:
    """A version of a model of a workspace: `Model(workspace, "digits-net")` is the latest, `version=3` or `id="digits-net:3"` that one.

    Without a version the filters count, too: `tags` and `properties` as `['key', ['key2', 'value']]`, `run_id`, `model_framework`.

    Raises:
        InvalidInput: neither name nor id is given, or one can be no model's.
        NotFound: there is none.
        Unreachable: no server answers.
    """

    class Framework:
        """Names of frameworks."""

        CUSTOM = "Custom"
        TENSORFLOW = "TensorFlow"
        SCIKITLEARN = "ScikitLearn"
        ONNX = "Onnx"
        TFKERAS = "TfKeras"

    def __init__(
        self,
        workspace: Workspace,
        name: str | None = None,
        id: str | None = None,
        tags: object = None,
        properties: object = None,
        version: int | str | None = None,
        run_id: str | None = None,
        model_framework: str | None = None,
        expand: bool = True,
        *,
        _row: ModelRow | None = None,
        **kwargs: object,
    ) -> None:
        del expand, kwargs  # azureml-core's: nothing more is read
        _check_workspace("Model", workspace)
        self._workspace = workspace
        if _row is None:
            number: int | None = None
            if id is not None:
                name, number = name_and_version("Model", id)
            elif name is None:
                raise InvalidInput("Model: neither name nor id is given; pass the model's name, or see Model.list")
            elif version is not None:
                number = model_version("Model", version)
            name = checked_name("Model", name)
            filters = _Filters(tags, properties, run_id, model_framework) if number is None else _Filters()
            found = [row for row in models(workspace.session.reader(), workspace.name, name, number) if filters.take(row)]
            if not found:
                which = "version of it that is wanted" if number is None else f"version {number} of it"
                raise NotFound(f"model {name!r}: the workspace {workspace.name!r} has no {which}; see Model.list")
            _row = max(found, key=lambda row: row.version)
        self._row = _row
        self._what = f"model {self.id!r}"
        self._record = ModelRecord(workspace.session, workspace=workspace.name, name=_row.name, version=_row.version)

    @staticmethod
    def register(
        workspace: Workspace,
        model_path: str | os.PathLike[str],
        model_name: str,
        tags: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
        description: str | None = None,
        datasets: object = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        child_paths: Sequence[str] | None = None,
        sample_input_dataset: object = None,
        sample_output_dataset: object = None,
        resource_configuration: object = None,
    ) -> Model:
        """Register a file of this machine, or all files below a folder, as the next version of a model. They are copied to where the
        workspace keeps files. `child_paths`: of the folder, only these.

        Raises:
            InvalidInput: name, path, tags, properties or description cannot be taken; nothing is registered.
            Unreachable: no server answers, so nobody knows which version is next, or whether this one is taken.
            OSError: a file cannot be copied.
        """
        what = "Model.register"
        _check_workspace(what, workspace)
        name = checked_name(what, model_name)
        if not isinstance(model_path, (str, os.PathLike)) or not os.fspath(model_path):
            raise InvalidInput(f"{what}: model_path: is a {type(model_path).__name__}; pass the path of a file or folder")
        path = Path(os.fsdecode(model_path)).absolute()
        told = described(
            what,
            path=path.name,
            tags=tags,
            properties=properties,
            description=description,
            framework=model_framework,
            framework_version=model_framework_version,
            without={
                "datasets": datasets,
                "sample_input_dataset": sample_input_dataset,
                "sample_output_dataset": sample_output_dataset,
                "resource_configuration": resource_configuration,
            },
        )
        keep = files_of_machine(what, workspace, path, child_paths)
        return Model(workspace, name, version=register(workspace, name, told, keep))

    @staticmethod
    def list(
        workspace: Workspace,
        name: str | None = None,
        tags: object = None,
        properties: object = None,
        run_id: str | None = None,
        latest: bool = False,
        dataset_id: str | None = None,
        expand: bool = True,
        page_count: int = 255,
        model_framework: str | None = None,
    ) -> builtins.list[Model]:
        """Return versions of models, newest first: of one name, of a run, with tags or properties (`['key', ['key2', 'value']]`).

        `latest`: of each name the greatest version only.

        Raises:
            InvalidInput: what is wanted is of a wrong type.
            Unreachable: no server answers.
        """
        del expand, page_count  # azureml-core's: nothing more is read, and all of it
        _check_workspace("Model.list", workspace)
        if dataset_id is not None:
            raise Unsupported("Model.list: dataset_id: there are no datasets here; name them in tags, and pass tags=")
        filters = _Filters(tags, properties, run_id, model_framework)
        name = None if name is None else checked_name("Model.list", name)
        rows = builtins.list(models(workspace.session.reader(), workspace.name, name))
        if latest:
            greatest: dict[str, int] = {}
            for row in rows:
                greatest[row.name] = max(row.version, greatest.get(row.name, 0))
            rows = [row for row in rows if row.version == greatest[row.name]]
        rows.sort(key=lambda row: (row.created_micros, row.name, row.version), reverse=True)
        return [Model(workspace, _row=row) for row in rows if filters.take(row)]

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: object = None) -> NoReturn:
        """Say how to come by the files of a model."""
        del model_name, version, _workspace
        raise Unsupported("Model.get_model_path: no models are cached here; call Model(workspace, name).download(folder), which returns it")

    @property
    def name(self) -> str:
        """The model's name."""
        return self._row.name

    @property
    def version(self) -> int:
        """The number of this version; the first is 1. A number may be left out, where a registration broke off."""
        return self._row.version

    @property
    def id(self) -> str:
        """`name:version`."""
        return f"{self._row.name}:{self._row.version}"

    @property
    def workspace(self) -> Workspace:
        """The workspace that it is in."""
        return self._workspace

    @property
    def run_id(self) -> str | None:
        """The run whose files they are; None for files of a machine."""
        return self._row.properties.get(RUN_ID)

    @property
    def run(self) -> Run | None:
        """The run whose files they are; None for files of a machine. Asks the server."""
        return None if self.run_id is None else self._workspace.get_run(self.run_id)

    @property
    def created_time(self) -> datetime:
        """When it was registered."""
        return self._row.created_time

    @property
    def description(self) -> str:
        """What it is about; `update` changes it."""
        return self._row.description

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags as this object knows them."""
        return dict(self._row.tags)

    @property
    def properties(self) -> dict[str, str]:
        """The properties, which are written once, as this object knows them."""
        return {key: text for key, text in self._row.properties.items() if not key.startswith(OURS)}

    @property
    def model_framework(self) -> str | None:
        """What it was said to be made with."""
        return self._row.properties.get(FRAMEWORK)

    @property
    def model_framework_version(self) -> str | None:
        """Which version of that."""
        return self._row.properties.get(FRAMEWORK_VERSION)

    def download(self, target_dir: str | os.PathLike[str] = ".", exist_ok: bool = False, exists_ok: bool | None = None) -> str:
        """Copy the files below a folder, and return the path of the file, or of the folder that all of them are in.

        Raises:
            InvalidInput: there is a file already, and `exist_ok` is false; or a content is not what was registered.
            NotFound: a file lies where this machine cannot read, or history does not have all of them yet.
            OSError: one cannot be written.
        """
        rows = builtins.list(outputs(self._workspace.session.reader(), self._row.record_id))
        if len(rows) != self._row.files:
            raise NotFound(f"{self._what}: history has {len(rows)} of its {self._row.files} files; ask again in a moment")
        above = self._row.properties.get(PATH, "").rpartition("/")[0]
        targets = [place_below(Path(target_dir), row.path.removeprefix(f"{above}/") if above else row.path) for row in rows]
        there = [target for target in targets if target.exists()]
        if there and not (exist_ok or exists_ok):
            raise InvalidInput(f"{self._what}: download: {there[0]} is there already; pass exist_ok=True to replace it")
        store = self._workspace.files
        for row, target in zip(rows, targets, strict=True):
            fetch(store, self.run_id or self._row.record_id, row.path, row.uri, row.sha256, target)
        return os.path.commonpath(targets)

    def add_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags; others stay.

        Raises:
            InvalidInput: one cannot be taken, or there would be too many.
        """
        self.update_tags_properties(add_tags=tags)

    def remove_tags(self, tags: str | Sequence[str]) -> None:
        """Remove tags by their keys."""
        self.update_tags_properties(remove_tags=tags)

    def add_properties(self, properties: Mapping[str, object]) -> None:
        """Add properties, which are written once.

        Raises:
            InvalidInput: one has another value already, or cannot be taken, or there would be too many.
        """
        self.update_tags_properties(add_properties=properties)

    def update_tags_properties(
        self,
        add_tags: Mapping[str, object] | None = None,
        remove_tags: str | Sequence[str] | None = None,
        add_properties: Mapping[str, object] | None = None,
    ) -> None:
        """Do what `add_tags`, `remove_tags` and `add_properties` do, in one."""
        removed = arguments.tag_keys(self._what, remove_tags or ())
        added = arguments.tags(self._what, add_tags or {})
        texts = own_properties(self._what, add_properties or {})
        tags = {key: value for key, value in {**self._row.tags, **added}.items() if key not in removed}
        if len(tags) > allowed().tags:
            raise InvalidInput(f"{self._what}: tags: there would be {len(tags)} of them; at most {allowed().tags} are kept: remove some")
        for key, text in texts.items():
            if self._row.properties.get(key, text) != text:
                raise InvalidInput(f"{self._what}: property {key!r} has another value already; properties are written once: use a tag")
        if (count := len({**self.properties, **texts})) > allowed().properties:
            raise InvalidInput(f"{self._what}: properties: there would be {count} of them; at most {allowed().properties} are kept")
        self._record.update(tags=added, tags_removed=removed, properties=texts)
        self._row = replace(self._row, tags=tags, properties={**self._row.properties, **texts})

    def update(
        self,
        tags: Mapping[str, object] | None = None,
        description: str | None = None,
        sample_input_dataset: object = None,
        sample_output_dataset: object = None,
        resource_configuration: object = None,
    ) -> None:
        """Give it these tags in place of those that it has, and this description.

        Raises:
            InvalidInput: one cannot be taken.
        """
        if not (sample_input_dataset is None and sample_output_dataset is None and resource_configuration is None):
            raise Unsupported(f"{self._what}: update: there are no datasets and no deployments here; pass tags and description alone")
        known = self._row
        texts = known.tags if tags is None else arguments.tags(self._what, tags)
        text = known.description if description is None else arguments.description(self._what, description)
        gone = tuple(key for key in known.tags if key not in texts)
        self._record.update(tags={} if tags is None else texts, tags_removed=gone, description=description and text)
        self._row = replace(known, tags=texts, description=text)

    def delete(self) -> NoReturn:
        """Say what to do with a model that is not to be used."""
        raise Unsupported(f"{self._what}: delete: history is kept; say with a tag that it is not to be used")

    def __repr__(self) -> str:
        return f"Model(Name: {self.name}, Version: {self.version}, Workspace: {self._workspace.name})"


class _Filters:
    """Which versions are wanted."""

    def __init__(self, tags: object = None, properties: object = None, run_id: str | None = None, framework: str | None = None) -> None:
        self._tags: Wanted = wanted("tags", tags)
        self._properties: Wanted = wanted("properties", properties)
        self._properties += [(key, text) for key, text in ((RUN_ID, run_id), (FRAMEWORK, framework)) if text is not None]

    def take(self, row: ModelRow) -> bool:
        """Say whether a version is wanted."""
        return has(row.tags, self._tags) and has(row.properties, self._properties)


def _check_workspace(what: str, workspace: object) -> None:
    if not hasattr(workspace, "session"):
        raise InvalidInput(f"{what}: the workspace is a {type(workspace).__name__}; pass a Workspace, first of all")
