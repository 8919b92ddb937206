"""Fixtures of all tests, and what holds for all."""

from hypothesis import settings

pytest_plugins = ("tests.fixtures.parts", "tests.fixtures.chdb")

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("runherald", deadline=None)
settings.load_profile("runherald")
