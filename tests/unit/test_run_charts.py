"""Charts in Azure's schemas: what is checked of known versions, and that others are kept."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from runherald.errors import InvalidInput
from runherald.producers.run.chart_schemas import ChartKind, chart


def known(kind: str, **data: object) -> dict[str, Any]:
    return {"schema_type": kind, "schema_version": "v1", "data": data}


ROW = [1, 2, 3, 4]
ACCURACY: dict[str, Any] = {
    "class_labels": ["a", "b"],
    "probability_thresholds": [0.1, 0.9],
    "percentile_thresholds": [0.5],
    "probability_tables": [[ROW, ROW], [ROW, ROW]],
    "percentile_tables": [[ROW], [ROW]],
}
PREDICTIONS: dict[str, Any] = {"bin_averages": [0.5, None], "bin_errors": [0.1, None], "bin_counts": [3, 0], "bin_edges": [0, 1, 2]}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("confusion_matrix", known("confusion_matrix", class_labels=["a", "b"], matrix=[[1, 2], [3, 4]])),
        ("accuracy_table", known("accuracy_table", **ACCURACY)),
        ("residuals", known("residuals", bin_edges=[0, 1.5, 3], bin_counts=[10, 2])),
        ("predictions", known("predictions", **PREDICTIONS)),
        ("confusion_matrix", {"schema_type": "confusion_matrix", "schema_version": "v9", "data": {"matrix": "of another kind"}}),
        ("residuals", {"anything": [1, {"else": None}]}),
    ],
)
def test_a_chart_is_taken_as_dictionary_and_as_json(kind: ChartKind, value: dict[str, Any]) -> None:
    assert chart("m", kind, value) == value
    assert chart("m", kind, json.dumps(value)) == value


def test_arrays_become_lists_and_what_is_not_finite_null() -> None:
    given = known("predictions", **{**PREDICTIONS, "bin_averages": np.array([0.5, math.nan]), "bin_counts": np.array([3, 0])})
    assert chart("m", "predictions", given) == known("predictions", **PREDICTIONS)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("residuals", "no json", "is a text that is no JSON"),
        ("residuals", "[1]", "is a str; pass a dictionary"),
        ("residuals", [1], "is a list of 1; pass a dictionary"),
        ("residuals", {"data": object()}, "holds what JSON cannot (a object)"),
        ("residuals", {"data": "x" * 1_000_000}, "bytes as JSON; at most"),
        ("residuals", known("predictions", **PREDICTIONS), "schema_type is 'predictions'; log it with log_predictions"),
        ("residuals", {"schema_type": "residuals", "schema_version": "v1"}, "data is missing"),
        (
            "residuals",
            known("residuals", bin_edges=[0, 1], bin_counts=[1, 2]),
            "data.bin_edges: has 2 items; pass as many as bin_counts and one more: 3",
        ),
        ("residuals", known("residuals", bin_edges=[0, "1"], bin_counts=[1]), "data.bin_edges[1]: is a str; pass a number"),
        ("confusion_matrix", known("confusion_matrix", class_labels=[], matrix=[]), "data.class_labels: is a list of 0; pass a list"),
        ("confusion_matrix", known("confusion_matrix", class_labels=["a", "b"], matrix=[[1, 2]]), "data.matrix: has 1 items"),
        ("confusion_matrix", known("confusion_matrix", class_labels=["a"], matrix=[[1, 2]]), "data.matrix[0]: is a list of 2"),
        ("confusion_matrix", known("confusion_matrix", class_labels=["a"], matrix=[[True]]), "data.matrix[0][0]: is a bool"),
        (
            "accuracy_table",
            known("accuracy_table", **{**ACCURACY, "percentile_tables": [[ROW], [[1, 2, 3]]]}),
            "data.percentile_tables[1][0]: is a list of 3; pass a list of 4 numbers",
        ),
        (
            "accuracy_table",
            known("accuracy_table", **{**ACCURACY, "probability_tables": [[ROW], [ROW]]}),
            "data.probability_tables[0]: is a list of 1; pass a list of as many rows as probability_thresholds has (2)",
        ),
        ("predictions", known("predictions", **{**PREDICTIONS, "bin_errors": [0.1]}), "data.bin_errors: has 1 items"),
    ],
)
def test_what_a_known_schema_does_not_say_is_named(kind: ChartKind, value: object, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        chart("run r: metric 'm'", kind, value)
    assert str(caught.value).startswith("run r: metric 'm'")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
