"""Why a run failed, in Azure's envelope of an error."""

from __future__ import annotations

import traceback
from datetime import datetime
from typing import NamedTuple

from runherald.clock import system_clock
from runherald.events import DebugInfo, ErrorEnvelope, Evidence, RootError
from runherald.producers.allowed import allowed
from runherald.producers.texts import line_of, sendable, text_of
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
    code = line_of(error_code, allowed().display_name) if error_code is not None else USER_ERROR
    if isinstance(error_details, BaseException):
        return failure_of_exception(error_details, code=code)
    message = "" if error_details is None else text_of(error_details, allowed().message)
    return Failure(None, message, ErrorEnvelope(error=RootError(code=code, message=message), time=system_clock()))


def failure_of_exception(error: BaseException, *, code: str = USER_ERROR, now: datetime | None = None) -> Failure:
    """Return the failure that an exception is. Of a long traceback the end is kept: it names the place."""
    kind = type(error).__name__
    text = text_of(error, allowed().message)
    if isinstance(error, SystemExit):
        message = f"User program ended with exit status {text or 'none'}"
    else:
        message = f"User program failed with {kind}: {text}" if text else f"User program failed with {kind}"
    message = text_of(message, allowed().message)
    module = type(error).__module__
    debug = DebugInfo(
        type=line_of(kind if module == "builtins" else f"{module}.{kind}", allowed().display_name),
        message=text,
        stack_trace=_trace(error),
    )
    # torch.cuda names its own class; it cannot be imported here.
    out_of_memory = isinstance(error, MemoryError) or kind == "OutOfMemoryError"
    exit_code = _exit_code(error)
    return Failure(
        Cause.OUT_OF_MEMORY if out_of_memory else Cause.CODE_ERROR,
        message,
        ErrorEnvelope(error=RootError(code=code, message=message, debug_info=debug), time=now or system_clock()),
        None if exit_code is None else Evidence(exit_code=exit_code),
    )


def is_success(error: BaseException | None) -> bool:
    """Say whether what ends a block means that all went well: nothing, or `SystemExit` with status 0."""
    return error is None or (isinstance(error, SystemExit) and (error.code is None or _exit_code(error) == 0))


def _exit_code(error: BaseException) -> int | None:
    """Return the exit status as a plain number: True is 1, as it is for the shell; None where it is a text, or beyond 64 bits."""
    code = error.code if isinstance(error, SystemExit) else None
    return int(code) if isinstance(code, int) and abs(code) < 2**63 else None


def _trace(error: BaseException) -> str:
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as broken:  # an exception of the user's that cannot be shown must not hide that the run failed
        return f"(no traceback: {type(broken).__name__})"
    return sendable(trace[-allowed().stack_trace :])
