"""What an event may hold. The defaults are Azure ML's limits where Azure has one."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
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


DEFAULT_LIMITS = Limits()
