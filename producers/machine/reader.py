"""Reads the machine: psutil for processor, memory, disk and network, NVML for GPUs, the files of control groups for limits."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import psutil

from runherald.producers.machine.control_group import read_control_group
from runherald.producers.machine.readings import Gpu, Reading

_log = logging.getLogger("runherald.machine")


class MachineReader:
    """Reads what the run's processes and their machine take. The run's processes are this one and all below it.

    Args:
        folder: of the file system whose room is read.
    """

    def __init__(self, folder: str = ".") -> None:
        self._folder = os.path.abspath(folder)  # noqa: PTH100  # what Path would make of it is not needed
        self._process = psutil.Process()
        self._gpus = _Gpus()

    def read(self) -> Reading:
        """Return a reading; what cannot be read is left out of it."""
        group = read_control_group()
        times, memory = psutil.cpu_times(), psutil.virtual_memory()
        cpus = psutil.cpu_count() or 1
        # A group without a limit of its own is told of as the machine.
        has_cores = group.cores is not None and group.cpu_seconds is not None and group.cores < cpus
        has_memory = group.memory_limit is not None and group.memory_used is not None and group.memory_limit < memory.total
        process_cpu, process_memory = self._processes()
        disk, network, room = _counters(psutil.disk_io_counters), _counters(psutil.net_io_counters), self._room()
        return Reading(
            at=time.monotonic(),
            cores=group.cores if has_cores else float(cpus),
            cpu_seconds=group.cpu_seconds if has_cores else _busy(times),
            process_cpu=process_cpu,
            memory_used=group.memory_used if has_memory else memory.total - memory.available,
            memory_total=group.memory_limit if has_memory else memory.total,
            process_memory=process_memory,
            disk_used=room[0],
            disk_total=room[1],
            disk_read=getattr(disk, "read_bytes", None),
            disk_written=getattr(disk, "write_bytes", None),
            network_received=getattr(network, "bytes_recv", None),
            network_sent=getattr(network, "bytes_sent", None),
            gpus=self._gpus.read(),
        )

    def _processes(self) -> tuple[dict[tuple[int, float], float], int]:
        taken: dict[tuple[int, float], float] = {}
        resident = 0
        for process in self._tree():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    taken[process.pid, process.create_time()] = times.user + times.system
                    resident += process.memory_info().rss
            except psutil.Error:
                continue  # it has just ended, or is another user's
        return taken, resident

    def _tree(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return [self._process]

    def _room(self) -> tuple[int | None, int | None]:
        try:
            usage = psutil.disk_usage(self._folder)
        except OSError:
            return None, None
        return usage.used, usage.total


class _Gpus:
    """NVIDIA's GPUs, where there are any and `nvidia-ml-py` is installed."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._devices: list[Any] = []
        try:
            import pynvml  # type: ignore[import-untyped]  # of `nvidia-ml-py`, which is of no use without a driver
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
            self._devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            _log.debug("no_gpus reason=%r", str(error))
            return
        self._nvml = pynvml

    def read(self) -> tuple[Gpu, ...]:
        """Return what the driver says."""
        return tuple(self._device(index, device) for index, device in enumerate(self._devices))

    def _device(self, index: int, device: Any) -> Gpu:
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, device)
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, device)
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage, device)
        return Gpu(
            index=index,
            percent=None if rates is None else float(rates.gpu),
            memory_used=None if memory is None else int(memory.used),
            memory_total=None if memory is None else int(memory.total),
            watts=None if milliwatts is None else milliwatts / 1000,
            celsius=self._ask(nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU),
        )

    def _ask(self, question: Any, *arguments: Any) -> Any:
        try:
            return question(*arguments)
        except self._nvml.NVMLError:
            return None


def _busy(times: Any) -> float:
    """Return the seconds that were worked; a guest's are in its user's already."""
    idle = times.idle + getattr(times, "iowait", 0.0)
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    # Of large numbers a small one is left: unrounded it may seem to shrink while nothing works, as a counter does that began anew.
    return round(float(sum(times) - idle - guests - getattr(times, "steal", 0.0)), 3)


def _counters(read: Any) -> Any:
    try:
        return read()
    except (OSError, RuntimeError, NotImplementedError):  # a container may hide them
        return None
