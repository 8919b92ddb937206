"""`from runherald.script_run_config import ScriptRunConfig`, as `from azureml.core.script_run_config import ScriptRunConfig`."""

from __future__ import annotations

from runherald.producers.jobs.script_run_config import ScriptRunConfig

__all__ = ["ScriptRunConfig"]
