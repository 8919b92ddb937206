"""What a run is whose program ended so: a table."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from runherald.events import AmlRunStatusChangedEvent, new_event
from runherald.limits import DEFAULT_LIMITS, SERVER_LIMITS, Limits
from runherald.producers.allowed import allow, allowed
from runherald.producers.jobs.traceback_text import last_traceback
from runherald.producers.jobs.verdict import Ending, Stopped, Verdict, refused, verdict
from runherald.status import Cause, Status
from runherald.validation import check_event

NOW = datetime(2026, 1, 2, tzinfo=UTC)

TRACE = """epoch 1
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    main()
  File "train.py", line 2, in main
    raise ValueError("boom")
ValueError: boom
"""
CHAINED = """Traceback (most recent call last):
  File "a.py", line 2, in <module>
    {}["x"]
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 4, in <module>
    raise my.errors.NoData("none: at all")
my.errors.NoData: none: at all
"""
RANKED = """[rank0]: Traceback (most recent call last):
[rank0]:   File "train.py", line 9, in <module>
[rank1]: something else
[rank0]:     step()
[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB
"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "g.py", line 1, in <module>
  |     raise ExceptionGroup("several", [ValueError(1)])
  | ExceptionGroup: several (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
"""
SYNTAX = """  File "train.py", line 1
    x = = 1
        ^
SyntaxError: invalid syntax
"""


@pytest.mark.parametrize(
    ("ending", "status", "exit_status", "cause", "message"),
    [
        (Ending(exit_code=0), Status.COMPLETED, 0, None, ""),
        (Ending(exit_code=0, oom_kills=1), Status.COMPLETED, 0, None, ""),
        (Ending(exit_code=1, console=TRACE), Status.FAILED, 1, Cause.CODE_ERROR, "User program failed with ValueError: boom"),
        (Ending(exit_code=1, console=CHAINED), Status.FAILED, 1, Cause.CODE_ERROR, "User program failed with NoData: none: at all"),
        (
            Ending(exit_code=1, console=RANKED),
            Status.FAILED,
            1,
            Cause.OUT_OF_MEMORY,
            "User program failed with OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
        ),
        (
            Ending(exit_code=1, console=GROUP),
            Status.FAILED,
            1,
            Cause.CODE_ERROR,
            "User program failed with ExceptionGroup: several (1 sub-exception)",
        ),
        (Ending(exit_code=1, console=SYNTAX), Status.FAILED, 1, Cause.CODE_ERROR, "User program failed with SyntaxError: invalid syntax"),
        (
            Ending(exit_code=1, console=TRACE.replace("ValueError: boom", "MemoryError")),
            Status.FAILED,
            1,
            Cause.OUT_OF_MEMORY,
            "User program failed with MemoryError",
        ),
        # A traceback that was logged and lived through is not why the program ended.
        (
            Ending(exit_code=1, console=TRACE + "go on\n" * 60),
            Status.FAILED,
            1,
            Cause.CODE_ERROR,
            "User program ended with exit status 1; its last line: go on",
        ),
        (
            Ending(exit_code=3, console=TRACE),
            Status.FAILED,
            3,
            Cause.CODE_ERROR,
            "User program ended with exit status 3; its last line: ValueError: boom",
        ),
        (Ending(exit_code=2), Status.FAILED, 2, Cause.CODE_ERROR, "User program ended with exit status 2"),
        (
            Ending(exit_code=139),
            Status.FAILED,
            139,
            Cause.CODE_ERROR,
            "User program ended with exit status 139, as a shell does when SIGSEGV ended a command",
        ),
        (
            Ending(exit_code=137, oom_kills=1),
            Status.FAILED,
            137,
            Cause.OUT_OF_MEMORY,
            "User program ended with exit status 137: a command of it was killed by the kernel: it ran out of memory (SIGKILL)",
        ),
        (
            Ending(exit_code=-signal.SIGKILL, oom_kills=1),
            Status.FAILED,
            137,
            Cause.OUT_OF_MEMORY,
            "User program was killed by the kernel: it ran out of memory (SIGKILL)",
        ),
        (
            Ending(exit_code=-signal.SIGKILL),
            Status.FAILED,
            137,
            Cause.UNKNOWN,
            "User program was ended by SIGKILL, which somebody or something else sent it",
        ),
        (
            Ending(exit_code=-signal.SIGSEGV, oom_kills=1),
            Status.FAILED,
            139,
            Cause.CODE_ERROR,
            "User program was ended by SIGSEGV (segmentation fault)",
        ),
        (
            Ending(exit_code=-signal.SIGXCPU),
            Status.FAILED,
            128 + signal.SIGXCPU,
            Cause.TIME_LIMIT,
            "User program was ended by SIGXCPU: its limit of CPU time",
        ),
        (
            Ending(exit_code=1, console=TRACE, oom_kills=2),
            Status.FAILED,
            1,
            Cause.CODE_ERROR,
            "User program failed with ValueError: boom (meanwhile the kernel killed a process around it for lack of memory)",
        ),
        # Whoever was told to end is Canceled, however it ends.
        (Ending(exit_code=0, stopped=Stopped(cause=Cause.USER, reason="Why.")), Status.CANCELED, 0, Cause.USER, "Why."),
        (
            Ending(exit_code=1, console=TRACE, stopped=Stopped(cause=Cause.TIME_LIMIT, reason="Long.")),
            Status.CANCELED,
            1,
            Cause.TIME_LIMIT,
            "Long.",
        ),
        (
            Ending(exit_code=-signal.SIGKILL, stopped=Stopped(cause=Cause.USER, reason="Why.", killed="And how.")),
            Status.CANCELED,
            137,
            Cause.USER,
            "Why. And how.",
        ),
    ],
)
def test_how_a_program_ended_is_the_status_of_its_run(
    ending: Ending, status: Status, exit_status: int, cause: Cause | None, message: str
) -> None:
    said = verdict(ending, now=NOW)
    assert (said.status, said.exit_status, said.cause, said.message) == (status, exit_status, cause, message)
    assert (said.error is not None) == (status is Status.FAILED)


def test_the_error_has_the_traceback_and_the_evidence_how_it_ended() -> None:
    said = verdict(Ending(exit_code=1, console=CHAINED, host="here", pid=7), now=NOW)
    assert said.error is not None
    assert said.error.error.debug_info is not None
    assert said.error.error.code == "UserError"
    assert said.error.time == NOW
    assert said.error.error.debug_info.type == "my.errors.NoData"
    assert said.error.error.debug_info.stack_trace == CHAINED.rstrip()  # with what led to it
    assert said.evidence is not None
    assert (said.evidence.exit_code, said.evidence.signal, said.evidence.host, said.evidence.pid) == (1, None, "here", 7)
    killed = verdict(Ending(exit_code=-9, console="one\ntwo\n"), now=NOW)
    assert killed.evidence is not None
    assert (killed.evidence.exit_code, killed.evidence.signal) == (None, 9)
    assert killed.error is not None
    assert killed.error.error.debug_info is not None
    assert killed.error.error.debug_info.stack_trace == "one\ntwo"


def test_a_program_that_could_not_be_started_has_failed() -> None:
    said = refused("nosuch: command not found", 127, host="here", now=NOW)
    assert (said.status, said.exit_status, said.cause) == (Status.FAILED, 127, Cause.CODE_ERROR)
    assert said.message == "User program could not be started: nosuch: command not found"


@pytest.fixture
def limited() -> Iterator[None]:
    """Let this process hold to lower limits of what is cut."""
    allow(replace(DEFAULT_LIMITS, message=40, stack_trace=50))
    yield
    allow(DEFAULT_LIMITS)


LONG = "x" * 5_000
LONG_ENDINGS = [
    Ending(exit_code=1, console=TRACE.replace("boom", LONG)),
    Ending(exit_code=1, console=f"Traceback (most recent call last):\n{LONG}"),
    Ending(exit_code=3, console="\n".join([LONG] * 60)),
    Ending(exit_code=-signal.SIGSEGV, console=LONG),
    Ending(exit_code=0, stopped=Stopped(cause=Cause.USER, reason=LONG, killed=LONG)),
]


def checked(said: Verdict, limits: Limits) -> None:
    data = AmlRunStatusChangedEvent(status=said.status, cause=said.cause, message=said.message, error=said.error, evidence=said.evidence)
    check_event(new_event(data, workspace="w", run_id="r", producer="p", sequence=0, time=NOW), limits)


@pytest.mark.parametrize("ending", LONG_ENDINGS, ids=range(len(LONG_ENDINGS)))
def test_what_is_said_of_a_program_can_be_sent_however_much_it_printed(ending: Ending) -> None:
    checked(verdict(ending, now=NOW), SERVER_LIMITS)


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("ending", LONG_ENDINGS, ids=range(len(LONG_ENDINGS)))
def test_what_is_said_of_a_program_is_cut_to_the_limits_that_are_set(ending: Ending) -> None:
    said = verdict(ending, now=NOW)
    assert len(said.message) == allowed().message == 40
    checked(said, allowed())
    assert len(refused(LONG, 127, host="here", now=NOW).message) == 40


def test_what_is_no_traceback_is_none() -> None:
    assert last_traceback("") is None
    assert last_traceback("Traceback (most recent call last):\n  File") is None
    assert last_traceback("Traceback (most recent call last):\nwhat is this?") is None
    last = last_traceback(TRACE + TRACE.replace("boom", "later") + "\nbye")
    assert last is not None
    assert (last.message, last.lines_after) == ("later", 2)
    assert last.text.startswith("Traceback")
    assert "boom" not in last.text.split("ValueError: later")[0].splitlines()[0]
