"""What an event of a run is in the tables of history: pure functions from what was folded to rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from runherald.clock import to_micros
from runherald.events import AmlRunEvent, AmlRunOutputEvent, AmlRunStatusChangedEvent, ErrorEnvelope, Event
from runherald.records import Record
from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.state_text import encode_state
from runherald.state import Folded, Rejection, RunState, Transition

Row = tuple[Any, ...]
Outcome = Literal["accepted", "taken", "rejected", "duplicate"]

_PLACE = ("_topic", "_partition", "_offset")
_COLUMNS: dict[str, tuple[str, ...]] = {
    "run_events": (
        *("workspace", "run_id", "event_id", "type", "data_version", "producer", "sequence", "time", "recorded_time"),
        *("outcome", "reason", "operation", "status", "experiment_name", "actor_kind", "actor_name", "payload"),
        *_PLACE,
    ),
    "transitions_log": (
        *("workspace", "run_id", "event_id", "accepted", "reason", "status", "previous_status", "time", "recorded_time"),
        *("attempt", "revision", "cause", "message", "error_code", "error_message", "actor_kind", "actor_name", "claim", "correction"),
        *("start_time", "end_time", "experiment_name", "display_name", "parent_run_id", "root_run_id", "user"),
        *_PLACE,
    ),
    "run_params": ("workspace", "key", "run_id", "value", "value_num", "version", *_PLACE),
    "run_tags": ("workspace", "key", "run_id", "value", "value_num", "is_flag", "removed", "version", *_PLACE),
    "run_outputs": ("workspace", "run_id", "path", "size", "sha256", "content_type", "uri", "time", "version", *_PLACE),
    "run_state": (
        *("workspace", "run_id", "version", "state", "status", "experiment_name", "display_name", "description"),
        *("parent_run_id", "root_run_id", "run_type", "compute_target", "user", "script_name"),
        *("cause", "message", "error_code", "error_message", "attempt", "revision", "claimed", "life"),
        *("created_time", "start_time", "end_time", "status_time", "last_seen", "lease_seconds"),
        *("tags", "flags", "properties", "params"),
        *_PLACE,
    ),
}

TABLES = tuple(_COLUMNS)
"""In the order in which they are written: the truth first, the state last, so that a stored state vouches for the rest."""


class HistoryRows:
    """Collects the rows of one partition between two flushes."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {table: [] for table in TABLES}

    def add(self, record: Record, event: Event, payload: str, before: RunState | None, folded: Folded) -> None:
        """Take in what became of an event."""
        rows = self._rows
        rows["run_events"].append(_event_row(record, event, payload, before, folded))
        rows["transitions_log"] += _transition_rows(record, folded)
        if folded.state is not before:
            rows["run_params"] += _param_rows(record, before, folded.state)
            rows["run_tags"] += _tag_rows(record, before, folded.state)
        if isinstance(event.data, AmlRunOutputEvent) and folded.state is not before:
            rows["run_outputs"].append(_output_row(record, event, event.data))

    def tables(self, states: list[Row]) -> tuple[TableRows, ...]:
        """Return all rows, with those of `run_state`, in the order of writing."""
        states = sorted(states, key=lambda row: int(row[-1]))
        rows = {**self._rows, "run_state": states}
        return tuple(table_rows(table, _COLUMNS[table], rows[table]) for table in TABLES)


def state_row(state: RunState, topic: str, partition: int, offset: int) -> Row:
    """Return the row of a run's state after the event at an offset."""
    header = state.header
    return (
        *(state.workspace, state.run_id, offset + 1, encode_state(state)),
        *(state.status or "", header.experiment_name, header.display_name, header.description),
        *(header.parent_run_id, header.root_run_id, header.run_type, header.compute_target, header.user, header.script_name),
        *(state.cause or "", state.message, *_error(state.error), state.attempt, state.revision),
        *(state.claimed_from is not None, state.life),
        *(_micros(header.created_time), _micros(state.start_time), _micros(state.end_time)),
        *(_micros(state.status_time), _micros(state.last_seen), state.lease_seconds),
        {key: value for key, value in header.tags.items() if value is not None},
        sorted(key for key, value in header.tags.items() if value is None),
        *(header.properties, state.params),
        *(topic, partition, offset),
    )


def _event_row(record: Record, event: Event, payload: str, before: RunState | None, folded: Folded) -> Row:
    data = event.data
    actor = data.actor if isinstance(data, AmlRunEvent | AmlRunStatusChangedEvent) else None
    return (
        *(event.workspace, event.run_id, event.id, event.type, event.version, event.producer, event.sequence),
        *(to_micros(event.time), _micros(event.recorded_time)),
        _outcome(before, folded),
        folded.rejection.reason if folded.rejection else "",
        data.operation if isinstance(data, AmlRunEvent) else "",
        data.status if isinstance(data, AmlRunStatusChangedEvent) else "",
        folded.state.header.experiment_name,
        *((actor.kind, actor.name) if actor else ("", "")),
        payload,
        *_place(record),
    )


def _outcome(before: RunState | None, folded: Folded) -> Outcome:
    if folded.state is before:
        return "duplicate"
    if folded.rejection:
        return "rejected"
    return "accepted" if folded.transition else "taken"


def _transition_rows(record: Record, folded: Folded) -> Iterator[Row]:
    if folded.transition:
        yield _accepted_row(record, folded.transition)
    if folded.rejection and isinstance(folded.rejection.event.data, AmlRunStatusChangedEvent):
        yield _rejected_row(record, folded.rejection, folded.rejection.event.data, folded.state)


def _accepted_row(record: Record, transition: Transition) -> Row:
    event, state = transition.event, transition.state
    return (
        *(state.workspace, state.run_id, event.id, True, "", state.status or "", transition.previous_status or ""),
        *(to_micros(event.time), _micros(event.recorded_time)),
        *(state.attempt, state.revision, state.cause or "", state.message, *_error(state.error)),
        *((state.actor.kind, state.actor.name) if state.actor else ("", "")),
        *(state.claimed_from is not None, transition.correction),
        *(_micros(state.start_time), _micros(state.end_time)),
        *_header(state),
        *_place(record),
    )


def _rejected_row(record: Record, rejection: Rejection, data: AmlRunStatusChangedEvent, state: RunState) -> Row:
    event = rejection.event
    return (
        *(event.workspace, event.run_id, event.id, False, rejection.reason, data.status, state.status or ""),
        *(to_micros(event.time), _micros(event.recorded_time)),
        *(state.attempt, state.revision, data.cause or "", data.message, *_error(data.error)),
        *((data.actor.kind, data.actor.name) if data.actor else ("", "")),
        *(data.claim, False),
        *(_micros(state.start_time), _micros(state.end_time)),
        *_header(state),
        *_place(record),
    )


def _param_rows(record: Record, before: RunState | None, after: RunState) -> Iterator[Row]:
    known = before.params if before else {}
    if known is after.params:
        return  # as after most events
    for key, value in after.params.items():
        if known.get(key) != value:
            yield (after.workspace, key, after.run_id, value, _number(value), record.offset + 1, *_place(record))


def _tag_rows(record: Record, before: RunState | None, after: RunState) -> Iterator[Row]:
    known = before.header.tags if before else {}
    tags = after.header.tags
    if known is tags:
        return
    version = record.offset + 1
    for key, value in tags.items():
        if key not in known or known[key] != value:
            text = value or ""
            yield (after.workspace, key, after.run_id, text, _number(text), value is None, False, version, *_place(record))
    for key in known.keys() - tags.keys():
        yield (after.workspace, key, after.run_id, "", math.nan, False, True, version, *_place(record))


def _output_row(record: Record, event: Event, data: AmlRunOutputEvent) -> Row:
    return (
        *(event.workspace, event.run_id, data.path, data.size, data.sha256, data.content_type, data.uri),
        *(to_micros(event.time), record.offset + 1),
        *_place(record),
    )


def _header(state: RunState) -> Row:
    header = state.header
    return (header.experiment_name, header.display_name, header.parent_run_id, header.root_run_id, header.user)


def _error(envelope: ErrorEnvelope | None) -> tuple[str, str]:
    return (envelope.error.code, envelope.error.message) if envelope else ("", "")


def _place(record: Record) -> Row:
    return (record.topic, record.partition, record.offset)


def _micros(moment: datetime | None) -> int:
    """Microseconds since 1970; a time that is not known is 0."""
    return 0 if moment is None else to_micros(moment)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
