"""`from runherald.script_run import ScriptRun`, as `from azureml.core.script_run import ScriptRun`."""

from __future__ import annotations

from runherald.producers.jobs.script_run import ScriptRun

__all__ = ["ScriptRun"]
