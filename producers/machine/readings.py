"""What is read of a machine at one moment, and the metrics that two such readings make. Nothing here reads anything."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

PREFIX = "system/"
_MB = 1024 * 1024


class Gpu(Struct, frozen=True, kw_only=True):
    """One GPU; what the driver does not say is None."""

    index: int
    percent: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    watts: float | None = None
    celsius: float | None = None


class Reading(Struct, frozen=True, kw_only=True):
    """A machine at a moment. Bytes and seconds; counters only grow; what cannot be read is None.

    Attributes:
        at: seconds that never go back.
        cores: how many cores the run may use: those of the machine, or fewer by the limit of its control group.
        cpu_seconds: that all processes within `cores` took together.
        process_cpu: seconds of each of the run's processes, by its id and start; a process that ended is missing.
        memory_used: of `memory_total`, which is the machine's, or the limit of the control group.
        process_memory: resident memory of the run's processes.
        disk_used: of the file system that the run's folder is on, whose size is `disk_total`.
    """

    at: float
    cores: float | None = None
    cpu_seconds: float | None = None
    process_cpu: dict[tuple[int, float], float] = {}
    memory_used: int | None = None
    memory_total: int | None = None
    process_memory: int | None = None
    disk_used: int | None = None
    disk_total: int | None = None
    disk_read: int | None = None
    disk_written: int | None = None
    network_received: int | None = None
    network_sent: int | None = None
    gpus: tuple[Gpu, ...] = ()


def points(before: Reading | None, now: Reading) -> dict[str, float]:
    """Return the metrics of a reading, named `system/…`; rates need the reading before it."""
    found = {**dict(_levels(now)), **dict(_rates(before, now) if before is not None else ())}
    return {PREFIX + name: round(value, 3) for name, value in found.items()}


def _levels(now: Reading) -> Iterator[tuple[str, float]]:
    if now.memory_used is not None:
        yield "memory_used_mb", now.memory_used / _MB
        if now.memory_total:
            yield "memory_percent", 100 * now.memory_used / now.memory_total
    if now.process_memory is not None:
        yield "process_memory_mb", now.process_memory / _MB
    if now.disk_used is not None and now.disk_total:
        yield "disk_percent", 100 * now.disk_used / now.disk_total
    for gpu in now.gpus:
        yield from _gpu(gpu)


def _gpu(gpu: Gpu) -> Iterator[tuple[str, float]]:
    name = f"gpu_{gpu.index}_"
    if gpu.percent is not None:
        yield name + "percent", gpu.percent
    if gpu.memory_used is not None:
        yield name + "memory_used_mb", gpu.memory_used / _MB
        if gpu.memory_total:
            yield name + "memory_percent", 100 * gpu.memory_used / gpu.memory_total
    if gpu.watts is not None:
        yield name + "power_watts", gpu.watts
    if gpu.celsius is not None:
        yield name + "temperature_celsius", gpu.celsius


def _rates(before: Reading, now: Reading) -> Iterator[tuple[str, float]]:
    seconds = now.at - before.at
    if seconds <= 0:
        return
    if now.cores and (busy := _growth(before.cpu_seconds, now.cpu_seconds)) is not None:
        yield "cpu_percent", min(100.0, 100 * busy / seconds / now.cores)
    if now.process_cpu:
        # A process that is new since counts from its beginning.
        own = sum(max(0.0, taken - before.process_cpu.get(key, 0.0)) for key, taken in now.process_cpu.items())
        yield "process_cpu_percent", 100 * own / seconds
    for name, was, has in (
        ("disk_read_mb_per_second", before.disk_read, now.disk_read),
        ("disk_written_mb_per_second", before.disk_written, now.disk_written),
        ("network_received_mb_per_second", before.network_received, now.network_received),
        ("network_sent_mb_per_second", before.network_sent, now.network_sent),
    ):
        if (grown := _growth(was, has)) is not None:
            yield name, grown / seconds / _MB


def _growth(was: float | None, has: float | None) -> float | None:
    """Return by how much a counter grew; None where it is not known, or began anew."""
    return None if was is None or has is None or has < was else has - was
