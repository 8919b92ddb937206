"""A job: one program, to be run once for one run. Plain data, so that one process can write it down and another run it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from runherald.errors import InvalidInput

JOB_VARIABLE = "RUNHERALD_JOB"
"""Names the job's folder to the program and to all that it starts.

It is also what the job's processes are known by when they are ended: one that is meant to outlive the program, such as the runner of
another job, is started without it, and in a session of its own.
"""
JOB_FILE = "job.json"
CANCEL_FILE = "cancel"
"""Whoever makes this file in the job's folder asks for the job to be cancelled; what it holds is the reason, which may be empty."""
CONSOLE_FILE = "user_logs/std_log.txt"
GRACE_SECONDS = 30.0


class Job(Struct, frozen=True, kw_only=True):
    """What is run, and how.

    Attributes:
        run_id: of the run, which exists already.
        experiment: the name of the run's experiment.
        workspace: the name of the run's workspace.
        command: the program and its arguments; no shell reads them. A name without `/` is looked for on PATH, `./name` in `folder`.
        folder: the program's working folder.
        environment: variables beside those that the runner has; they win over them, and not over those that name the run.
        max_seconds: after so long it is cancelled; 0 for never.
        grace_seconds: between the signal that asks the program to end and the one that ends it.
        is_terminal: what the program prints is passed on to the runner's own output, and the program reads the runner's input.
        outputs: a folder below `folder` whose new files are kept at the end.
        logs: a folder below `folder` whose files are followed line by line, and kept at the end.
    """

    run_id: str
    experiment: str
    workspace: str
    command: tuple[str, ...]
    folder: Path
    environment: dict[str, str] = {}
    max_seconds: float = 0.0
    grace_seconds: float = GRACE_SECONDS
    is_terminal: bool = False
    outputs: Path = Path("outputs")
    logs: Path = Path("logs")


class Slot(Protocol):
    """A place on a compute target, held while the program runs."""

    def tend(self) -> None:
        """Look after the place; called a few times a second until the program has ended. Raises nothing."""
        ...


def job_folder(home: Path, run_id: str) -> Path:
    """Return the folder of a run's job, below RUNHERALD_HOME: its control files, and its console while it runs."""
    return home / "jobs" / run_id


def write_job(path: Path, job: Job) -> None:
    """Write a job to a file that its owner alone may read, since variables may be secrets; it is there whole, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(job, enc_hook=os.fspath))
    passing.replace(path)


def read_job(path: Path) -> Job:
    """Return the job that a file holds.

    Raises:
        InvalidInput: it holds none.
        OSError: it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Job, dec_hook=_path)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: is no job ({error}); submit the run again") from None


def _path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"a job holds no {kind.__name__} of a {type(value).__name__}")
