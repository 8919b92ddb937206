"""Which requests come from pages of other sites, and which names are this server's."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from runherald.studio.hosts import host_name, is_from_another_site, is_own_name

NAMES = (host_name("https://Runs.Example.org/"), "trainbox.lab.example", host_name(""))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:7460",
        "192.168.1.5",
        "[::1]:7460",
        "localhost:7460",
        "LOCALHOST",
        "me.localhost",
        "server:7460",
        "runs.example.org",
        "trainbox.lab.example.:80",
    ],
)
def test_addresses_and_names_that_nobody_else_can_have_are_own(host: str) -> None:
    assert is_own_name(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example:7460",
        "127.0.0.1.evil.example",
        "runs.example.org.evil.example",
        "localhost.evil.example",
        "x@evil.example",
        "[",
        "[::1",
        "1.2.3.4.5",
    ],
)
def test_names_that_somebody_can_register_are_not_own(host: str) -> None:
    assert not is_own_name(host, NAMES)


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"host": "server:7460", "origin": "http://server:7460"}, False),
        ({"host": "server:7460", "origin": "http://SERVER:7460", "sec-fetch-site": "same-origin"}, False),
        ({"host": "inside:7460", "origin": "https://runs.example.org"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"host": "server:7460", "origin": "http://server:3000"}, True),
        ({"host": "server:7460", "origin": "null"}, True),
        ({"host": "server:7460", "origin": ""}, True),
        ({"host": "", "origin": ""}, True),
        ({"host": "server:7460", "origin": "http://["}, True),
        ({"host": "server:7460", "origin": "http://server:7460.evil.example"}, True),
    ],
)
def test_only_own_pages_are_no_other_site(headers: dict[str, str], foreign: bool) -> None:
    assert is_from_another_site(Headers(headers), NAMES) is foreign
