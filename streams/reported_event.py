"""Records as the events that producers report, checked before anything is made of them."""

from __future__ import annotations

from runherald.errors import InvalidEvent
from runherald.events import Event
from runherald.limits import SERVER_LIMITS, Limits
from runherald.records import Record
from runherald.topics import topic_of
from runherald.validation import check_event
from runherald.wire import from_record


def reported_event(record: Record, limits: Limits = SERVER_LIMITS) -> Event:
    """Return the event of a record when it may be taken from this topic.

    Raises:
        InvalidEvent: it may not; names the field.
    """
    event = from_record(record)
    check_event(event, limits)
    if topic_of(event.type) != record.topic:
        raise InvalidEvent("ce_type", f"events of this type belong to {topic_of(event.type)}")
    if record.key != event.run_id.encode():
        raise InvalidEvent("key", "is not the run id (ce_subject): events of a run would not stay in order")
    return event
