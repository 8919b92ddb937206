"""The modules and errors that scripts of azureml-core import are there, under the names that they have there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import runherald
from runherald import Experiment, Model, Run, Workspace, exceptions, get_run
from runherald.api import RunView
from runherald.errors import InvalidInput, RunFailed, RunheraldError, Unreachable
from runherald.exceptions import AzureMLException, NeverRaised
from runherald.producers.errors import NotFound, Unauthorized, Unsupported
from tests.unit.canned_api import canned_api

NAMES = {
    "runherald": ["Experiment", "Model", "Run", "VERSION", "Workspace", "__version__", "get_run"],
    "runherald.experiment": ["Experiment"],
    "runherald.model": ["Model"],
    "runherald.run": ["Run", "get_run"],
    "runherald.workspace": ["Workspace"],
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_a_module_has_its_names(module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    assert name in importlib.import_module(module).__all__
    assert found is {"Experiment": Experiment, "Model": Model, "Run": Run, "Workspace": Workspace}.get(name, found)


def test_the_version_is_the_packages() -> None:
    assert runherald.VERSION == runherald.__version__ == version("runherald")


def test_a_run_is_got_by_its_experiment_and_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    with canned_api() as api:
        api.answer("/runs/r", RunView(run_id="r", workspace="default", experiment_name="digits", status="Running"))
        workspace = Workspace(url=api.url)
        run = get_run(Experiment(workspace, "digits"), "r", rehydrate=False)
        assert (run.id, run.experiment.name, run.status) == ("r", "digits", "Running")
        workspace.session.close()


def test_a_name_that_is_not_there_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="Datastore"):
        from runherald import Datastore  # noqa: F401


def test_the_package_itself_stays_light() -> None:
    script = "import sys, runherald; print(sorted(name for name in sys.modules if name.startswith(('runherald.', 'importlib.metadata'))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


AZURE = """
ActivityFailedException AuthenticationException AzureMLAggregatedException AzureMLException ComputeTargetException
DatasetTimestampMissingError DiscoveryUrlNotFoundException ExperimentExecutionException ModelNotFoundException
ModelPathNotFoundException ParallelRunException ProjectSystemException RunConfigurationException RunEnvironmentException
ServiceException SnapshotException TrainingException UserErrorException WebserviceException WorkspaceException
WorkspacePrivateEndpointException
"""
"""The names of `azureml.exceptions` in azureml-core 1.61."""


@pytest.mark.parametrize("name", AZURE.split())
def test_an_error_is_there_and_an_azure_ml_exception(name: str) -> None:
    assert name in exceptions.__all__
    assert issubclass(getattr(exceptions, name), AzureMLException)


def test_no_other_name_is_given_out() -> None:
    assert sorted(exceptions.__all__) == sorted(AZURE.split())


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("UserErrorException", InvalidInput("x")),
        ("UserErrorException", NotFound("x")),
        ("UserErrorException", Unsupported("x")),
        ("SnapshotException", InvalidInput("x")),
        ("ModelNotFoundException", NotFound("x")),
        ("ModelPathNotFoundException", NotFound("x")),
        ("WebserviceException", InvalidInput("x")),
        ("ActivityFailedException", RunFailed("x")),
        ("ServiceException", Unreachable("x")),
        ("AuthenticationException", Unauthorized("x")),
    ],
)
def test_what_is_raised_here_is_caught_by_its_name_there(name: str, raised: RunheraldError) -> None:
    with pytest.raises(getattr(exceptions, name)) as caught:
        raise raised
    assert caught.value.message == "x"
    assert not isinstance(caught.value, NeverRaised)


def test_outside_a_submitted_script_the_environment_is_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    monkeypatch.delenv("RUNHERALD_RUN_ID", raising=False)
    with pytest.raises(exceptions.RunEnvironmentException):
        Run.get_context(allow_offline=False)
