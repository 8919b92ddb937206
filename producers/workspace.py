"""A workspace, as azureml-core's `Workspace`: experiments under one name on one server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runherald.errors import InvalidInput
from runherald.producers import arguments
from runherald.producers.allowed import allow
from runherald.producers.one_process import OfOneProcess

from .experiment import Experiment
from .run.run import Run, run_of
from .workspace_azure_only import WorkspaceAzureOnly

if TYPE_CHECKING:
    from runherald.producers.files.store import FileStore
    from runherald.producers.session import Session

    from .jobs.compute import ComputeTargets
    from .models.model import Model

CONFIG_FILES = ("config.json", ".azureml/config.json", "aml_config/config.json")


class Workspace(OfOneProcess, WorkspaceAzureOnly):
    """A workspace on a server. Without arguments: `default`, on RUNHERALD_URL.

    Subscription, resource group and the other parameters of azureml-core are taken, so that scripts run unchanged, and mean nothing here.

    Args:
        workspace_name: azureml-core's parameter; `name` says the same.
        url: of the server; RUNHERALD_URL when not given.
        token: that the server asks for; RUNHERALD_TOKEN when not given.
        log: `kafka://host:port,…` to write to Kafka directly; RUNHERALD_LOG when not given.
        files: where the files of runs are kept: a folder, or an address such as `s3://bucket/runs` (docs/files.md). RUNHERALD_FILES when
            not given, and without that `files` below RUNHERALD_HOME.

    Raises:
        InvalidInput: the name or an address cannot be taken, or a setting is wrong.
        Unsupported: a package that `files` needs is not installed.
    """

    _elsewhere = "send its name, and call Workspace(name=…) there"

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str | None = None,
        auth: object = None,
        sku: str = "basic",
        tags: Mapping[str, str] | None = None,
        *,
        name: str | None = None,
        url: str | None = None,
        token: str | None = None,
        log: str | None = None,
        files: str | os.PathLike[str] | None = None,
    ) -> None:
        # What sends is loaded with the first workspace: processes that import a script to work for it often make none.
        from runherald.producers.session import Destination, session_for
        from runherald.settings import load_settings

        del auth, sku  # azureml-core's
        if subscription_id and not (workspace_name or name):
            raise InvalidInput(
                "Workspace: workspace_name: is not given, and the first argument is Azure's subscription; call Workspace(name=…)"
            )
        settings = load_settings(
            overrides={"url": url, "token": token, "log": log, "workspace": name or workspace_name}, caller="Workspace"
        )
        allow(settings.limits)
        self._name = settings.workspace
        self._subscription_id = subscription_id or ""
        self._resource_group = resource_group or ""
        self._tags = dict(tags or {})
        self._lease_seconds = settings.lease_seconds
        self._provenance = settings.provenance
        self._compute = settings.compute
        to_kafka = settings.log if settings.log.startswith("kafka://") else ""
        home = settings.home.expanduser().absolute()
        self._files = str(home / "files") if not (files or settings.files) else _checked(files or settings.files)
        self._session = session_for(Destination(settings.url, settings.token, to_kafka, home))

    @staticmethod
    def from_config(path: str | os.PathLike[str] | None = None, auth: object = None) -> Workspace:
        """Return the workspace that Azure's `config.json` names, in `path` or the nearest folder above; `default` where there is none.

        Raises:
            InvalidInput: `path` was given and has no such file, or the file names no workspace.
        """
        del auth  # azureml-core's
        file = _find_config(None if path is None else Path(path))
        if file is None:
            return Workspace()
        try:
            config = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{file}: cannot be read as JSON ({error})") from None
        name = config.get("workspace_name")
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"{file}: workspace_name: is missing or no text; write the workspace's name there")
        return Workspace(config.get("subscription_id"), config.get("resource_group"), name)

    @staticmethod
    def get(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        cloud: str = "AzureCloud",
        id: str | None = None,
    ) -> Workspace:
        """Return a workspace by its name."""
        del auth, location, cloud, id  # azureml-core's
        return Workspace(subscription_id, resource_group, name)

    @staticmethod
    def create(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        sku: str = "basic",
        tags: Mapping[str, str] | None = None,
        **kwargs: object,
    ) -> Workspace:
        """Return a workspace by its name: it is there as soon as a run carries it, so that there is nothing to create."""
        del auth, location, create_resource_group, sku, kwargs  # azureml-core's
        return Workspace(subscription_id, resource_group, name, tags=tags)

    @property
    def name(self) -> str:
        """The workspace's name."""
        return self._name

    @property
    def subscription_id(self) -> str:
        """What was passed as subscription."""
        return self._subscription_id

    @property
    def resource_group(self) -> str:
        """What was passed as resource group."""
        return self._resource_group

    @property
    def location(self) -> str:
        """Always `local`: scripts print it beside the name."""
        return "local"

    @property
    def tags(self) -> dict[str, str]:
        """What was passed as tags. They are kept nowhere."""
        return dict(self._tags)

    @property
    def lease_seconds(self) -> float:
        """The lease of runs that say none (ours)."""
        return self._lease_seconds

    @property
    def provenance(self) -> bool:
        """Whether runs that begin record their git commit, command and the like (ours)."""
        return self._provenance

    @property
    def session(self) -> Session:
        """What sends and reads for this process (ours)."""
        return self._session

    @property
    def files(self) -> FileStore:
        """What keeps the files of runs (ours)."""
        from runherald.producers.files.address import store_at  # with the first file

        return store_at(self._files)

    @property
    def files_at(self) -> str:
        """Where the files of runs are kept, as it was given or set (ours)."""
        return self._files

    @property
    def compute_targets(self) -> ComputeTargets:
        """The compute targets, by name; `compute_targets.create(name, slots=2)` makes one (ours)."""
        from .jobs.compute import ComputeTargets, targets_of_settings  # with the first that is submitted

        return ComputeTargets(self, self._session.destination.home, targets_of_settings(self._compute))

    @property
    def experiments(self) -> dict[str, Experiment]:
        """The active experiments, by name."""
        return {experiment.name: experiment for experiment in Experiment.list(self)}

    @property
    def models(self) -> dict[str, Model]:
        """The newest version of each model, by name."""
        from .models.model import Model  # with the first that is asked for

        return {model.name: model for model in Model.list(self, latest=True)}

    def get_details(self) -> dict[str, object]:
        """Return what is known of the workspace, by azureml-core's keys."""
        return {"id": self._name, "name": self._name, "location": self.location, "workspaceUrl": self._session.address, "tags": self.tags}

    def write_config(self, path: str | os.PathLike[str] | None = None, file_name: str | None = None) -> None:
        """Write the `config.json` that `from_config` reads, to `.azureml` below a folder, by default the working folder.

        Raises:
            OSError: it cannot be written.
        """
        folder = Path(path or ".") / ".azureml"
        folder.mkdir(parents=True, exist_ok=True)
        known = {"subscription_id": self._subscription_id, "resource_group": self._resource_group, "workspace_name": self._name}
        (folder / (file_name or "config.json")).write_bytes(msgspec.json.format(msgspec.json.encode(known), indent=4) + b"\n")

    def get_run(self, run_id: str) -> Run:
        """Return a run by its id.

        Raises:
            NotFound: there is none.
            InvalidInput: the id can be no run's.
        """
        run_id = arguments.run_id(run_id)
        view = self._session.reader().get_run(run_id)
        return run_of(Experiment(self, view.experiment_name), view)

    def __repr__(self) -> str:
        return f"Workspace(Name: {self._name}, Url: {self._session.address})"


def _checked(files: str | os.PathLike[str]) -> str:
    from runherald.producers.files.address import checked_address  # where files go elsewhere than usual

    return checked_address(files)


def _find_config(path: Path | None) -> Path | None:
    if path is not None and path.is_file():
        return path
    start = (path or Path()).resolve()
    for folder in (start, *start.parents):
        for file in _config_files(folder):
            return file
    if path is not None:
        what = "has no config.json, nor has a folder above" if path.is_dir() else "there is no such file or folder"
        raise InvalidInput(f"{path}: {what}; write it as Azure's config.json, or call Workspace(name=…)")
    return None


def _config_files(folder: Path) -> Iterator[Path]:
    return (folder / name for name in CONFIG_FILES if (folder / name).is_file())
