"""`from runherald.run import Run, get_run`, as `from azureml.core.run import …`."""

from __future__ import annotations

from runherald.producers.experiment import Experiment
from runherald.producers.run.run import Run

__all__ = ["Run", "get_run"]


def get_run(experiment: Experiment, run_id: str, rehydrate: bool = True, clean_up: bool = True) -> Run:
    """Return a run by its id: an object of the class that its type has, and of the experiment that it is of.

    Raises:
        NotFound: there is none.
        InvalidInput: the id can be no run's.
    """
    del rehydrate, clean_up  # azureml-core's: the object is of its class always, and nothing is left where a run ran
    return experiment.workspace.get_run(run_id)
