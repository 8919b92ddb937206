"""The HTTP API against its own description: whatever it allows, and what it does not, is answered as it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, CheckFunction, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

import runherald.api
from runherald.api import POSITION_HEADER
from runherald.errors import InvalidEvent
from runherald.studio.operations import DESCRIPTION
from runherald.validation import check_run_id
from tests.fuzz.decoders import HEAD
from tests.fuzz.fuzzed_server import PATIENCE, FuzzedServer

Operation = APIOperation[Any, Any, Any, Any]

# A failure comes with a command that repeats it; to make it smaller would take minutes.
FIXED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
EXAMPLES = 6
NOT_CHECKED: list[CheckFunction] = [
    # Not all that is asked of a text can be said in a schema: a cursor is one that the server gave, a query is one that it can read.
    positive_data_acceptance,
    # Unknown parameters and fields are ignored: a newer caller may send them.
    negative_data_rejection,
]
ENDLESS_OR_ASKED = ("follow_changes", "describe_api")
"""The first never ends by itself, and `tests/integration/test_hostile_server.py` asks it; the second is asked to begin with."""
NOTHING_TO_SAY_WRONG = {(name, GenerationMode.NEGATIVE) for name in ("show_health", "show_figures")}


@pytest.fixture(scope="module")
def described(fuzzed: FuzzedServer) -> Iterator[dict[str, Operation]]:
    """Give the operations that the server says it has, by id."""
    schema = schemathesis.openapi.from_url(f"{fuzzed.url}{DESCRIPTION}")
    schema.validate()
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    yield {operation.definition.raw["operationId"]: operation for operation in found}
    fuzzed.check_well()


OPERATIONS = (
    *("take_events", "list_runs", "show_run", "list_transitions", "list_children", "list_metrics", "list_logs", "list_run_notices"),
    *("cancel_run", "list_notices", "run_query", "list_letters", "replay", "let_go_on", "show_letter", "show_status", "show_health"),
    "show_figures",
)
ASKED = [(name, mode) for name in OPERATIONS for mode in GenerationMode if (name, mode) not in NOTHING_TO_SAY_WRONG]


@pytest.mark.parametrize(("name", "mode"), ASKED)
def test_what_is_asked_is_answered_as_described(
    fuzzed: FuzzedServer, described: dict[str, Operation], name: str, mode: GenerationMode
) -> None:
    operation = described[name]
    session = requests.Session()

    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    @settings(FIXED, max_examples=EXAMPLES)
    def ask(case: Case[Any], known: bool) -> None:
        if case.headers:
            case.headers.pop(POSITION_HEADER, None)  # history would be waited for, ten seconds each
        if known and "run_id" in case.path_parameters:
            case.path_parameters["run_id"] = HEAD.run_id
        answer = case.call(session=session, timeout=PATIENCE)
        case.validate_response(answer, excluded_checks=NOT_CHECKED)
        assert answer.status_code != 503, answer.text
        assert answer.elapsed < PATIENCE

    with session:
        ask()


def test_every_operation_is_asked(fuzzed: FuzzedServer) -> None:
    document = fuzzed.process.get(DESCRIPTION)
    assert {found["operationId"] for path in document["paths"].values() for found in path.values()} == {*OPERATIONS, *ENDLESS_OR_ASKED}


@pytest.mark.parametrize("run_id", ["a", "..", ".", "...", "a b", "", "-", "x" * 256, "x" * 257, "é", "a\n", "a/b"])
def test_an_id_of_a_run_is_described_as_it_is_checked(fuzzed: FuzzedServer, run_id: str) -> None:
    named = fuzzed.process.get(DESCRIPTION)["paths"]["/api/v1/runs/{run_id}"]["get"]["parameters"][0]
    pattern = re.sub(r"\$$", r"\\Z", named["schema"]["pattern"])  # what `$` means to JSON schema
    try:
        check_run_id("run_id", run_id)
    except InvalidEvent:
        assert not re.search(pattern, run_id)
    else:
        assert re.search(pattern, run_id)


def test_the_table_of_the_api_says_the_same(fuzzed: FuzzedServer) -> None:
    rows = re.findall(r"^\| (GET|POST) (\S+) \| (.*?) ?\| (.*?) \|$", runherald.api.__doc__ or "", re.MULTILINE)
    table = {(method, path): (asked, answered) for method, path, asked, answered in rows}
    for path, methods in fuzzed.process.get(DESCRIPTION)["paths"].items():
        for method, described in methods.items():
            asked, answered = table.pop((method.upper(), path))
            names = [parameter["name"] for parameter in described["parameters"] if parameter["in"] == "query"]
            assert re.findall(r"`(\w+)`", asked) == _types(described.get("requestBody")), path
            assert "`" in asked or [word for word in asked.split(", ") if word] == names, path
            assert _types(described["responses"]["200"]) in ([], re.findall(r"`(\w+)`", answered)), path
    assert table == {}


def _types(part: object) -> list[str]:
    return re.findall(r"#/components/schemas/(\w+)", str(part))
