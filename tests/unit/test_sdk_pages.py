"""A family of runs is read in pages, from a server that has pages of it and from one that has none yet."""

from __future__ import annotations

from runherald.api import MetricPage, MetricSeries, RunPage, RunView
from runherald.producers.server.client import ApiClient
from tests.unit.canned_api import CannedApi

A, B, C = (RunView(run_id=run_id, workspace="default", experiment_name="digits", status="Running") for run_id in "abc")
LOSS, ACC = (MetricSeries(run_id="a", name=name, kind="scalar", steps=[0], times=[1], values=[0.5]) for name in ("loss", "acc"))


def test_children_come_page_by_page_and_no_page_sooner_than_it_is_wanted(api: CannedApi, client: ApiClient) -> None:
    api.answer("/runs/p/children", RunPage(runs=[A, B], next="1.b"), RunPage(runs=[C]))
    children = client.each_child("p", recursive=True)
    assert [next(children), next(children)] == [A, B]
    assert [asked.parameters for asked in api.asked] == [{"recursive": "true", "limit": "200"}]
    assert list(children) == [C]
    assert api.asked[1].parameters == {"recursive": "true", "limit": "200", "cursor": "1.b"}


def test_metrics_of_a_family_are_joined(api: CannedApi, client: ApiClient) -> None:
    api.answer("/runs/p/metrics", MetricPage(series=[LOSS], next="1.b"), MetricPage(series=[], next="1.c"), MetricPage(series=[ACC]))
    assert client.metrics("p", recursive=True, name="x") == [LOSS, ACC]
    assert [asked.parameters.get("cursor") for asked in api.asked] == [None, "1.b", "1.c"]


def test_a_server_without_such_pages_answers_all_at_once(api: CannedApi, client: ApiClient) -> None:
    api.answer("/runs/p/children", [A, B])
    api.answer("/runs/p/metrics", [LOSS])
    assert client.children("p") == [A, B]
    assert client.metrics("p", recursive=True) == client.metrics("p") == [LOSS]
