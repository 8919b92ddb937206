"""What scripts of this process may pass: the limits of its settings, which its last Workspace has read.

Limits are a process's own, as its settings are; a Workspace has no argument for them.
"""

from __future__ import annotations

from runherald.limits import DEFAULT_LIMITS, Limits

_in_force = [DEFAULT_LIMITS]


def allow(limits: Limits) -> None:
    """Hold what is passed from now on to other limits."""
    _in_force[0] = limits


def allowed() -> Limits:
    """Return the limits that what is passed now is held to."""
    return _in_force[0]
