"""`from runherald.model import Model`, as `from azureml.core.model import Model`."""

from __future__ import annotations

from runherald.producers.models.model import Model

__all__ = ["Model"]
