"""Where a run comes from: host, process, user, script."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from runherald.errors import InvalidInput
from runherald.events import Evidence, RunHeader
from runherald.limits import DEFAULT_LIMITS
from runherald.producers.texts import given_number, line_of

MAX_LEASE_SECONDS = 7 * 86_400
_KERNEL = "kernel_launcher.py"
"""How the programs end that run a notebook's cells: ipykernel's, Colab's."""
_NOTEBOOK = "JPY_SESSION_NAME"
"""Where a Jupyter server says to a kernel which notebook it is for (jupyter_server/services/sessions/sessionmanager.py)."""


def new_header(
    experiment_name: str, *, parent_run_id: str, root_run_id: str, display_name: str, description: str, tags: Mapping[str, str | None]
) -> RunHeader:
    """Return the header of a run that begins in this process. What the machine says of itself is mended where it could not be sent."""
    return RunHeader(
        experiment_name=experiment_name,
        display_name=display_name,
        description=description,
        parent_run_id=parent_run_id,
        root_run_id=root_run_id,
        compute_target="local",
        user=line_of(_user(), DEFAULT_LIMITS.display_name),
        script_name=line_of(_script(), DEFAULT_LIMITS.path),
        tags=dict(tags),
    )


def host_evidence(lease_seconds: float) -> Evidence:
    """Return where this process runs, and how long it may be silent."""
    return Evidence(host=host_name(), pid=os.getpid(), lease_seconds=lease_seconds or None)


def host_name() -> str:
    """Return the machine's name."""
    import socket  # when a run begins: what imports a script to work for it begins none

    return line_of(socket.gethostname(), DEFAULT_LIMITS.display_name)


def check_lease(seconds: object) -> float:
    """Return a lease in seconds.

    Raises:
        InvalidInput: it is no number above 0 and at most 7 days.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= MAX_LEASE_SECONDS:
        raise InvalidInput(
            f"lease_seconds: is {given_number(seconds)}; pass a number of seconds above 0 and at most {MAX_LEASE_SECONDS} (7 days)"
        )
    return float(seconds)


def script_path() -> Path | None:
    """Return the file of the script that this process runs; of a notebook's kernel its notebook; None where nobody says which."""
    first = sys.argv[0] if sys.argv else ""
    if not isinstance(first, str) or first in ("", "-c", "-m"):
        return None
    if Path(first).name.endswith(_KERNEL):
        notebook = os.environ.get(_NOTEBOOK, "")
        return Path(notebook) if notebook else None
    return Path(first)


def _script() -> str:
    path = script_path()
    return path.name if path else ""


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may run under a number without a name
        return str(os.getuid()) if hasattr(os, "getuid") else ""
