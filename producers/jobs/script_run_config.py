"""What is submitted, as azureml-core's `ScriptRunConfig`: a folder of code, and what of it is run where."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from copy import copy
from pathlib import Path

from runherald.errors import InvalidInput
from runherald.producers.errors import Unsupported

from .compute import ComputeTarget
from .environment import Environment
from .run_configuration import MAX_DURATION_SECONDS, RunConfiguration

SHELL = ("/bin/sh", "-c")


class ScriptRunConfig:
    """A script with its arguments, or a command, in a folder of code.

    Args:
        source_directory: a copy of it is what runs: later changes to it do not count. What `.amlignore`, else `.gitignore`, names is left
            out.
        script: a file below it, run with the environment's Python.
        arguments: of the script; values become texts.
        run_config: says the rest; the parameters below win over it.
        compute_target: a target or its name; `local` when nothing is said.
        environment: the Python and its variables.
        max_run_duration_seconds: after so long it is cancelled; None or 0 for never.
        command: instead of a script: a list of program and arguments, or a text that the shell reads.

    Raises:
        InvalidInput: script and command are both given, or neither, or one is not there.
        Unsupported: it asks for several machines, containers, or a resume.
    """

    MAX_DURATION_SECONDS_DEFAULT = MAX_DURATION_SECONDS

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        script: str | None = None,
        arguments: Sequence[object] | None = None,
        run_config: RunConfiguration | None = None,
        _telemetry_values: object = None,
        compute_target: str | ComputeTarget | None = None,
        environment: Environment | None = None,
        distributed_job_config: object = None,
        resume_from: object = None,
        max_run_duration_seconds: float | None = MAX_DURATION_SECONDS,
        command: Sequence[object] | str | None = None,
        docker_runtime_config: object = None,
    ) -> None:
        del _telemetry_values  # azureml-core's
        _refuse("distributed_job_config", distributed_job_config, "one process is started; let the script start others")
        _refuse("resume_from", resume_from, "pass the path of the checkpoint as an argument")
        _refuse("docker_runtime_config", docker_runtime_config, "nothing runs in containers; leave it out")
        if run_config is not None and not isinstance(run_config, RunConfiguration):
            raise InvalidInput(f"ScriptRunConfig: run_config is a {type(run_config).__name__}; pass a RunConfiguration")
        overridden = compute_target is not None or environment is not None or max_run_duration_seconds != MAX_DURATION_SECONDS
        # Another config may be made of it: what is said here is said of this one alone.
        given = copy(run_config) if run_config and overridden else run_config or RunConfiguration()
        self.source_directory = _folder(source_directory)
        self.script = script if script is not None or command is not None else given.script
        self.arguments = list(given.arguments if arguments is None else _several("arguments", arguments))
        self.command: Sequence[object] | str = (given.command if script is None else "") if command is None else command
        self.run_config = given
        if compute_target is not None:
            given.target = compute_target
        if environment is not None:
            if not isinstance(environment, Environment):
                raise InvalidInput(f"ScriptRunConfig: environment is a {type(environment).__name__}; pass an Environment")
            given.environment = environment
        if max_run_duration_seconds != MAX_DURATION_SECONDS:
            given.max_run_duration_seconds = _seconds(max_run_duration_seconds)
        self._check()

    @property
    def program(self) -> tuple[str, ...]:
        """The program and its arguments, to be run in a copy of the folder (ours)."""
        arguments = tuple(_text("arguments", argument) for argument in self.arguments)
        if isinstance(self.command, str) and self.command:
            return (*SHELL, f"{self.command} {shlex.join(arguments)}".rstrip())
        if self.command:
            return (*(_text("command", part) for part in self.command), *arguments)
        return (self.run_config.environment.interpreter(), str(self.script), *arguments)

    @property
    def script_name(self) -> str:
        """What is run, in a word: the script, or the command's program (ours)."""
        if self.script:
            return self.script
        first = shlex.split(self.command)[:1] if isinstance(self.command, str) else list(self.command)[:1]
        return Path(str(first[0])).name if first else ""

    def _check(self) -> None:
        if bool(self.script) == bool(self.command):
            raise InvalidInput("ScriptRunConfig: pass either script, a file below source_directory, or command")
        if self.script and not (self.source_directory / self.script).is_file():
            raise InvalidInput(f"ScriptRunConfig: script: {self.source_directory} has no file {self.script!r}")
        config = self.run_config
        if config.node_count != 1 or config.communicator not in ("None", "", None):
            raise Unsupported("ScriptRunConfig: runs are run on one machine, by one process: leave node_count and communicator as they are")


def _folder(path: object) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInput(f"ScriptRunConfig: source_directory is a {type(path).__name__}; pass the path of a folder")
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise InvalidInput(f"ScriptRunConfig: source_directory: {folder} is no folder")
    return folder


def _refuse(name: str, value: object, instead: str) -> None:
    if value is not None:
        raise Unsupported(f"ScriptRunConfig: {name}: {instead}")


def _several(name: str, values: object) -> Sequence[object]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise InvalidInput(f"ScriptRunConfig: {name} is a {type(values).__name__}; pass a list")
    return values


def _seconds(seconds: object) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
        raise InvalidInput("ScriptRunConfig: max_run_duration_seconds: is to be a number, 0 or above, or None for no limit")
    return float(seconds)


def _text(name: str, value: object) -> str:
    if isinstance(value, (str, int, float, os.PathLike)):
        text = str(value)
        if "\0" not in text:
            return text
    raise InvalidInput(
        f"ScriptRunConfig: {name}: holds a {type(value).__name__} that cannot be passed to a program; pass texts and numbers"
    )
