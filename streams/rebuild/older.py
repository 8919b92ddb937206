"""What history holds that is older than the log: rows that nothing can make again are taken into the fresh tables as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runherald.alerts.notice_table import TABLE as NOTICES
from runherald.sinks.fresh_copy import FreshCopy
from runherald.sinks.open_rows import before
from runherald.streams.rebuild.derived import Derived, derived
from runherald.streams.rebuild.plan import Part
from runherald.streams.rebuild.replay import Replay

_NEVER_DECIDED = 2**62


def carry_older(copy: FreshCopy, parts: Mapping[str, Sequence[Part]], replays: Mapping[str, Replay]) -> None:
    """Copy the rows older than the log of each processor that cannot read them elsewhere."""
    for each in derived():
        begins = {part.partition: part.log_from for part in parts[each.processor] if part.older == "kept"}
        if begins:
            _carry(copy, each, begins, replays[each.processor])


def _carry(copy: FreshCopy, each: Derived, begins: Mapping[int, int], replay: Replay) -> None:
    older = before(begins)
    for table in each.tables:
        if table == "metric_series":
            points = f"`{copy.history.database}`.metric_points"
            copy.carry(table, f"series_id IN (SELECT series_id FROM {points} WHERE {older})")  # noqa: S608
        elif table == NOTICES:
            known = f"`{copy.tables.database}`.{NOTICES}"
            copy.carry(table, f"notice_id NOT IN (SELECT notice_id FROM {known}) AND ({older} OR {_decided_before(begins, replay)})")  # noqa: S608
        else:
            copy.carry(table, older)


def _decided_before(begins: Mapping[int, int], replay: Replay) -> str:
    """Return the condition of notices that were decided before the log begins: what was said of them since has nothing to go on."""
    firsts = {at.partition: time * 1000 for at, time in replay.first_times.items()}
    times = {partition: firsts.get(partition, _NEVER_DECIDED) for partition in begins}
    return before(times).replace("toInt64(_offset)", "toUnixTimestamp64Micro(decided_time)")
