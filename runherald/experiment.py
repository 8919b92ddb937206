"""`from runherald.experiment import Experiment`, as `from azureml.core.experiment import Experiment`."""

from __future__ import annotations

from runherald.producers.experiment import Experiment

__all__ = ["Experiment"]
