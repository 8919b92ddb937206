"""`from runherald.widgets import RunDetails`, as `from azureml.widgets import RunDetails`."""

from __future__ import annotations

from runherald.producers.notebook.run_details import RunDetails

__all__ = ["RunDetails"]
