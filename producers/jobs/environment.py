"""What a script is run with, as azureml-core's `Environment`: here, a Python and variables. Nothing is built or installed."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace
from typing import NoReturn

from runherald.errors import InvalidInput
from runherald.producers.errors import Unsupported

THIS_PYTHON = "python"


class PythonSection:
    """The Python of an environment.

    Attributes:
        interpreter_path: of the Python that runs scripts; `python` is the one that submits.
        user_managed_dependencies: taken, and always so: packages are the user's.
        conda_dependencies_file: taken from files and kept in them, and means nothing.
    """

    def __init__(self) -> None:
        self.interpreter_path = THIS_PYTHON
        self.user_managed_dependencies = True
        self.conda_dependencies_file: str | None = None


class Environment:
    """A Python and variables, under a name."""

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise InvalidInput(f"environment: the name is a {type(name).__name__}; pass a text")
        self.name = name or ""
        self.version: str | None = None
        self.environment_variables: dict[str, str] = {}
        self.python = PythonSection()
        self.docker = SimpleNamespace(enabled=False)  # scripts set it; nothing runs in containers here

    def interpreter(self) -> str:
        """Return the path of the Python (ours).

        Raises:
            InvalidInput: there is none.
        """
        path = self.python.interpreter_path
        if path == THIS_PYTHON:
            return sys.executable
        found = shutil.which(path)
        if found is None:
            raise InvalidInput(
                f"environment {self.name!r}: python.interpreter_path: {path} is no program; name the Python to run scripts with"
            )
        return found

    def variables(self) -> dict[str, str]:
        """Return the variables as texts (ours).

        Raises:
            InvalidInput: they are no dictionary, or one cannot be a variable.
        """
        given: object = self.environment_variables
        if not isinstance(given, dict):
            raise InvalidInput(f"environment variables: are a {type(given).__name__}; pass a dictionary")
        texts = {}
        for key, value in given.items():
            text = str(value)
            if not isinstance(key, str) or not key or "=" in key or "\0" in key + text:
                raise InvalidInput("environment variables: a name is to be a text without '=', and neither may hold a NUL")
            texts[key] = text
        return texts

    @staticmethod
    def from_conda_specification(name: str, file_path: str) -> NoReturn:
        """Say how to come by packages."""
        raise _nothing_built("from_conda_specification", name, file_path)

    @staticmethod
    def from_pip_requirements(name: str, file_path: str, pip_version: str | None = None) -> NoReturn:
        """Say how to come by packages."""
        raise _nothing_built("from_pip_requirements", name, file_path, pip_version)

    @staticmethod
    def from_docker_image(name: str, image: str, container_registry: object = None, **kwargs: object) -> NoReturn:
        """Say how to come by packages."""
        raise _nothing_built("from_docker_image", name, image, container_registry, kwargs)

    @staticmethod
    def from_existing_conda_environment(name: str, conda_environment_name: str) -> NoReturn:
        """Say how to come by packages."""
        raise _nothing_built("from_existing_conda_environment", name, conda_environment_name)

    def __repr__(self) -> str:
        return f"Environment(Name: {self.name}, Python: {self.python.interpreter_path})"


def _nothing_built(member: str, *_: object) -> Unsupported:
    return Unsupported(
        f"Environment.{member}: nothing is built or installed here; make the environment yourself, and set"
        " python.interpreter_path to its Python"
    )
