"""Ids that are made up once and never change: of runs and of producers."""

from __future__ import annotations

from uuid import uuid4


def new_run_id() -> str:
    """Return an id for a run, in the form of Azure's: a random UUID with dashes."""
    return str(uuid4())


def new_producer_id() -> str:
    """Return an id for a producer: 32 hex digits, random, so that no two processes ever count under the same one."""
    return uuid4().hex
