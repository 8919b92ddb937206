"""How a script is run, as azureml-core's `RunConfiguration`, and the files that keep it: `.azureml/NAME.runconfig`.

A file may say much that means nothing here (containers, clusters); that is kept as it was, so that Azure ML can go on reading the file.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from runherald.errors import InvalidInput
from runherald.producers.errors import Unsupported

from .compute import LOCAL, ComputeTarget
from .environment import THIS_PYTHON, Environment

MAX_DURATION_SECONDS = 2_592_000
FOLDERS = (".azureml", "aml_config")
ENDING = ".runconfig"
_PLAIN = ("amlcompute", "auto_cluster_compute_specification", "credential_passthrough", "data", "data_references", "datacaches", "docker")
_PLAIN_MORE = ("hdi", "history", "kubernetescompute", "mpi", "output_data", "paralleltask", "priority", "pytorch", "services")
_PLAIN_LAST = ("source_directory_data_store", "spark", "tensorflow")
SECTIONS = (*_PLAIN, *_PLAIN_MORE, *_PLAIN_LAST)
"""Attributes of azureml-core that mean nothing here: what is set in them, or said by a file, is kept."""


class RunConfiguration:
    """What is run and where. Attributes that `SECTIONS` names are kept and mean nothing.

    Raises:
        Unsupported: packages are to be installed.
    """

    def __init__(
        self,
        script: str | None = None,
        arguments: Sequence[object] | None = None,
        framework: str | None = None,
        communicator: str | None = None,
        conda_dependencies: object = None,
        command: Sequence[str] | str | None = None,
    ) -> None:
        if conda_dependencies is not None:
            raise Unsupported(
                "RunConfiguration: conda_dependencies: nothing is installed here; set environment.python.interpreter_path to the Python of"
                " an environment that has the packages"
            )
        self.script = script
        self.arguments: Sequence[object] = [] if arguments is None else arguments
        self.command: Sequence[str] | str = "" if command is None else command
        self.framework = framework or "Python"
        self.communicator = communicator or "None"
        self.environment = Environment()
        self.max_run_duration_seconds: float | None = MAX_DURATION_SECONDS
        self.node_count = 1
        self.auto_prepare_environment = True
        self._target: str | ComputeTarget = LOCAL
        self._unknown: dict[str, Any] = {}
        for section in SECTIONS:
            setattr(self, section, SimpleNamespace())

    @property
    def target(self) -> str:
        """The name of the compute target. A target itself may be set."""
        return self._target.name if isinstance(self._target, ComputeTarget) else self._target

    @target.setter
    def target(self, target: str | ComputeTarget) -> None:
        name = getattr(target, "name", target)
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"run configuration: target is a {type(target).__name__}; pass a compute target or its name")
        self._target = name

    @property
    def environment_variables(self) -> dict[str, str]:
        """The variables of the environment. May be set."""
        return self.environment.environment_variables

    @environment_variables.setter
    def environment_variables(self, variables: dict[str, str]) -> None:
        self.environment.environment_variables = variables

    @staticmethod
    def load(path: str | Path, name: str | None = None) -> RunConfiguration:
        """Return what a file says: the file itself, or NAME of a project's folder.

        Raises:
            InvalidInput: there is no such file, or it cannot be read as one.
            Unsupported: the package PyYAML is not installed.
        """
        file = _existing(Path(path), name)
        try:
            document = _yaml().safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{file}: cannot be read ({error})") from None
        except _yaml().YAMLError as error:
            raise InvalidInput(f"{file}: is not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(document, dict):
            raise InvalidInput(f"{file}: is to hold keys and values, as RunConfiguration.save writes them")
        return _from_document(file, cast("dict[str, Any]", document))

    def save(self, path: str | Path | None = None, name: str | None = None, separate_environment_yaml: bool = False) -> None:
        """Write `.azureml/NAME.runconfig` below a project's folder, by default the working folder, or the file that `path` names.

        Raises:
            InvalidInput: no name is given, and the path is no file's.
            Unsupported: the package PyYAML is not installed.
            OSError: it cannot be written.
        """
        del separate_environment_yaml  # azureml-core's: what an environment is here goes into the one file
        target = Path(path or ".")
        if target.suffix != ENDING:
            if not name:
                raise InvalidInput("RunConfiguration.save: pass name=, or the path of a file that ends in .runconfig")
            target = target / FOLDERS[0] / f"{name}{ENDING}"
        text = _yaml().safe_dump(self._document(), sort_keys=False, allow_unicode=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    @staticmethod
    def delete(path: str | Path, name: str) -> None:
        """Remove NAME of a project's folder.

        Raises:
            InvalidInput: there is none.
        """
        _existing(Path(path), name).unlink()

    def keep(self, document: dict[str, Any]) -> None:
        """Keep what a file says beside what has a meaning here, for the next `save` (ours)."""
        self._unknown = document

    def _document(self) -> dict[str, Any]:
        environment = self.environment
        known = {
            "script": self.script or "",
            "command": self.command if isinstance(self.command, str) else [str(part) for part in self.command],
            "arguments": [str(argument) for argument in self.arguments],
            "target": self.target,
            "framework": self.framework,
            "communicator": self.communicator,
            "maxRunDurationSeconds": self.max_run_duration_seconds,
            "nodeCount": self.node_count,
            "environment": {
                **cast("dict[str, Any]", self._unknown.get("environment") or {}),
                "name": environment.name or None,
                "version": environment.version,
                "environmentVariables": environment.variables(),
                "python": {
                    **cast("dict[str, Any]", (self._unknown.get("environment") or {}).get("python") or {}),
                    "interpreterPath": environment.python.interpreter_path,
                    "userManagedDependencies": environment.python.user_managed_dependencies,
                },
            },
        }
        return {**self._unknown, **self._sections(), **known}

    def _sections(self) -> dict[str, Any]:
        """Return what was set in sections, upon what the file had."""
        written: dict[str, Any] = {}
        for name in SECTIONS:
            section = getattr(self, name)
            if not isinstance(section, SimpleNamespace):
                written[_camel(name)] = section
            elif vars(section):
                of_file = cast("dict[str, Any]", self._unknown.get(_camel(name)) or {})
                written[_camel(name)] = {**of_file, **{_camel(key): value for key, value in vars(section).items()}}
        return written


def _from_document(file: Path, document: dict[str, Any]) -> RunConfiguration:
    arguments = document.get("arguments") or []
    if isinstance(arguments, str):
        arguments = shlex.split(arguments)
    config = RunConfiguration(
        script=_text(file, "script", document.get("script")) or None,
        arguments=_list(file, "arguments", arguments),
        framework=_text(file, "framework", document.get("framework")),
        communicator=_text(file, "communicator", document.get("communicator")),
        command=document.get("command") or None,
    )
    config.target = _text(file, "target", document.get("target")) or LOCAL
    config.max_run_duration_seconds = _number(file, "maxRunDurationSeconds", document.get("maxRunDurationSeconds"))
    config.node_count = int(_number(file, "nodeCount", document.get("nodeCount")) or 1)
    environment = _table(file, "environment", document.get("environment"))
    config.environment = Environment(_text(file, "environment.name", environment.get("name")) or None)
    config.environment.environment_variables = _table(file, "environment.environmentVariables", environment.get("environmentVariables"))
    python = _table(file, "environment.python", environment.get("python"))
    config.environment.python.interpreter_path = (
        _text(file, "environment.python.interpreterPath", python.get("interpreterPath")) or THIS_PYTHON
    )
    config.keep(document)
    return config


def _existing(path: Path, name: str | None) -> Path:
    if path.is_file():
        return path
    places = [path / folder / f"{name}{ENDING}" for folder in FOLDERS] if name else []
    for place in (*places, path / f"{name}{ENDING}"):
        if place.is_file():
            return place
    raise InvalidInput(f"{path}: has no {name or 'NAME'}{ENDING}, nor has its .azureml; RunConfiguration.save writes one")


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise Unsupported(
            "RunConfiguration: files are YAML, and the package PyYAML is not installed; `pip install runherald[cli]`"
        ) from None
    return yaml


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _text(file: Path, key: str, value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise InvalidInput(f"{file}: {key}: is a {type(value).__name__}; write a text")


def _number(file: Path, key: str, value: object) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0):
        return value
    raise InvalidInput(f"{file}: {key}: is a {type(value).__name__}; write a number, 0 or above")


def _list(file: Path, key: str, value: object) -> list[object]:
    if isinstance(value, list):
        return cast("list[object]", value)
    raise InvalidInput(f"{file}: {key}: is a {type(value).__name__}; write a list")


def _table(file: Path, key: str, value: object) -> dict[str, Any]:
    if value is None or isinstance(value, dict):
        return cast("dict[str, Any]", value or {})
    raise InvalidInput(f"{file}: {key}: is a {type(value).__name__}; write keys and values")
