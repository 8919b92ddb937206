"""How a program ended, as the status of its run: one pure function, but for the limits that texts are cut to."""

from __future__ import annotations

import signal
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from runherald.events import DebugInfo, ErrorEnvelope, Evidence, RootError
from runherald.producers.allowed import allowed
from runherald.producers.run.failure import USER_ERROR
from runherald.producers.texts import line_of, text_of
from runherald.status import Cause, Status

from .traceback_text import Traceback, last_traceback

SHOWN_LINES = 20
"""How many of a console's last lines are shown where a program says nothing else of why it failed."""
_LINE_SHOWN = 200
_LAST_WORD_LINES = 50
"""A traceback farther from the end of the console is not what ended the program."""
_OF_CODE = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP", "SIGPIPE"})
_SHELL_SIGNAL = 128
"""A shell ends with 128 and the signal's number when the signal ended its last command."""


class Stopped(Struct, frozen=True, kw_only=True):
    """The program was told to end. `killed` says how it came to be killed, if it had to be."""

    cause: Cause
    reason: str
    killed: str = ""

    @property
    def message(self) -> str:
        """What is said of the run."""
        return text_of(f"{self.reason} {self.killed}".strip(), allowed().message)


class Ending(Struct, frozen=True, kw_only=True):
    """What is known of how a program ended.

    Attributes:
        exit_code: as `subprocess` says it: below 0 it is a signal's.
        console: its last lines.
        oom_kills: how many processes around it were killed for lack of memory meanwhile.
    """

    exit_code: int
    console: str = ""
    stopped: Stopped | None = None
    oom_kills: int = 0
    host: str = ""
    pid: int | None = None


class Verdict(NamedTuple):
    """What is said of the run, and the exit status that whoever ran the program ends with."""

    status: Status
    exit_status: int
    cause: Cause | None = None
    message: str = ""
    error: ErrorEnvelope | None = None
    evidence: Evidence | None = None


def verdict(ending: Ending, *, now: datetime) -> Verdict:
    """Return what a run is whose program ended so."""
    code = ending.exit_code
    number = -code if code < 0 else None
    evidence = Evidence(exit_code=code if number is None else None, signal=number, host=ending.host, pid=ending.pid)
    exit_status = code if number is None else _SHELL_SIGNAL + number
    if ending.stopped is not None:
        return Verdict(Status.CANCELED, exit_status, ending.stopped.cause, ending.stopped.message, None, evidence)
    if code == 0:
        return Verdict(Status.COMPLETED, exit_status, evidence=evidence)
    cause, message, debug = _of_signal(ending, number) if number is not None else _of_exit_code(ending)
    message = text_of(message, allowed().message)
    error = ErrorEnvelope(error=RootError(code=USER_ERROR, message=message, debug_info=debug), time=now)
    return Verdict(Status.FAILED, exit_status, cause, message, error, evidence)


def refused(message: str, exit_status: int, *, host: str, now: datetime) -> Verdict:
    """Return what a run is whose program could not be started."""
    message = text_of(f"User program could not be started: {message}", allowed().message)
    error = ErrorEnvelope(error=RootError(code=USER_ERROR, message=message), time=now)
    return Verdict(Status.FAILED, exit_status, Cause.CODE_ERROR, message, error, Evidence(exit_code=exit_status, host=host))


def cancelled_before(stopped: Stopped, *, host: str) -> Verdict:
    """Return what a run is that was cancelled before its program could start."""
    exit_status = _SHELL_SIGNAL + signal.SIGTERM
    return Verdict(Status.CANCELED, exit_status, stopped.cause, stopped.message, None, Evidence(host=host))


def signal_name(number: int) -> str:
    """Return a signal's name, such as `SIGSEGV`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _of_signal(ending: Ending, number: int) -> tuple[Cause, str, DebugInfo]:
    name = signal_name(number)
    debug = DebugInfo(type=name, stack_trace=_last_lines(ending.console))
    if name == "SIGKILL" and ending.oom_kills:
        return Cause.OUT_OF_MEMORY, "User program was killed by the kernel: it ran out of memory (SIGKILL)", debug
    if name == "SIGXCPU":
        return Cause.TIME_LIMIT, "User program was ended by SIGXCPU: its limit of CPU time", debug
    if name in _OF_CODE:
        said = signal.strsignal(number) or name
        return Cause.CODE_ERROR, f"User program was ended by {name} ({said[:1].lower()}{said[1:]})", debug
    return Cause.UNKNOWN, f"User program was ended by {name}, which somebody or something else sent it", debug


def _of_exit_code(ending: Ending) -> tuple[Cause, str, DebugInfo]:
    code = ending.exit_code
    found = last_traceback(ending.console) if code == 1 else None
    if found is not None and found.lines_after <= _LAST_WORD_LINES:
        return _of_traceback(found, _note(ending))
    last = _last_lines(ending.console)
    debug = DebugInfo(message=line_of(last.rpartition("\n")[2], allowed().message), stack_trace=last)
    message = f"User program ended with exit status {code}"
    if code > _SHELL_SIGNAL and (name := signal_name(code - _SHELL_SIGNAL)).startswith("SIG"):
        if name == "SIGKILL" and ending.oom_kills:
            return Cause.OUT_OF_MEMORY, f"{message}: a command of it was killed by the kernel: it ran out of memory (SIGKILL)", debug
        return Cause.CODE_ERROR, f"{message}, as a shell does when {name} ended a command{_note(ending)}", debug
    said = f"; its last line: {line_of(debug.message, _LINE_SHOWN)}" if debug.message.strip() else ""
    return Cause.CODE_ERROR, f"{message}{said}{_note(ending)}", debug


def _of_traceback(found: Traceback, note: str) -> tuple[Cause, str, DebugInfo]:
    kind = found.kind.rpartition(".")[2]
    message = f"User program failed with {kind}: {found.message}" if found.message else f"User program failed with {kind}"
    trace = found.text[-allowed().stack_trace :]
    debug = DebugInfo(
        type=line_of(found.kind, allowed().display_name), message=text_of(found.message, allowed().message), stack_trace=trace
    )
    # torch.cuda names its own class.
    cause = Cause.OUT_OF_MEMORY if kind in ("MemoryError", "OutOfMemoryError") else Cause.CODE_ERROR
    return cause, f"{message}{note}", debug


def _note(ending: Ending) -> str:
    """A worker of the program may have been killed; so may a neighbour, so that it is no verdict."""
    return " (meanwhile the kernel killed a process around it for lack of memory)" if ending.oom_kills else ""


def _last_lines(console: str) -> str:
    return "\n".join(console.rstrip().split("\n")[-SHOWN_LINES:])[-allowed().stack_trace :]
