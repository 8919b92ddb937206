"""Readings of a machine become metrics; control groups say what of it a run may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from runherald.producers.machine.control_group import ControlGroup, read_control_group
from runherald.producers.machine.readings import Gpu, Reading, points

MB = 1024 * 1024


def test_levels_come_with_the_first_reading_and_rates_with_the_second() -> None:
    first = Reading(
        at=100.0,
        cores=4.0,
        cpu_seconds=1_000.0,
        process_cpu={(1, 0.5): 10.0, (2, 0.5): 5.0},
        memory_used=300 * MB,
        memory_total=1_200 * MB,
        process_memory=200 * MB,
        disk_used=50,
        disk_total=200,
        disk_read=0,
        disk_written=10 * MB,
        network_received=5 * MB,
        network_sent=0,
    )
    assert points(None, first) == {
        "system/memory_used_mb": 300.0,
        "system/memory_percent": 25.0,
        "system/process_memory_mb": 200.0,
        "system/disk_percent": 25.0,
    }
    # Process 2 ended, 3 began; 1 worked for 10 seconds.
    second = Reading(
        at=110.0,
        cores=4.0,
        cpu_seconds=1_020.0,
        process_cpu={(1, 0.5): 20.0, (3, 105.0): 2.0},
        disk_read=20 * MB,
        disk_written=10 * MB,
        network_received=4 * MB,
        network_sent=MB,
    )
    assert points(first, second) == {
        "system/cpu_percent": 50.0,
        "system/process_cpu_percent": 120.0,
        "system/disk_read_mb_per_second": 2.0,
        "system/disk_written_mb_per_second": 0.0,
        "system/network_sent_mb_per_second": 0.1,  # what was received began anew: an interface came or went
    }
    assert points(second, second) == {}


def test_a_gpu_says_what_its_driver_says() -> None:
    whole = Gpu(index=1, percent=80.0, memory_used=20 * MB, memory_total=80 * MB, watts=250.5, celsius=61.0)
    assert points(None, Reading(at=0.0, gpus=(Gpu(index=0, percent=0.0), whole))) == {
        "system/gpu_0_percent": 0.0,
        "system/gpu_1_percent": 80.0,
        "system/gpu_1_memory_used_mb": 20.0,
        "system/gpu_1_memory_percent": 25.0,
        "system/gpu_1_power_watts": 250.5,
        "system/gpu_1_temperature_celsius": 61.0,
    }


def laid_out(folder: Path, files: dict[str, str]) -> tuple[Path, Path]:
    """Write `/proc/self/cgroup` and the tree that it leads into, and return both."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "cgroup", folder / "tree"


def test_the_narrowest_limit_above_a_process_counts(tmp_path: Path) -> None:
    paths = laid_out(
        tmp_path,
        {
            "cgroup": "0::/jobs/mine\n",
            "tree/cgroup.controllers": "cpu memory\n",
            "tree/jobs/cpu.max": "150000 100000\n",
            "tree/jobs/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            "tree/jobs/memory.max": "4294967296\n",
            "tree/jobs/memory.current": "9\n",
            "tree/jobs/mine/cpu.max": "max 100000\n",
            "tree/jobs/mine/memory.max": "1000\n",
            "tree/jobs/mine/memory.current": "700\n",
            "tree/jobs/mine/memory.stat": "anon 500\ninactive_file 200\n",
        },
    )
    assert read_control_group(*paths) == ControlGroup(cores=1.5, cpu_seconds=2.5, memory_limit=1000, memory_used=500)


def test_a_containers_own_tree_is_read_where_the_hosts_path_is_not_in_it(tmp_path: Path) -> None:
    files = {"cgroup": "0::/../../host/path\n", "tree/cgroup.controllers": "", "tree/memory.max": "max\n", "tree/cpu.max": "50000 100000\n"}
    assert read_control_group(*laid_out(tmp_path, files)) == ControlGroup(cores=0.5)


def test_the_first_version_of_control_groups_is_read(tmp_path: Path) -> None:
    paths = laid_out(
        tmp_path,
        {
            "cgroup": "4:memory:/box\n3:cpu,cpuacct:/box\n0::/\n",
            "tree/cpu/box/cpu.cfs_quota_us": "200000\n",
            "tree/cpu/box/cpu.cfs_period_us": "100000\n",
            "tree/cpu/cpu.cfs_quota_us": "-1\n",
            "tree/cpuacct/box/cpuacct.usage": "3000000000\n",
            "tree/memory/box/memory.limit_in_bytes": "2000\n",
            "tree/memory/box/memory.usage_in_bytes": "900\n",
            "tree/memory/box/memory.stat": "total_inactive_file 100\n",
            "tree/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert read_control_group(*paths) == ControlGroup(cores=2.0, cpu_seconds=3.0, memory_limit=2000, memory_used=800)


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::/\n"])
def test_without_groups_there_are_no_limits(tmp_path: Path, text: str) -> None:
    assert read_control_group(*laid_out(tmp_path, {"cgroup": text})) == ControlGroup()
    assert read_control_group(tmp_path / "not there", tmp_path) == ControlGroup()
