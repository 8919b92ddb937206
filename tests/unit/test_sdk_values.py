"""What may be logged, and what the error says of what may not."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from runherald.api import MetricSeries
from runherald.errors import InvalidInput
from runherald.producers import values
from runherald.producers.server.logged import metrics_of


class Tensor:
    """What a tensor of one element looks like."""

    def __init__(self, *held: float) -> None:
        self._held = held

    def item(self) -> float:
        if len(self._held) != 1:
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self._held[0]

    def __float__(self) -> float:
        return float(self.item())


class OwnText(str):
    """What `str` leaves as it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


@pytest.mark.parametrize("value", [OwnText("t"), np.array(OwnText("t"), dtype=object)])
def test_a_text_of_a_class_of_its_own_is_a_plain_one(value: object) -> None:
    found = values.scalar(value)
    assert (found, type(found)) == ("t", str)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (2.5, 2.5),
        (True, 1.0),
        ("text", "text"),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7.0),
        (np.bool_(True), 1.0),
        (np.str_("t"), "t"),
        (np.array(3.0), 3.0),
        (np.array([4]), 4.0),
        (Decimal("1.25"), 1.25),
        (Fraction(1, 4), 0.25),
        (Tensor(6.0), 6.0),
        (10**400, None),
        (None, None),
        ([1], None),
        ({"a": 1}, None),
        (1j, None),
        (np.array([1, 2]), None),
        (Tensor(1.0, 2.0), None),
        (object(), None),
    ],
)
def test_numbers_and_texts_of_any_make(value: object, expected: object) -> None:
    found = values.scalar(value)
    assert found == expected
    assert type(found) is type(expected)


def test_nan_and_infinities_are_numbers() -> None:
    assert math.isnan(values.scalar(np.float64("nan")))  # type: ignore[arg-type]
    assert values.scalar(float("-inf")) == -math.inf
    assert values.row("row", {"a": math.nan, "b": np.float32("inf")}) == {"a": "NaN", "b": "Infinity"}


def test_a_table_takes_lists_arrays_and_single_values() -> None:
    assert values.table("t", {"a": [1, 2], "b": np.array([0.5, 1.5]), "c": ("x", None)}) == {
        "a": [1, 2],
        "b": [0.5, 1.5],
        "c": ["x", None],
    }
    assert values.table("t", {"a": 1, "b": "x"}) == {"a": [1], "b": ["x"]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: values.items("run r: metric 'm'", []), "run r: metric 'm': the list is empty"),
        (lambda: values.items("w", "text"), "w: is a str; pass a list"),
        (lambda: values.items("w", 5), "w: is a int; pass a list"),
        (lambda: values.items("w", [1, None]), "w: item 1 is a NoneType"),
        (lambda: values.row("w", {}), "w: has no columns"),
        (lambda: values.row("w", {"a": [1]}), "w, column 'a': is a list"),
        (lambda: values.table("w", [1]), "w: is a list; pass a dictionary"),
        (lambda: values.table("w", {}), "w: has no columns"),
        (lambda: values.table("w", {"a": [1], "b": [1, 2]}), "differ in length ('a' has 1, 'b' has 2)"),
        (lambda: values.table("w", {"a": [{}]}), "w, column 'a': is a dict"),
        (lambda: values.table("w", {"a": ["x" * 1_000_000]}), "w: is 1000010 bytes as JSON; at most 900000"),
    ],
)
def test_the_error_names_what_and_why(call: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert message in str(caught.value)


def series(name: str, kind: str, *logged: object, first: int = 0) -> MetricSeries:
    steps = list(range(first, first + len(logged)))
    return MetricSeries(run_id="r", name=name, kind=kind, steps=steps, times=steps, values=list(logged))


@pytest.mark.parametrize(
    ("logged", "expected"),
    [
        ([series("m", "scalar", 1.0)], 1.0),
        ([series("m", "scalar", 1.0, 2.0)], [1.0, 2.0]),
        ([series("m", "scalar", "Infinity", 2.0)], [math.inf, 2.0]),
        ([series("m", "text", "NaN")], "NaN"),
        ([series("m", "scalar", 1.0), series("m", "text", "x", first=1)], [1.0, "x"]),
        ([series("m", "scalar", 1.0, first=1), series("m", "text", "x")], ["x", 1.0]),
        ([series("m", "list", [1, 2], [3])], [1, 2, 3]),
        ([series("m", "list", [1])], 1),
        ([series("m", "row", {"a": 1, "b": 2})], {"a": 1, "b": 2}),
        ([series("m", "row", {"a": 1}, {"a": 2, "b": 3})], {"a": [1, 2], "b": [None, 3]}),
        ([series("m", "table", {"a": [1, 2], "b": ["x", "Infinity"]})], {"a": [1, 2], "b": ["x", math.inf]}),
        ([series("m", "table", {"a": [1]})], {"a": 1}),
    ],
)
def test_metrics_read_as_azure_gives_them(logged: list[MetricSeries], expected: object) -> None:
    assert metrics_of(logged) == {"m": expected}
