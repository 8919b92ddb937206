"""`from runherald.compute import ComputeTarget`, as `from azureml.core.compute import ComputeTarget`."""

from __future__ import annotations

from runherald.producers.jobs.compute import ComputeTarget

__all__ = ["ComputeTarget"]
