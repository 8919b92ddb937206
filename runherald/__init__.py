"""Run history and mail alerts for training runs.

    from runherald import Workspace, Experiment, Run

    with Experiment(Workspace(), "digits").start_logging() as run:
        run.log("loss", 0.1)

The names are loaded when they are first used: `import runherald` alone stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runherald.producers.experiment import Experiment
    from runherald.producers.jobs.compute import ComputeTarget
    from runherald.producers.jobs.environment import Environment
    from runherald.producers.jobs.run_configuration import RunConfiguration
    from runherald.producers.jobs.script_run import ScriptRun
    from runherald.producers.jobs.script_run_config import ScriptRunConfig
    from runherald.producers.models.model import Model
    from runherald.producers.run.run import Run
    from runherald.producers.workspace import Workspace
    from runherald.run import get_run

    VERSION: str
    __version__: str

__all__ = [
    "VERSION",
    "ComputeTarget",
    "Environment",
    "Experiment",
    "Model",
    "Run",
    "RunConfiguration",
    "ScriptRun",
    "ScriptRunConfig",
    "Workspace",
    "__version__",
    "get_run",
]

_MODULES = {
    "ComputeTarget": "runherald.producers.jobs.compute",
    "Environment": "runherald.producers.jobs.environment",
    "Experiment": "runherald.producers.experiment",
    "Model": "runherald.producers.models.model",
    "RunConfiguration": "runherald.producers.jobs.run_configuration",
    "ScriptRun": "runherald.producers.jobs.script_run",
    "ScriptRunConfig": "runherald.producers.jobs.script_run_config",
    "Run": "runherald.producers.run.run",
    "Workspace": "runherald.producers.workspace",
    "get_run": "runherald.run",
}


def __getattr__(name: str) -> object:
    if name in ("VERSION", "__version__"):
        from importlib.metadata import version

        return version("runherald")
    if name not in _MODULES:
        raise AttributeError(f"module 'runherald' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
