"""Dead letters: records that could not be taken, kept with their origin and a reason."""

from __future__ import annotations

from runherald.records import Outgoing, Record
from runherald.topics import DEAD_LETTERS

MAX_REASON = 1_000


def dead_letter(record: Record, *, processor: str, reason: str) -> Outgoing:
    """Return the dead letter of a record: its key, value and headers as they were, where it came from, and why it could not be taken."""
    origin = (
        ("rh_origin_topic", record.topic.encode()),
        ("rh_origin_partition", str(record.partition).encode()),
        ("rh_origin_offset", str(record.offset).encode()),
        ("rh_origin_timestamp", str(record.timestamp).encode()),
        ("rh_processor", processor.encode()),
        ("rh_reason", reason[:MAX_REASON].encode(errors="replace")),
    )
    return Outgoing(topic=DEAD_LETTERS, key=record.key, value=record.value, headers=(*record.headers, *origin))
