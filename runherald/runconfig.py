"""`from runherald.runconfig import RunConfiguration`, as `from azureml.core.runconfig import RunConfiguration`."""

from __future__ import annotations

from runherald.producers.jobs.run_configuration import RunConfiguration

__all__ = ["RunConfiguration"]
