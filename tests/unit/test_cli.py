"""The command line against a server: what it asks, what it prints, and its exit status."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import yaml

from runherald.api import (
    Column,
    Intake,
    LogLineView,
    MetricSeries,
    NoticeBalance,
    PartitionStatus,
    QueryAnswer,
    Rejected,
    RunPage,
    RunView,
    ServerStatus,
    TransitionView,
)
from runherald.cli.main import COMMANDS, build_parser, main
from runherald.events import DebugInfo, ErrorEnvelope, Evidence, PathStep, RootError
from runherald.status import Status
from runherald.studio.processor_lag import processor_statuses
from tests.unit.canned_api import CannedApi, canned_api

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TRACE = "Traceback (most recent call last):\n" + "".join(f"  line {number}\n" for number in range(40)) + "ValueError: boom"

FAILED = RunView(
    run_id="digits_2",
    workspace="default",
    experiment_name="digits",
    display_name="lr=10",
    status="Failed",
    revision=3,
    cause="code_error",
    message="The script raised.",
    error=ErrorEnvelope(error=RootError(message="boom\nand more", debug_info=DebugInfo(type="ValueError", stack_trace=TRACE))),
    evidence=Evidence(exit_code=1, host="node-1"),
    parent_run_id="digits_1",
    created_time=START,
    start_time=START + timedelta(seconds=1),
    end_time=START + timedelta(seconds=75),
    duration_seconds=74.0,
    tags={"team": "vision", "flag": None},
    params={"lr": "10"},
    path=[
        PathStep(status=Status.NOT_STARTED, time=START),
        PathStep(status=Status.RUNNING, time=START + timedelta(seconds=1)),
        PathStep(status=Status.FAILED, time=START + timedelta(seconds=75)),
    ],
)
RUNNING = RunView(run_id="digits_1", workspace="default", experiment_name="digits", status="Running", revision=2, start_time=START)
LOSS = MetricSeries(
    run_id="digits_2", name="loss", kind="scalar", steps=[0, 1], times=[1_795_262_400_000_000, 1_795_262_401_000_000], values=[0.5, "NaN"]
)


def transition(run: RunView, status: str, revision: int, **more: object) -> TransitionView:
    said = {"run_id": run.run_id, "status": status, "previous_status": "", "time": START, "attempt": 1, "revision": revision, **more}
    return msgspec.convert(said, TransitionView)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CannedApi]:
    for name in [name for name in os.environ if name.startswith("RUNHERALD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    with canned_api() as api:
        monkeypatch.setenv("RUNHERALD_URL", api.url)
        yield api


Output = pytest.CaptureFixture[str]


def test_runs_are_json_in_a_pipe(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs", RunPage(runs=[FAILED, RUNNING]))
    assert main(["run", "list"]) == 0
    runs = json.loads(capsys.readouterr().out)
    assert [run["run_id"] for run in runs] == ["digits_2", "digits_1"]
    failed = runs[0]
    assert failed["tags"] == {"team": "vision", "flag": None}
    assert failed["properties"] == {}
    assert failed["start_time"] == "2026-11-21T12:00:01Z"
    assert failed["duration_seconds"] == 74.0
    assert failed["error"]["error"]["debug_info"]["type"] == "ValueError", "keys are in snake_case all the way down"
    assert failed["evidence"]["exit_code"] == 1


def test_runs_are_asked_for_by_what_was_said(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs", RunPage(runs=[]))
    arguments = ["run", "list", "-e", "digits", "-s", "Failed", "-t", "team=vision", "--parent", "digits_1", "--root-only", "-n", "7"]
    assert main([*arguments, "--token", "t0k"]) == 0
    assert capsys.readouterr().out == "[]\n"
    (asked,) = api.asked
    assert asked.parameters == {
        "experiment": "digits",
        "status": "Failed",
        "tag": "team=vision",
        "parent": "digits_1",
        "root_only": "true",
        "limit": "7",
    }
    assert asked.authorization == "Bearer t0k"


def test_pages_are_followed_up_to_the_limit(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs", RunPage(runs=[FAILED] * 200, next="2"), RunPage(runs=[FAILED] * 50, next="3"))
    assert main(["run", "list", "--limit", "250", "-o", "jsonl"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 250
    assert [asked.parameters.get("cursor") for asked in api.asked] == [None, "2"]
    assert [asked.parameters["limit"] for asked in api.asked] == ["200", "50"]
    assert "more than 250 runs" in err


def test_a_table_of_runs(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs", RunPage(runs=[FAILED, RUNNING]))
    assert main(["run", "list", "-o", "table"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["RUN", "NAME", "EXPERIMENT", "STATUS", "CAUSE", "STARTED", "DURATION", "ERROR"]
    assert first.split() == ["digits_2", "lr=10", "digits", "Failed", "code_error", *local(FAILED.start_time).split(), "1m", "14s", "boom"]
    assert second.split()[:3] == ["digits_1", "digits", "Running"]


def test_a_table_says_why_nobody_heard_of_a_run(api: CannedApi, capsys: Output) -> None:
    silent = msgspec.structs.replace(FAILED, error=None, cause="lost_contact", message="Process 7 on vm ended without a word.\nMore.")
    api.answer("/runs", RunPage(runs=[silent]))
    assert main(["run", "list", "-o", "table"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("  Process 7 on vm ended without a word.")


def local(moment: datetime | None) -> str:
    assert moment is not None
    return moment.astimezone().strftime("%b %d %H:%M")


def test_the_other_formats(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs", RunPage(runs=[FAILED]))

    def printed(form: str, query: str = "") -> str:
        assert main(["run", "list", "-o", form, *(["--query", query] if query else [])]) == 0
        return capsys.readouterr().out

    assert yaml.safe_load(printed("yaml"))[0]["run_id"] == "digits_2"
    (row,) = csv.DictReader(io.StringIO(printed("csv")))
    assert (row["run_id"], row["message"], json.loads(row["tags"])) == ("digits_2", "The script raised.", {"team": "vision", "flag": None})
    assert printed("tsv", "[].{id: run_id, why: error.error.message}") == "id\twhy\ndigits_2\tboom\\nand more\n"
    assert printed("csv", "[].[run_id, attempt]") == "digits_2,1\n"
    assert printed("json", "[0].status") == '"Failed"\n'
    assert printed("json", "[?status=='Running']") == "[]\n"
    assert printed("jsonl", "[].{id: run_id}") == '{"id":"digits_2"}\n'
    assert printed("table", "[].{id: run_id, n: attempt}").split() == ["id", "n", "digits_2", "1"]
    assert printed("table", "[0].run_id") == "digits_2\n"


def test_a_wrong_jmespath_is_wrong_use(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs", RunPage(runs=[]))
    assert main(["run", "list", "--query", "[?"]) == 2
    assert capsys.readouterr().err.startswith("runherald: --query: ")


def test_what_a_run_was_named_does_not_steer_the_terminal(api: CannedApi, capsys: Output) -> None:
    named = msgspec.structs.replace(RUNNING, display_name="a\x1b[2Jb\nc\u202e")
    api.answer("/runs", RunPage(runs=[named]))
    assert main(["run", "list", "-o", "table"]) == 0
    out = capsys.readouterr().out
    assert "a\\x1b[2Jb⏎c\\x202e" in out
    assert "\x1b" not in out


def test_a_run_is_shown_with_all_that_matters(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs/digits_2", FAILED)
    api.answer("/runs/digits_2/metrics", [LOSS])
    api.answer("/runs/digits_2/children", [RUNNING])
    assert main(["run", "show", "digits_2", "-o", "table"]) == 0
    out = capsys.readouterr().out
    for line in (
        "status      Failed",
        "cause       code_error",
        "evidence    exit code 1, on node-1",
        "duration    1m 14s",
        "ValueError: boom",
    ):
        assert line in out
    assert "line 39" in out
    assert "line 5\n" not in out, "the end of the traceback is what matters"
    assert "22 lines before" in out
    assert [line.split()[2:] for line in out.splitlines() if line.startswith(("2026-11-21 12:0",))][:3] == [
        ["NotStarted", "1.00", "s"],
        ["Running", "1m", "14s"],
        ["Failed"],
    ]
    assert "flag\nteam = vision" in out
    assert "loss     NaN     1       2" in out
    assert "digits_1" in out


def test_a_run_as_data_has_metrics_and_children(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs/digits_2", FAILED)
    api.answer("/runs/digits_2/metrics", [LOSS])
    api.answer("/runs/digits_2/children", [RUNNING])
    assert main(["run", "show", "digits_2", "--query", "[metrics, children[].run_id, error.error.debug_info.stack_trace]"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"loss": "NaN"}, ["digits_1"], TRACE]


def test_metrics_are_points_as_data_and_a_summary_as_a_table(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs/digits_2/metrics", [LOSS])
    assert main(["run", "metrics", "digits_2", "loss", "-o", "csv", "-r"]) == 0
    assert api.asked[0].parameters == {"name": "loss", "recursive": "true", "limit": "200"}
    assert capsys.readouterr().out.splitlines() == [
        "run_id,name,kind,step,time,value",
        "digits_2,loss,scalar,0,2026-11-21T12:00:00Z,0.5",
        "digits_2,loss,scalar,1,2026-11-21T12:00:01Z,NaN",
    ]
    assert main(["run", "metrics", "digits_2", "-o", "table"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["loss", "scalar", "2", "NaN", "1", "0.5", "0.5"]


@pytest.mark.parametrize("command", ["metrics", "show"])
def test_a_long_value_does_not_widen_the_table_of_metrics(api: CannedApi, capsys: Output, command: str) -> None:
    text = msgspec.structs.replace(LOSS, name="note", kind="text", steps=[0], times=LOSS.times[:1], values=["x" * 5_000])
    chart = msgspec.structs.replace(text, name="cm", kind="confusion_matrix", values=[{"data": {"matrix": [[1] * 500] * 500}}])
    api.answer("/runs/digits_2", msgspec.structs.replace(FAILED, error=None))
    api.answer("/runs/digits_2/metrics", [LOSS, text, chart])
    api.answer("/runs/digits_2/children", [])
    assert main(["run", command, "digits_2", "-o", "table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) < 130
    assert "x" * 59 + "…" in "\n".join(lines)


def test_logs_are_lines(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs/digits_2/logs", [LogLineView(file="f", number=0, time=1_795_262_400_000_000, text="epoch 1 \x1b[31mred")])
    assert main(["run", "logs", "digits_2", "--tail", "5"]) == 0
    assert capsys.readouterr().out == "epoch 1 \\x1b[31mred\n"
    assert api.asked[0].parameters == {"tail": "5"}
    assert main(["run", "logs", "digits_2", "-o", "json", "--query", "[0].[number, time, text]"]) == 0
    assert json.loads(capsys.readouterr().out) == [0, "2026-11-21T12:00:00Z", "epoch 1 \x1b[31mred"]


def test_children(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs/digits_1/children", [FAILED])
    assert main(["run", "children", "digits_1", "-r", "--query", "[].run_id"]) == 0
    assert json.loads(capsys.readouterr().out) == ["digits_2"]
    assert api.asked[0].parameters == {"recursive": "true", "limit": "200"}


def test_cancelling(api: CannedApi, capsys: Output) -> None:
    api.answer("/runs/digits_1/cancel", Intake(accepted=1), method="POST")
    assert main(["run", "cancel", "digits_1", "--reason", "too slow"]) == 0
    assert capsys.readouterr().out == "asked digits_1 to stop\n"
    assert json.loads(api.asked[0].body)["reason"] == "too slow"


def test_a_cancellation_that_is_refused(api: CannedApi, capsys: Output) -> None:
    refused = Intake(accepted=0, rejected=[Rejected(index=0, field="data.status", reason="Completed has ended")])
    api.answer("/runs/digits_1/cancel", refused, method="POST")
    assert main(["run", "cancel", "digits_1"]) == 1
    assert capsys.readouterr().err == "runherald: digits_1: data.status: Completed has ended\n"


@pytest.mark.parametrize(("end", "exit_status"), [("Completed", 0), ("Failed", 1), ("Canceled", 1)])
def test_watching_a_run_until_it_ends(api: CannedApi, capsys: Output, end: str, exit_status: int) -> None:
    ended = msgspec.structs.replace(RUNNING, status=end, revision=3)
    steps = [transition(RUNNING, "NotStarted", 1), transition(RUNNING, "Running", 2)]
    rejected = transition(RUNNING, "Queued", 0, accepted=False, reason="no")
    api.answer("/runs/digits_1", RUNNING, RUNNING, ended)
    api.answer("/runs/digits_1/transitions", steps, [*steps, rejected, transition(RUNNING, end, 3)])
    api.live = [b": ping\n\nevent: change\ndata: digits_1\n\n", b"event: change\ndata: digits_1\n\n"]
    assert main(["run", "watch", "digits_1"]) == exit_status
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["revision"], line["status"]) for line in lines] == [(1, "NotStarted"), (2, "Running"), (3, end)]


def test_the_watchers_verdict_is_no_end(api: CannedApi, capsys: Output) -> None:
    claimed = msgspec.structs.replace(RUNNING, status="Failed", revision=2, claimed=True)
    ended = msgspec.structs.replace(RUNNING, status="Completed", revision=3)
    steps = [transition(RUNNING, "Failed", 2, claim=True)]
    api.answer("/runs/digits_1", claimed, ended)
    api.answer("/runs/digits_1/transitions", steps, [*steps, transition(RUNNING, "Completed", 3, correction=True)])
    api.live = [b"event: change\ndata: digits_1\n\n"]
    assert main(["run", "watch", "digits_1", "-o", "table"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("digits_1  Failed  claimed")
    assert second.endswith("digits_1  Completed  corrected")


def test_watching_needs_one_run_or_all(api: CannedApi, capsys: Output) -> None:
    assert main(["run", "watch"]) == 2
    assert main(["run", "watch", "digits_1", "--all"]) == 2
    assert "--all" in capsys.readouterr().err


def test_watching_all_shows_what_changes_from_now_on(api: CannedApi, capsys: Output) -> None:
    changed = msgspec.structs.replace(RUNNING, status="Completed", revision=3)
    api.answer("/runs", RunPage(runs=[FAILED, RUNNING]))
    api.answer("/runs/digits_1", changed, (401, b"{}"))
    api.answer("/runs/digits_1/transitions", [transition(RUNNING, "Running", 2), transition(RUNNING, "Completed", 3)])
    api.live = [b"event: change\ndata: digits_1\n\nevent: change\ndata: digits_1\n\n"]
    assert main(["run", "watch", "--all"]) == 2, "the second look is refused: that ends the test"
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["status"] == "Completed"


def test_a_query_gives_rows(api: CannedApi, capsys: Output) -> None:
    answer = QueryAnswer(
        columns=[Column("run_id", "String"), Column("n", "UInt64"), Column("n", "UInt64"), Column("tags", "Map(String, String)")],
        rows=[["digits_1", 1, 2, {"a": "b"}], ["digits_2", 3, 4, {}]],
        truncated=True,
    )
    api.answer("/query", answer, method="POST")
    assert main(["query", "SELECT 1"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)[0] == {"run_id": "digits_1", "n": 1, "n_2": 2, "tags": {"a": "b"}}
    assert "cut after 2 rows" in err
    assert json.loads(api.asked[0].body) == {"query": "SELECT 1", "language": "sql"}
    assert main(["query", "SELECT 1", "-o", "table"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["run_id", "n", "n", "tags"],
        ["digits_1", "1", "2", '{"a":"b"}'],
        ["digits_2", "3", "4", "{}"],
    ]


def test_a_query_without_rows_has_its_columns(api: CannedApi, capsys: Output) -> None:
    api.answer("/query", QueryAnswer(columns=[Column("run_id", "String")], rows=[]), method="POST")
    assert main(["query", "SELECT 1", "-o", "table"]) == 0
    assert capsys.readouterr().out.split("\n")[:2] == ["run_id", "no rows"]
    assert main(["query", "SELECT 1"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_a_query_from_the_standard_input(api: CannedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.answer("/query", QueryAnswer(columns=[], rows=[]), method="POST")
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 2"))
    assert main(["query", "-"]) == 0
    assert json.loads(api.asked[0].body)["query"] == "SELECT 2"
    assert main(["query", "  "]) == 2


def test_the_servers_status(api: CannedApi, capsys: Output) -> None:
    parts = [
        PartitionStatus(processor="history", topic="runherald.events", partition=number, committed=10, end=12, lag=2, oldest_time=START)
        for number in (0, 1)
    ]
    status = ServerStatus(
        version="1",
        log="embedded",
        history="embedded",
        partitions=parts,
        notices={"accepted": 3},
        processors=processor_statuses(parts, START + timedelta(seconds=75)),
        balance=NoticeBalance(decided=5, missing=2, difference=2),
    )
    api.answer("/status", status)
    assert main(["status", "-o", "table"]) == 0
    out = capsys.readouterr().out
    assert "notices       3 accepted" in out
    assert "balance       5 decided, DIFFERENCE 2: 2 missing, 0 never decided" in out
    assert out.splitlines()[-1].split() == ["history", "runherald.events", "2", "20", "24", "4", "1m", "15s"]
    assert main(["status", "-o", "table", "--partitions"]) == 0
    rows = [line.split()[:6] for line in capsys.readouterr().out.splitlines()[-2:]]
    assert rows == [["history", "runherald.events", str(number), "10", "12", "2"] for number in (0, 1)]
    assert main(["status", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [part["partition"] for part in told["partitions"]] == [0, 1]
    assert told["processors"][0]["age_seconds"] == 75


@pytest.mark.parametrize(
    ("status", "exit_status"),
    [(400, 2), (401, 2), (404, 1), (429, 3), (500, 3), (503, 3)],
)
def test_what_the_server_refuses_is_one_line_and_a_status(api: CannedApi, capsys: Output, status: int, exit_status: int) -> None:
    api.refuse("/runs/digits_1/children", status, "something\nis wrong")
    assert main(["run", "children", "digits_1"]) == exit_status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("runherald: ")
    assert err.count("\n") == 1
    assert "something is wrong" in err


def test_a_server_that_is_away(api: CannedApi, capsys: Output) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert main(["run", "list", "--url", f"http://127.0.0.1:{port}"]) == 3
    assert f"http://127.0.0.1:{port} does not answer" in capsys.readouterr().err


def test_the_server_may_be_named_before_the_command(api: CannedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_URL", "http://127.0.0.1:1")
    api.answer("/runs", RunPage(runs=[]))
    assert main(["--url", api.url, "--token", "a", "run", "list"]) == 0
    assert api.asked[0].authorization == "Bearer a"


def test_settings_from_a_file(api: CannedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.delenv("RUNHERALD_URL")
    config = tmp_path / "r.toml"
    config.write_text(f'url = "{api.url}"\ntoken = "t"\n')
    api.answer("/runs", RunPage(runs=[]))
    assert main(["run", "list", "--config", str(config)]) == 0
    assert api.asked[0].authorization == "Bearer t"
    config.write_text("urrl = 1\n")
    assert main(["run", "list", "--config", str(config)]) == 2
    assert f"{config}: urrl: there is no such setting; did you mean url?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["run"],
        ["run", "list", "-o", "xml"],
        ["run", "list", "-n", "0"],
        ["run", "list", "-s", "Sleeping"],
        ["run", "show"],
    ],
)
def test_wrong_use_is_status_two(arguments: list[str], capsys: Output) -> None:
    assert main(arguments) == 2
    assert "usage: runherald" in capsys.readouterr().err


def test_help_and_version(capsys: Output) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("run", "query", "status", "sync", "rules", "topics", "migrate", "up", "worker", "dev"):
        assert f"    {command} " in out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("runherald ")


def test_an_interruption(api: CannedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runherald.cli.status.client_of", interrupted)
    assert main(["status"]) == 130


def interrupted(_: object) -> object:
    raise KeyboardInterrupt


def test_topics_are_listed_without_a_broker(capsys: Output) -> None:
    assert main(["topics", "list", "--query", "[].name | length(@)"]) == 0
    assert capsys.readouterr().out == "6\n"


def test_topics_and_schemas_are_made_on_servers(api: CannedApi, capsys: Output) -> None:
    assert main(["topics", "create"]) == 2
    assert "--log: topics are made on Kafka" in capsys.readouterr().err
    assert main(["migrate"]) == 2
    assert "--history: write http(s)://" in capsys.readouterr().err


def test_rules_are_checked(api: CannedApi, tmp_path: Path, capsys: Output) -> None:
    assert main(["rules", "check"]) == 2
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("rules:\n  - name: failed\n    status: Failed\n    receivers: [a@example.org]\n")
    bad.write_text("rules:\n  - name: failed\n    stats: Failed\n    receivers: [a@example.org]\n")
    capsys.readouterr()
    assert main(["rules", "check", str(good)]) == 0
    (rule,) = json.loads(capsys.readouterr().out)
    assert (rule["name"], rule["when"]["status"], rule["receivers"]) == ("failed", ["Failed"], ["a@example.org"])
    assert main(["rules", "check", str(good), str(bad)]) == 2
    assert f"{bad}:3: " in capsys.readouterr().err


def test_nothing_to_sync(api: CannedApi, capsys: Output) -> None:
    assert main(["sync"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_a_reader_that_goes_away_is_no_fault(api: CannedApi) -> None:
    api.answer("/runs", RunPage(runs=[FAILED] * 200))
    command = [sys.executable, "-m", "runherald", "run", "list", "-n", "200", "--url", api.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX closes them")
def test_a_caller_who_closed_the_standard_streams_gets_an_answer_and_no_traceback(api: CannedApi, tmp_path: Path) -> None:
    api.answer("/runs", RunPage(runs=[FAILED]))
    answer = tmp_path / "answer"
    command = f"'{sys.executable}' -m runherald run list --url {api.url} -o json"
    assert subprocess.run(["sh", "-c", f"{command} 0<&- 2>&- >'{answer}'"], check=False, timeout=30).returncode == 0
    assert b"digits_1" in answer.read_bytes()
    found = subprocess.run(["sh", "-c", f"{command} 0<&- >&-"], check=False, capture_output=True, timeout=30)
    assert (found.returncode, found.stderr) == (0, b"")


def test_ctrl_c_ends_a_watch_quietly(api: CannedApi) -> None:
    api.answer("/runs/digits_1", RUNNING)
    api.answer("/runs/digits_1/transitions", [transition(RUNNING, "Running", 2)])
    command = [sys.executable, "-m", "runherald", "run", "watch", "digits_1", "--url", api.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == b""


HEAVY = ("rich", "yaml", "jmespath", "http.client", "kafka", "clickhouse_connect", "chdb", "faust", "numpy", "starlette", "asyncio", "ssl")


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys; from runherald.cli.main import main; main(['--help']); print([name for name in {HEAVY} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert out.splitlines()[-1] == "[]"


def test_every_command_says_what_runs() -> None:
    parser = build_parser()
    assert len({command.__name__ for command in COMMANDS}) == len(COMMANDS)
    for line in (
        ["up"],
        ["worker"],
        ["status"],
        ["sync"],
        ["query", "x"],
        ["run", "list"],
        ["migrate"],
        ["topics", "create"],
        ["rules", "check"],
    ):
        assert callable(parser.parse_args(line).run)
