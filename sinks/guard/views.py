"""The views that users may query. Everything else in the database is out of their reach."""

from __future__ import annotations

USER_VIEWS: tuple[str, ...] = (
    "runs",
    "transitions",
    "metrics",
    "objects",
    "params",
    "tags",
    "logs",
    "outputs",
    "alerts",
    "notices",
    "AmlRunStatusChangedEvent",
    "AmlRunEvent",
)
"""Names of views, without the database. Each is `DEFINER = default SQL SECURITY DEFINER` and has DateTime64 times."""
