"""The user that users' queries run as is made with the password of its address, which the server never sees."""

from __future__ import annotations

import hashlib

import pytest

from runherald.deploy.query_user import make_query_user, query_user_statements
from runherald.errors import SettingsError
from runherald.settings import Settings

ADDRESS = "http://runherald_query:s%27ecret@clickhouse:8123"


def test_the_password_is_said_as_its_hash() -> None:
    statements = query_user_statements(ADDRESS, "runherald")
    digest = hashlib.sha256(b"s'ecret").hexdigest()
    assert sum(digest in statement for statement in statements) == 2
    assert not any("ecret" in statement or "<password>" in statement for statement in statements)


def test_a_new_password_takes_the_place_of_the_old() -> None:
    *_, last = query_user_statements(ADDRESS, "runherald")
    assert last.startswith("ALTER USER runherald_query IDENTIFIED WITH sha256_hash BY ")


def test_it_may_read_views_of_the_database_alone() -> None:
    grants = [statement for statement in query_user_statements(ADDRESS, "other") if statement.startswith("GRANT")]
    assert grants
    assert all(grant.startswith("GRANT SELECT ON other.") and grant.endswith(" TO runherald_query") for grant in grants)


@pytest.mark.parametrize("address", ["", "http://clickhouse:8123", "http://runherald_query@clickhouse:8123", "chdb:///folder"])
def test_an_address_without_user_and_password_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="names no user and password"):
        query_user_statements(address, "runherald")


def test_a_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(SettingsError):
        query_user_statements("http://a%3BDROP%20USER%20b:secret@clickhouse:8123", "runherald")


def test_embedded_history_has_no_users() -> None:
    with pytest.raises(SettingsError, match="embedded"):
        make_query_user(Settings(query_history=ADDRESS))
