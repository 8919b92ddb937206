"""What history holds that is older than the log: rows that nothing can make again are taken into the fresh tables as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runherald.alerts.alerting import TABLE as DECISIONS
from runherald.alerts.notice_table import TABLE as NOTICES
from runherald.sinks.former_log import is_former
from runherald.sinks.fresh_copy import FreshCopy
from runherald.sinks.open_rows import before
from runherald.sinks.table_shape import shape_of
from runherald.streams.rebuild.derived import derived
from runherald.streams.rebuild.plan import Part
from runherald.streams.rebuild.replay import Replay

_END_OF_TIME = 2**62


def carry_older(copy: FreshCopy, parts: Mapping[str, Sequence[Part]], replays: Mapping[str, Replay]) -> None:
    """Copy the rows older than the log, and those of a former one, of each processor that cannot read them elsewhere."""
    for each in derived():
        if each.older == "kept":
            begins = {part.partition: part.log_from for part in parts[each.processor]}
            for table in each.tables:
                copy.carry(table, _condition(copy, table, begins, replays[each.processor]))


def _condition(copy: FreshCopy, table: str, begins: Mapping[int, int], replay: Replay) -> str:
    if table == "metric_series":
        older = f"{is_former(shape_of(copy.history, 'metric_points'))} OR {before(begins)}"
        return f"series_id IN (SELECT series_id FROM `{copy.history.database}`.metric_points WHERE {older})"  # noqa: S608
    if table == DECISIONS:  # they do not say where in the log they stand themselves
        return f"decision_id NOT IN (SELECT decision_id FROM `{copy.tables.database}`.{DECISIONS})"  # noqa: S608
    older = f"({is_former(shape_of(copy.history, table))} OR {before(begins)})"
    if table == NOTICES:
        known = f"SELECT notice_id FROM `{copy.tables.database}`.{NOTICES}"  # noqa: S608
        return f"notice_id NOT IN ({known}) AND ({older} OR {_decided_before(begins, replay)})"
    return older


def _decided_before(begins: Mapping[int, int], replay: Replay) -> str:
    """Return the condition of notices that were decided before the log begins: what was said of them since has nothing to go on."""
    firsts = {at.partition: time * 1000 for at, time in replay.first_times.items()}
    times = {partition: firsts.get(partition, _END_OF_TIME) for partition in begins}
    return before(times, "toUnixTimestamp64Micro(decided_time)")
