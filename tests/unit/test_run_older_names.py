"""Names that files had in older versions of Azure ML."""

from __future__ import annotations

from runherald.producers.run.older_names import name_now, with_older

OLDER, NOW = "azureml-logs/70_driver_log.txt", "user_logs/std_log.txt"


def test_an_older_name_stands_for_the_file_unless_there_is_one_of_that_name() -> None:
    assert name_now(OLDER, [NOW, "outputs/x"]) == NOW
    assert name_now(OLDER, [NOW, OLDER]) == OLDER
    assert name_now(OLDER, ["outputs/x"]) == OLDER
    assert name_now("outputs/x", [NOW]) == "outputs/x"


def test_what_is_said_of_a_file_is_said_under_its_older_name_too() -> None:
    assert list(with_older({NOW: 1, "a": 2}).items()) == [("a", 2), (OLDER, 1), (NOW, 1)]
    assert with_older({NOW: 1, OLDER: 3}) == {OLDER: 3, NOW: 1}
    assert with_older({"a": 2}) == {"a": 2}
