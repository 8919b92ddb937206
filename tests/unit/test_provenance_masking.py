"""Secrets among a program's arguments are left out, and what only looks a little like one stays."""

from __future__ import annotations

import json

import pytest

from runherald.limits import DEFAULT_LIMITS
from runherald.producers.provenance.command import COMMAND_KEY, ENVIRONMENT_KEY, command_properties
from runherald.producers.provenance.masking import mask_arguments, names_a_secret


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--password", "hunter2", "data"], ["--password", "***", "data"]),
        (["--db-password=hunter2"], ["--db-password=***"]),
        (["--api-key", "-starts-odd"], ["--api-key", "***"]),
        (["--token", "--verbose"], ["--token", "--verbose"]),
        (["--hfToken", "abc"], ["--hfToken", "***"]),
        (["--AWS_SECRET_ACCESS_KEY", "abc"], ["--AWS_SECRET_ACCESS_KEY", "***"]),
        (["db.password=hunter2", "lr=0.1"], ["db.password=***", "lr=0.1"]),
        (["-c", "import x; login(token='hunter2', user='me')"], ["-c", "import x; login(token='***', user='me')"]),
        (["postgresql://me:hunter2@db:5432/x"], ["postgresql://***@db:5432/x"]),
        (["--data", "https://tok3n@example.org/x?sig=1"], ["--data", "https://***@example.org/x?sig=1"]),
        (["--url=https://example.org/?access_token=hunter2&a=1"], ["--url=https://example.org/?access_token=***&a=1"]),
        (["ghp_0123456789abcdef0123", "x"], ["***", "x"]),
        (["--password"], ["--password"]),
        (
            ["--tokenizer", "gpt2", "--max-tokens", "512", "--keyboard", "us"],
            ["--tokenizer", "gpt2", "--max-tokens", "512", "--keyboard", "us"],
        ),
        (["train.py", "--lr", "0.1", "--author", "me"], ["train.py", "--lr", "0.1", "--author", "me"]),
        (["s3://bucket/key@2x.png"], ["s3://bucket/key@2x.png"]),
    ],
)
def test_arguments(given: list[str], shown: list[str]) -> None:
    assert mask_arguments(given) == shown


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("--auth", True),
        ("dbPassword", True),
        ("x-api-key", True),
        ("passwd", True),
        ("authors", False),
        ("monkey", False),
        ("compass", False),
    ],
)
def test_names(name: str, secret: bool) -> None:
    assert names_a_secret(name) is secret


def test_of_the_environment_only_what_says_how_a_training_is_laid_out_is_kept() -> None:
    environ = {"RANK": "1", "WORLD_SIZE": "4", "MY_SECRET": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2", "PATH": "/bin"}
    found = command_properties(arguments=["python", "train me.py", "--password", "hunter2"], environ=environ)
    assert "hunter2" not in str(found)
    assert json.loads(found[ENVIRONMENT_KEY]) == {"RANK": "1", "WORLD_SIZE": "4"}
    assert found[COMMAND_KEY] == "python 'train me.py' --password '***'"
    assert found["runherald.python"].count(".") == 2


def test_what_is_long_or_odd_still_is_a_property() -> None:
    environ = {"RANK": "€" * 5_000, "WORLD_SIZE": "\n\0\ud83d", "LOCAL_RANK": "é" * 190, "TZ": "UTC"}
    found = command_properties(arguments=["python", "\ud83d\0", "x" * 5_000], environ=environ)
    assert max(map(len, found.values())) <= DEFAULT_LIMITS.property_value
    assert json.loads(found[ENVIRONMENT_KEY])["TZ"] == "UTC"
    assert ENVIRONMENT_KEY not in command_properties(arguments=[], environ={})
