"""What git says of the folder that a script is in.

Source of the names: Azure ML's "track git information", which has MLflow's as well.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct
from msgspec.structs import replace

from runherald.producers.allowed import allowed
from runherald.producers.texts import line_of

DIFF_KEY = "runherald.git.diff_sha256"
_CHUNK = 1024 * 1024


class GitState(Struct, frozen=True, kw_only=True):
    """A work tree. Empty where there is none of it: no commit yet, a detached head, no remote.

    Attributes:
        dirty: files that git knows differ from the commit, None if that took too long to find out. New files are not looked for.
        diff_sha256: of `git diff HEAD`, where that is not empty.
    """

    commit: str = ""
    branch: str = ""
    remote: str = ""
    dirty: bool | None = None
    diff_sha256: str = ""


def git_properties(state: GitState) -> dict[str, str]:
    """Return a work tree's state as a run's properties."""
    pairs = {
        "azureml.git.repository_uri": state.remote,
        "mlflow.source.git.repoURL": state.remote,
        "azureml.git.branch": state.branch,
        "mlflow.source.git.branch": state.branch,
        "azureml.git.commit": state.commit,
        "mlflow.source.git.commit": state.commit,
        "azureml.git.dirty": "" if state.dirty is None else str(state.dirty),
        DIFF_KEY: state.diff_sha256,
    }
    return {key: line_of(value, allowed().property_value) for key, value in pairs.items() if value}


def read_git(
    folder: Path, *, timeout_seconds: float, changes: bool = True, monotonic: Callable[[], float] = time.monotonic
) -> GitState | None:
    """Return what git says of a folder; None where there is no git, no work tree, or no answer in time. Changes nothing in it.

    A submodule is a work tree of its own. `changes`: also what was changed since the commit, which may take long.
    """
    git = _Git(folder, monotonic() + timeout_seconds, monotonic)
    if git.line("rev-parse", "--is-inside-work-tree") != "true":
        return None
    place = GitState(
        commit=git.line("rev-parse", "--verify", "--quiet", "HEAD"),
        branch=git.line("symbolic-ref", "--quiet", "--short", "HEAD"),
        remote=public_address(_remote(git)),
    )
    if not (place.commit and changes):
        return place
    changed = _changes(git)
    return replace(place, dirty=changed.dirty, diff_sha256=changed.diff_sha256)


def read_changes(folder: Path, *, timeout_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> GitState:
    """Return what was changed since the commit, and nothing else of the state; nothing where `read_git` says nothing of it."""
    return _changes(_Git(folder, monotonic() + timeout_seconds, monotonic))


def _changes(git: _Git) -> GitState:
    diff = git.digest("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--binary")
    return GitState() if diff is None else GitState(dirty=diff[0] > 0, diff_sha256=diff[1] if diff[0] > 0 else "")


def public_address(remote: str) -> str:
    """Return a remote's address without credentials: of a URL no password, no user (but for ssh, where it is no secret), no query."""
    if "://" not in remote:
        return remote  # a path, or user@host:path, which has no place for a password
    try:
        parts = urlsplit(remote)
        userinfo, at, host = parts.netloc.rpartition("@")
    except ValueError:
        return ""
    user = userinfo.partition(":")[0]
    keeps_user = bool(at) and bool(user) and parts.scheme in ("ssh", "git+ssh", "ssh+git")
    return urlunsplit((parts.scheme, f"{user}@{host}" if keeps_user else host, parts.path, "", ""))


def _remote(git: _Git) -> str:
    names = git.text("remote").split()
    if not names:
        return ""
    return git.line("config", "--get", f"remote.{'origin' if 'origin' in names else names[0]}.url")


class _Git:
    """Asks git about a folder, until a moment; after it every answer is empty."""

    def __init__(self, folder: Path, deadline: float, monotonic: Callable[[], float]) -> None:
        self._folder = folder
        self._deadline = deadline
        self._monotonic = monotonic

    def line(self, *arguments: str) -> str:
        """Return the one line that an answer is; empty where there is none."""
        return self.text(*arguments).strip()

    def text(self, *arguments: str) -> str:
        """Return an answer; empty where git says no, is not there, or is too late."""
        with self._asked(arguments) as process:
            if process is None or process.stdout is None:
                return ""
            answer = process.stdout.read()
            return answer.decode("utf-8", "replace") if process.wait() == 0 else ""

    def digest(self, *arguments: str) -> tuple[int, str] | None:
        """Return the length of an answer and its SHA-256; None where git says no, or is too late."""
        digest, length = hashlib.sha256(), 0
        with self._asked(arguments) as process:
            if process is None or process.stdout is None:
                return None
            for chunk in iter(lambda: process.stdout.read(_CHUNK) if process.stdout else b"", b""):
                digest.update(chunk)
                length += len(chunk)
            return (length, digest.hexdigest()) if process.wait() == 0 else None

    @contextmanager
    def _asked(self, arguments: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes] | None]:
        left = self._deadline - self._monotonic()
        if left <= 0:
            yield None
            return
        try:
            # A repository may name a program that watches its files; a diff runs none.
            process = subprocess.Popen(
                ["git", "-C", str(self._folder), "-c", "core.fsmonitor=false", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        except (OSError, ValueError):  # no git, no folder, no more processes
            yield None
            return
        late = threading.Timer(left, process.kill)
        late.daemon = True
        late.start()
        try:
            with process:
                yield process
        finally:
            late.cancel()


def _environment() -> dict[str, str]:
    """Return the variables for git: it takes no locks, asks nobody, and looks at the folder alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
