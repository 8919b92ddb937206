"""How a process was started: its command, Python and machine, and those variables that say how a training is laid out."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from runherald.producers.allowed import allowed
from runherald.producers.provenance.masking import mask_arguments
from runherald.producers.texts import cut, line_of, sendable

COMMAND_KEY = "runherald.command"
ENVIRONMENT_KEY = "runherald.environment"
PYTHON_KEY = "runherald.python"

VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "JAX_PLATFORMS", "KERAS_BACKEND"),
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_ARRAY_TASK_ID", "SLURM_NTASKS", "SLURM_NNODES", "SLURM_PROCID"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG"),
    *("CONDA_DEFAULT_ENV", "KUBERNETES_SERVICE_HOST", "HOSTNAME", "TZ", "LANG"),
)
"""The variables whose values are kept. Of no other one anything is: any may hold a secret."""


def command_properties(
    *,
    arguments: Sequence[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    variables: Sequence[str] = VARIABLES,
) -> dict[str, str]:
    """Return how this process was started, as a run's properties; `arguments` are `sys.orig_argv` when not given."""
    given = sys.orig_argv if arguments is None else arguments
    found = {
        COMMAND_KEY: cut(sendable(shlex.join(mask_arguments([_line(argument) for argument in given]))), allowed().property_value),
        PYTHON_KEY: f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}",
        "runherald.platform": line_of(_platform(), allowed().property_value),
        ENVIRONMENT_KEY: _as_json(dict(_chosen(environ, variables))),
    }
    return {key: value for key, value in found.items() if value}


def _platform() -> str:
    if not hasattr(os, "uname"):
        return sys.platform
    machine = os.uname()  # what the module `platform` adds costs tens of milliseconds
    return f"{machine.sysname} {machine.release} {machine.machine}"


def _chosen(environ: Mapping[str, str], variables: Sequence[str]) -> Iterator[tuple[str, str]]:
    size = 2
    for name in variables:
        if (value := environ.get(name)) is not None:
            plain = line_of(value, 200)
            size += len(msgspec.json.encode({name: plain}).decode())
            if size <= allowed().property_value:
                yield name, plain


def _as_json(values: Mapping[str, str]) -> str:
    return msgspec.json.encode(values).decode() if values else ""


def _line(argument: str) -> str:
    return " ".join(sendable(argument).split())
