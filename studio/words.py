"""Reasons, evidence, times and numbers in words for people."""

from __future__ import annotations

import math
import signal
from datetime import UTC, datetime

from runherald.api import RunView
from runherald.durations import short_duration
from runherald.events import Evidence
from runherald.status import TERMINAL
from runherald.status_words import cause_in_words

_AZURES_OPENING = "User program failed with "


def reason_in_short(run: RunView) -> str:
    """Return in one line why a run is as it is: its error, else its message, else its cause."""
    error = run.error.error if run.error else None
    if error is not None:
        # A list has the message alone; the exception's type is in the state, and Azure's opening says it as well.
        kind = error.debug_info.type if error.debug_info else ""
        text = error.message.removeprefix(_AZURES_OPENING)
        text = f"{kind}: {text}" if kind and not text.startswith(kind) else text
    else:
        text = run.message
    return first_line(text) or cause_in_words(run.cause)


def evidence_in_words(evidence: Evidence | None) -> list[str]:
    """Return what a verdict rests on, one fact each."""
    if evidence is None:
        return []
    facts = {
        f"exit code {evidence.exit_code}": evidence.exit_code is not None,
        f"signal {_signal_name(evidence.signal)}": evidence.signal is not None,
        f"host {evidence.host}": bool(evidence.host),
        f"process {evidence.pid}": evidence.pid is not None,
        f"last seen {moment(evidence.last_seen)}": evidence.last_seen is not None,
        f"lease of {short_duration(evidence.lease_seconds)}": evidence.lease_seconds is not None,
    }
    return [fact for fact, known in facts.items() if known]


def moment(time: datetime | None) -> str:
    """Return a time in UTC, to the second; the page's script shows it in the reader's zone."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(time: datetime | None) -> str:
    """Return a time for machines."""
    return "" if time is None else time.astimezone(UTC).isoformat()


def number(value: float | None) -> str:
    """Return a metric's value, to six digits."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.6g}"


def size_in_bytes(size: int) -> str:
    """Return a file's size in decimal units, to three digits: `512 B`, `24.4 kB`, `3.2 GB`."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.3g} TB" if amount < 999.5 else f"{amount:,.0f} TB"


def first_line(text: str, length: int = 160) -> str:
    """Return the first line of a text, shortened."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= length else line[: length - 1] + "…"


def run_name(run: RunView) -> str:
    """Return what a run is called: its name, or the beginning of its id."""
    return run.display_name or short_id(run.run_id)


def short_id(run_id: str) -> str:
    """Return enough of an id to tell it from its neighbours."""
    return run_id if len(run_id) <= 16 else f"{run_id[:12]}…"


def has_ended(status: str) -> bool:
    """Say whether nothing follows a status."""
    return status in TERMINAL


def is_number_type(name: str) -> bool:
    """Say whether the ClickHouse type of this name holds numbers."""
    return name.removeprefix("LowCardinality(").removeprefix("Nullable(").startswith(("Int", "UInt", "Float", "Decimal"))


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return str(number)
