"""Fixtures of all tests."""

pytest_plugins = ("tests.fixtures.parts", "tests.fixtures.chdb")
