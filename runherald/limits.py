"""What an event may hold.

Two sets of bounds, since an SDK may be set to others than its server knows of. `Limits`, by default Azure ML's where Azure has one, is what
scripts are held to, and is set where they run (`[limits]`). `SERVER_LIMITS` is what servers and workers take from anyone: as much as can be
set, so that nothing is refused that an SDK was allowed to say.
"""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of names and values, in characters unless said otherwise.

    Source: Azure ML's "resource limits and capacity" (2023-09), except `stack_trace`, `event_bytes`, `batch_events`, `metric_text`,
    `path`, ours.
    """

    run_id: int = 256
    experiment_name: int = 255
    display_name: int = 256
    description: int = 5_000
    tags: int = 50
    tag_key: int = 100
    tag_value: int = 1_000
    properties: int = 50
    property_key: int = 100
    property_value: int = 1_000
    params: int = 200
    param_key: int = 250
    param_value: int = 6_000
    metric_name: int = 255
    metric_text: int = 10_000
    message: int = 3_000
    path: int = 5_000
    stack_trace: int = 65_536
    event_bytes: int = 1_000_000
    batch_events: int = 10_000


FIXED = frozenset({"run_id", "event_bytes", "batch_events"})
"""What cannot be set: it is part of addresses and of the protocol."""

DEFAULT_LIMITS = Limits()

SERVER_LIMITS = Limits(
    display_name=1_000,
    description=50_000,
    tags=1_000,
    tag_key=1_000,
    tag_value=100_000,
    properties=1_000,
    property_key=1_000,
    property_value=100_000,
    params=5_000,
    param_key=1_000,
    param_value=100_000,
    metric_name=1_000,
    metric_text=100_000,
    message=10_000,
    stack_trace=200_000,
)
"""What of all this is too much at once is bound by `event_bytes`."""
