"""`from runherald.workspace import Workspace`, as `from azureml.core.workspace import Workspace`."""

from __future__ import annotations

from runherald.producers.workspace import Workspace

__all__ = ["Workspace"]
