"""Why a run failed, in Azure's envelope of an error."""

from __future__ import annotations

import traceback
from datetime import datetime
from typing import NamedTuple

from runherald.clock import system_clock
from runherald.events import DebugInfo, ErrorEnvelope, Evidence, RootError
from runherald.limits import DEFAULT_LIMITS
from runherald.status import Cause

USER_ERROR = "UserError"


class Failure(NamedTuple):
    """What is reported of a failure."""

    cause: Cause | None
    message: str
    envelope: ErrorEnvelope
    evidence: Evidence | None = None


def failure_of(error_details: object, error_code: object) -> Failure:
    """Return the failure that `Run.fail` was told of: a text, an exception, anything with a text, or nothing."""
    code = str(error_code) if error_code is not None else USER_ERROR
    if isinstance(error_details, BaseException):
        return failure_of_exception(error_details, code=code)
    message = _cut("" if error_details is None else str(error_details), DEFAULT_LIMITS.message)
    return Failure(None, message, ErrorEnvelope(error=RootError(code=code, message=message), time=system_clock()))


def failure_of_exception(error: BaseException, *, code: str = USER_ERROR, now: datetime | None = None) -> Failure:
    """Return the failure that an exception is. Of a long traceback the end is kept: it names the place."""
    kind = type(error).__name__
    text = _text(error)
    if isinstance(error, SystemExit):
        message = f"User program ended with exit status {text or 'none'}"
    else:
        message = f"User program failed with {kind}: {text}" if text else f"User program failed with {kind}"
    message = _cut(message, DEFAULT_LIMITS.message)
    trace = "".join(traceback.format_exception(error))
    debug = DebugInfo(
        type=f"{type(error).__module__}.{kind}" if type(error).__module__ != "builtins" else kind,
        message=_cut(text, DEFAULT_LIMITS.message),
        stack_trace=trace[-DEFAULT_LIMITS.stack_trace :],
    )
    # torch.cuda names its own class; it cannot be imported here.
    out_of_memory = isinstance(error, MemoryError) or kind == "OutOfMemoryError"
    exit_code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else None
    return Failure(
        Cause.OUT_OF_MEMORY if out_of_memory else Cause.CODE_ERROR,
        message,
        ErrorEnvelope(error=RootError(code=code, message=message, debug_info=debug), time=now or system_clock()),
        None if exit_code is None else Evidence(exit_code=exit_code),
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # an exception of the user's whose text raises must not hide that the run failed
        return f"(no text: {type(broken).__name__})"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
