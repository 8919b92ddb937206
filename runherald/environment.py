"""`from runherald.environment import Environment`, as `from azureml.core.environment import Environment`."""

from __future__ import annotations

from runherald.producers.jobs.environment import Environment

__all__ = ["Environment"]
