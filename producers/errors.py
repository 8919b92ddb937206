"""Errors of the SDK, below those of `runherald.errors`.

InvalidInput
├── NotFound            the server knows no such run (HTTP 404)
└── Unsupported         azureml-core has it and it has no meaning here; says what to use instead
RunheraldError
├── NoSubmittedRun      Run.get_context outside a submitted script, where offline runs are not allowed
└── Unauthorized        the server refuses the token (HTTP 401, 403)
"""

from __future__ import annotations

from runherald.errors import InvalidInput, RunheraldError


class NotFound(InvalidInput):
    """The server knows no such thing."""

    exit_status = 1


class Unsupported(InvalidInput):
    """A member of azureml-core that has no meaning here."""


class NoSubmittedRun(RunheraldError):
    """There is no run that this script was submitted as."""

    exit_status = 2


class Unauthorized(RunheraldError):
    """The server refuses the token, or wants one."""

    exit_status = 2
