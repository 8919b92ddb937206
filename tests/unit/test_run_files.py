"""Files of a run: kept whole, each name once, and nowhere but below the run's folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fsspec.registry import known_implementations  # type: ignore[import-untyped]  # it has no types

from runherald import Experiment, Run, Workspace
from runherald.errors import InvalidInput
from runherald.events import AmlRunMetricEvent, AmlRunOutputEvent, AmlRunStatusChangedEvent, Data
from runherald.producers.errors import Unsupported
from runherald.producers.files.names import place_below
from runherald.producers.files.snapshot import snapshot
from runherald.producers.journal.folder import journal_folders
from runherald.producers.journal.reader import JournalReader
from runherald.producers.shipping.batching import to_events


@pytest.fixture
def home(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LOG", "WORKSPACE", "TOKEN", "CONFIG", "LEASE_SECONDS", "FILES"):
        monkeypatch.delenv(f"RUNHERALD_{name}", raising=False)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Iterator[Run]:
    workspace = Workspace()
    yield Experiment(workspace, "digits").start_logging()
    workspace.session.close()


def said(home: Path) -> list[Data]:
    """Return what stands in the journals."""
    return [event.data for folder in journal_folders(home) for event in to_events(JournalReader(folder).read(10_000), folder.head()).events]


def outputs(home: Path) -> list[AmlRunOutputEvent]:
    return [data for data in said(home) if isinstance(data, AmlRunOutputEvent)]


def files(home: Path) -> list[str]:
    """Return all files of runs, those that were begun and not finished included."""
    return sorted(path.relative_to(home / "files").as_posix() for path in (home / "files").rglob("*") if path.is_file())


def test_a_file_is_kept_below_the_run_and_told(home: Path, run: Run, tmp_path: Path) -> None:
    source = tmp_path / "model.json"
    source.write_bytes(b"{}")
    kept = run.upload_file("outputs/model.json", source)
    place = home / "files" / run.id / "outputs" / "model.json"
    assert place.read_bytes() == b"{}"
    assert (kept.name, kept.size, kept.uri) == ("outputs/model.json", 2, place.as_uri())
    [output] = outputs(home)
    assert (output.path, output.size, output.content_type, output.uri) == ("outputs/model.json", 2, "application/json", place.as_uri())
    assert output.sha256 == kept.sha256 == hashlib.sha256(b"{}").hexdigest()
    assert run.upload_file("big", io.BytesIO(b"x" * 3_000_000)).size == 3_000_000


def test_the_folder_of_files_may_be_said(home: Path, tmp_path: Path) -> None:
    workspace = Workspace(files=tmp_path / "shared")
    run = Experiment(workspace, "digits").start_logging()
    run.upload_file("a", io.BytesIO(b"x"))
    assert (tmp_path / "shared" / run.id / "a").read_bytes() == b"x"
    workspace.session.close()


def test_a_setting_and_an_address_say_where_files_go(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_FILES", f"memory://u:hunter2@{tmp_path.name}/runs")
    with closing(Workspace().session):
        run = Experiment(Workspace(), "digits").start_logging()
        run.upload_file("a", io.BytesIO(b"content"))
    [output] = outputs(home)
    assert output.uri == f"memory://{tmp_path.name}/runs/{run.id}/a"
    assert not (home / "files").exists()


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("nosuch://u:hunter2@place/x", InvalidInput, "fsspec knows no 'nosuch'"),
        ("simplecache::memory://x", InvalidInput, "holds ::"),
        ("memory://x?token=hunter2", InvalidInput, "holds ::"),
        ("file://other-host/x", InvalidInput, "without an absolute path on this machine"),
        ("file://", InvalidInput, "without an absolute path on this machine"),
        (
            "tests-not-installed://u:hunter2@place",
            Unsupported,
            "need one more package beside `pip install 'runherald\\[files\\]'`: Install it",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_named_at_once_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch, address: str, kind: type[Exception], message: str
) -> None:
    known = {"class": "no_such_package.System", "err": "Install it"}
    monkeypatch.setitem(known_implementations, "tests-not-installed", known)
    with pytest.raises(kind, match=f"^files: .*{message}") as caught:
        Workspace(files=address)
    assert "hunter2" not in str(caught.value)


def test_without_fsspec_the_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(Unsupported, match=r"s3://… need the package fsspec: `pip install 'runherald\[files\]'`"):
        Workspace(files="s3://bucket/runs")


def test_a_folder_needs_no_fsspec(home: Path, tmp_path: Path) -> None:
    script = "import io, sys; sys.modules['fsspec'] = None; import runherald\n"
    script += "run = runherald.Experiment(runherald.Workspace(files=sys.argv[1]), 'e').start_logging()\n"
    script += "run.upload_file('a', io.BytesIO(b'x')); print(run.id); import os; sys.stdout.flush(); os._exit(0)"
    for number, address in enumerate((str(tmp_path / "0"), (tmp_path / "1").as_uri())):
        run_id = subprocess.run(
            [sys.executable, "-c", script, address], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()
        assert (tmp_path / str(number) / run_id / "a").read_bytes() == b"x"


def test_several_files_and_a_folder(home: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "code" / "deep").mkdir(parents=True)
    (tmp_path / "code" / "deep" / "a.py").write_text("a")
    (tmp_path / "code" / "b.py").write_text("b")
    assert run.upload_files(["x", "y"], [tmp_path / "code" / "b.py"] * 2) is None
    kept = run.upload_files(["z"], [str(tmp_path / "code" / "b.py")], return_artifacts=True)
    assert kept is not None
    assert [one.name for one in kept] == ["z"]
    assert [one.name for one in run.upload_folder("src", tmp_path / "code")] == ["src/b.py", "src/deep/a.py"]
    assert [output.path for output in outputs(home)] == ["x", "y", "z", "src/b.py", "src/deep/a.py"]


def test_of_a_folder_that_cannot_be_seen_whole_nothing_is_kept(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code" / "secret").mkdir(parents=True)
    (tmp_path / "code" / "a.py").write_text("a")
    look = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "secret":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="secret"):
        run.upload_folder("src", tmp_path / "code")
    assert not list((home / "files").rglob("*.py"))


def upload(name: Any, source: Any = None, **named: Any) -> Callable[[Run], object]:
    return lambda run: run.upload_file(name, io.BytesIO(b"x") if source is None else source, **named)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (upload("../x"), "is no name of a file of the run"),
        (upload("a/../../x"), "is no name of a file of the run"),
        (upload("..\\x"), "is no name of a file of the run"),
        (upload("/etc/x"), "is no name of a file of the run"),
        (upload("C:\\x"), "is no name of a file of the run"),
        (upload("."), "is no name of a file of the run"),
        (upload(""), "is no name of a file of the run"),
        (upload("a\nb"), "cannot be printed"),
        (upload("x" * 5_001), "5001 characters"),
        (upload(5), "a file's name is a int"),
        (upload("a", "nowhere"), "nowhere: is no file"),
        (upload("a", "."), ".: is no file; pass the path of one, or use upload_folder"),
        (upload("a", 5), "file 'a': is a int; pass a path or a binary stream"),
        (upload("a", io.StringIO("text")), "file 'a': is a stream of texts; open it in binary mode"),
        (upload("there"), "file 'there': is there already"),
        (upload("there/below"), "file 'there/below': would lie below a file of the run"),
        (upload("there/far/below"), "file 'there/far/below': would lie below a file of the run"),
        (upload("a", datastore_name="d"), "there are no datastores"),
        (lambda run: run.upload_files(["a"], []), "as many paths"),
        (lambda run: run.upload_files(["a", "b"], ["there.txt", "nowhere"]), "nowhere: is no file"),
        (lambda run: run.upload_folder("a", "nowhere"), "nowhere: is no folder"),
        (lambda run: run.log_image("m"), "metric 'm': pass either path or plot"),
        (lambda run: run.log_image("m", "a", object()), "metric 'm': pass either path or plot"),
        (lambda run: run.log_image("m", plot=object()), "metric 'm': plot is a object; pass a figure of matplotlib"),
    ],
)
def test_what_cannot_be_kept_is_named_and_leaves_nothing(
    home: Path, run: Run, tmp_path: Path, call: Callable[[Run], object], message: str
) -> None:
    run.upload_file("there", io.BytesIO(b"first"))
    (tmp_path / "there.txt").write_text("x")
    with pytest.raises(InvalidInput) as caught:
        call(run)
    assert message in str(caught.value)
    assert f"run {run.id}" in str(caught.value)
    assert files(home) == [f"{run.id}/there"]
    assert len(outputs(home)) == 1
    assert (home / "files" / run.id / "there").read_bytes() == b"first"


class Breaking(io.RawIOBase):
    """A stream that ends in an error after its first bytes."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if self.reads > 1:
            raise OSError("the cable is out")
        return b"x" * 10


def test_half_a_file_is_none(home: Path, run: Run) -> None:
    with pytest.raises(OSError, match="cable"):
        run.upload_file("a", Breaking())  # type: ignore[arg-type]  # a stream is what has `read`
    assert (files(home), outputs(home)) == ([], [])
    run.upload_file("a", io.BytesIO(b"whole"))


def test_an_image_is_a_file_and_a_metric(home: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "roc.svg").write_text("<svg/>")
    run.log_image("roc", tmp_path / "roc.svg", description="a curve")
    run.flush(0.1)
    [output] = outputs(home)
    [item] = [item for data in said(home) if isinstance(data, AmlRunMetricEvent) for item in data.objects]
    assert output.content_type == "image/svg+xml"
    assert (item.name, item.kind) == ("roc", "image")
    assert msgspec.json.decode(msgspec.json.encode(item.value)) == {"path": output.path, "size": 6, "sha256": output.sha256}
    run.complete()
    with pytest.raises(InvalidInput, match="has ended"):
        run.log_image("roc", tmp_path / "roc.svg")
    assert len(files(home)) == 1


@pytest.mark.parametrize("as_module", [False, True])
def test_a_plot_of_matplotlib_is_kept_as_a_picture(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, as_module: bool) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(2, 1), dpi=50)
    figure.gca().plot([0, 1], [1, 0], linewidth=20, color="#ff0000")
    if not as_module:
        pyplot.figure()  # the current one from now on, which the module would stand for
    run.log_image("curve", plot=pyplot if as_module else figure)
    pyplot.close("all")
    run.flush(0.1)
    [output] = outputs(home)
    picture = pyplot.imread(home / "files" / run.id / output.path)
    [item] = [item for data in said(home) if isinstance(data, AmlRunMetricEvent) for item in data.objects]
    assert output.content_type == "image/png"
    assert (item.name, item.kind) == ("curve", "image")
    assert msgspec.json.decode(msgspec.json.encode(item.value))["path"] == output.path
    assert max(picture.shape[:2]) < 150  # what was drawn, and not an empty page of the usual size
    assert ((picture[..., 0] > 0.9) & (picture[..., 1] < 0.1)).any()


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "..\\a", "C:/a", "//host/a", ""])
def test_names_that_others_gave_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="leads out"):
        place_below(tmp_path, name)


def test_a_datastore_is_refused_as_unsupported(run: Run) -> None:
    with pytest.raises(Unsupported, match="datastore"):
        run.upload_folder("a", ".", datastore_name="d")


def code(folder: Path, **files: str) -> Path:
    """Write files, `__` in their names standing for a folder."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_a_snapshot_leaves_out_what_the_folder_says(tmp_path: Path) -> None:
    folder = code(tmp_path, a="1", sub__b="2", sub__c="3", data__big="4", data__small="5")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")

    def names() -> list[str]:
        return zipfile.ZipFile(io.BytesIO(snapshot("run r", folder)[1])).namelist()

    assert names() == ["a", "data/big", "data/small", "sub/b", "sub/c"]
    (folder / ".gitignore").write_text("data/\n")
    assert names() == [".gitignore", "a", "sub/b", "sub/c"]
    (folder / ".amlignore").write_text("# not that one\ndata/*\n!data/small\n**/c\n.*ignore\n")
    assert names() == ["a", "data/small", "sub/b"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes there")
def test_a_snapshot_names_the_file_whose_name_is_no_text(tmp_path: Path) -> None:
    code(tmp_path, a="1", ignored__b="2")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/ignored/\xff"))).touch()
    with pytest.raises(InvalidInput, match=r"run r: .*: the name of 'ignored/\\udcff' is no UTF-8; rename it, or leave it out in"):
        snapshot("run r", tmp_path)
    (tmp_path / ".amlignore").write_text("ignored/\n")
    assert zipfile.ZipFile(io.BytesIO(snapshot("run r", tmp_path)[1])).namelist() == [".amlignore", "a"]


def ending(how: str) -> Callable[[Run], object]:
    """Return what ends a run in a way."""

    def leave(run: Run, error: BaseException | None) -> None:
        with run:
            if error is not None:
                raise error

    ways: dict[str, Callable[[Run], object]] = {
        "Completed by leaving the block": lambda run: leave(run, None),
        "Completed by complete": Run.complete,
        "Failed by leaving the block": lambda run: leave(run, ValueError("boom")),
        "Failed by fail": lambda run: run.fail("no more data"),
        "Canceled by Ctrl-C": lambda run: leave(run, KeyboardInterrupt()),
        "Canceled by cancel": Run.cancel,
    }
    return ways[how]


@pytest.mark.parametrize(
    "how",
    [
        "Completed by leaving the block",
        "Completed by complete",
        "Failed by leaving the block",
        "Failed by fail",
        "Canceled by Ctrl-C",
        "Canceled by cancel",
    ],
)
def test_outputs_that_were_said_are_kept_however_the_run_ends(home: Path, tmp_path: Path, how: str) -> None:
    with closing(Workspace().session):
        run = Experiment(Workspace(), "digits").start_logging(outputs="./outputs")
        code(tmp_path / "outputs", a="1", deep__b="2")
        run.upload_file("outputs/a", io.BytesIO(b"the script's own"))
        os.chdir("/")
        with contextlib.suppress(ValueError, KeyboardInterrupt):
            ending(how)(run)
        run.cancel() if "Canceled" in how else None  # again: nothing is kept twice
        told = said(home)
    paths = [data.path for data in told if isinstance(data, AmlRunOutputEvent)]
    end = [data for data in told if isinstance(data, AmlRunStatusChangedEvent)][-1]
    assert paths == ["outputs/a", "outputs/deep/b"]
    assert (home / "files" / run.id / "outputs" / "a").read_bytes() == b"the script's own"
    assert end.status == how.partition(" ")[0]
    assert told.index(end) > told.index(next(data for data in told if isinstance(data, AmlRunOutputEvent) and data.path.endswith("b")))


def test_outputs_that_cannot_be_kept_change_no_end(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Workspace().session):
        run = Experiment(Workspace(), "digits").start_logging(outputs=tmp_path / "kept")
        child = run.child_run("fold", outputs=str(tmp_path / "absent"))
        code(tmp_path / "kept", a="1", b="2", c="3")
        run.experiment.workspace.files.put(run.id, "kept/b", io.BytesIO(b"of another process"))
        child.complete()
        with run:
            pass
    assert [output.path for output in outputs(home)] == ["kept/a", "kept/c"]
    [line] = [record.getMessage() for record in caplog.records if record.name == "runherald.files"]
    assert line.startswith(
        f"outputs_left run={run.id} folder={tmp_path / 'kept'} count=1 first='run {run.id}: file 'kept/b': is there already"
    )
    assert run.status == "Completed"


def test_a_folder_of_outputs_that_cannot_be_looked_into_changes_no_end(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.is_file

    def is_file(path: Path) -> bool:  # as of a folder without the right to search it; the tests' user may have every right
        if path.parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    with closing(Workspace().session):
        run = Experiment(Workspace(), "digits").start_logging(outputs=tmp_path / "kept")
        code(tmp_path / "kept", a="1", closed__b="2")
        monkeypatch.setattr(Path, "is_file", is_file)
        run.complete()
    assert [output.path for output in outputs(home)] == ["kept/a"]
    [line] = [record.getMessage() for record in caplog.records if record.name == "runherald.files"]
    assert "count=1 first='[Errno 13] Permission denied" in line
    assert run.status == "Completed"


def test_nothing_is_copied_that_was_not_said(home: Path, tmp_path: Path) -> None:
    code(tmp_path, outputs__a="1", train="2")
    with closing(Workspace().session):
        for nothing in (None, False):
            with Experiment(Workspace(), "digits").start_logging(outputs=nothing, snapshot_directory=nothing):
                pass
        Experiment(Workspace(), "digits").start_logging().complete()
    assert not (home / "files").exists()


def test_a_snapshot_is_taken_when_the_run_begins(home: Path, tmp_path: Path) -> None:
    code(tmp_path / "src", train="1", data="2")
    (tmp_path / "src" / ".amlignore").write_text("data\n.amlignore\n")
    with closing(Workspace().session), Experiment(Workspace(), "digits").start_logging(snapshot_directory="src") as run:
        snapshot_id = run.properties["ContentSnapshotId"]
        with pytest.raises(InvalidInput, match="has one already"):
            run.take_snapshot("src")
    with zipfile.ZipFile(home / "files" / run.id / "snapshot" / f"{snapshot_id}.zip") as archive:
        assert archive.namelist() == ["train"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"snapshot_directory": "nowhere"}, "start_logging: snapshot_directory: nowhere: is neither a file nor a folder"),
        ({"snapshot_directory": 5}, "start_logging: snapshot_directory is a int; pass a folder's path"),
        ({"snapshot_directory": "."}, "has 1 files of 1 bytes; at most 0 files"),
        ({"outputs": 5}, "outputs is a int that names no folder; pass a path"),
        ({"outputs": True}, "outputs is a bool that names no folder"),
        ({"outputs": ""}, "outputs is a str that names no folder"),
        ({"outputs": "a"}, "a: is a file; pass a folder, or keep it with upload_file"),
        ({"output": "a"}, "start_logging: does not know the argument 'output'"),
    ],
)
def test_a_run_of_which_a_folder_cannot_be_taken_is_not_begun(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    code(tmp_path, a="1")
    monkeypatch.setattr("runherald.producers.files.snapshot.MAX_FILES", 0)
    with closing(Workspace().session), pytest.raises(InvalidInput) as caught:
        Experiment(Workspace(), "digits").start_logging(**arguments)
    assert message in str(caught.value)
    assert said(home) == []


def test_a_run_of_which_the_snapshot_cannot_be_kept_is_failed(home: Path, tmp_path: Path) -> None:
    code(tmp_path / "src", a="1")
    (tmp_path / "full").write_text("no folder")
    with closing(Workspace().session), pytest.raises(OSError, match="full"):
        Experiment(Workspace(files=tmp_path / "full"), "digits").start_logging(snapshot_directory="src")
    assert [data.status for data in said(home) if isinstance(data, AmlRunStatusChangedEvent)] == ["Running", "Failed"]


def test_a_folder_that_is_left_out_is_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = code(tmp_path, a="1", venv__deep__b="2", data__keep="3", data__sub__c="4")
    (folder / ".amlignore").write_text("venv/\n!venv/deep/b\ndata/*\n!data/keep\n.amlignore\n")
    looked: list[str] = []
    listed = Path.iterdir

    def seen(path: Path) -> Iterator[Path]:
        looked.append(path.name)
        return iter(listed(path))

    monkeypatch.setattr(Path, "iterdir", seen)
    assert zipfile.ZipFile(io.BytesIO(snapshot("run r", folder)[1])).namelist() == ["a", "data/keep"]
    assert looked == [folder.name, "data"]


def test_the_same_files_are_the_same_snapshot(tmp_path: Path) -> None:
    first, second = code(tmp_path / "1", a="1", b="2"), code(tmp_path / "2", b="2", a="1")
    os.utime(second / "a", (1, 1))
    assert snapshot("run r", first) == snapshot("run r", second)
    (second / "a").write_text("other")
    assert snapshot("run r", first)[0] != snapshot("run r", second)[0]
    assert zipfile.ZipFile(io.BytesIO(snapshot("run r", first / "a")[1])).namelist() == ["a"]


def test_a_run_has_one_snapshot_and_not_too_much_of_it(home: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = code(tmp_path / "code", a="1", b="2")
    with monkeypatch.context() as patch:
        patch.setattr("runherald.producers.files.snapshot.MAX_FILES", 1)
        with pytest.raises(InvalidInput, match=f"run {run.id}: take_snapshot: .* has 2 files of 2 bytes"):
            run.take_snapshot(folder)
    with pytest.raises(InvalidInput, match="is neither a file nor a folder"):
        run.take_snapshot(folder / "c")
    snapshot_id = run.take_snapshot(folder)
    assert run.properties == {"ContentSnapshotId": snapshot_id}
    assert files(home) == [f"{run.id}/snapshot/{snapshot_id}.zip"]
    with pytest.raises(InvalidInput, match="has one already"):
        run.take_snapshot(folder / "a")


def test_without_what_reads_patterns_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitignore").write_text("a")
    monkeypatch.setitem(sys.modules, "pathspec", None)
    with pytest.raises(Unsupported, match=r"\.gitignore: cannot be followed .* `pip install 'runherald\[files\]'`"):
        snapshot("run r", tmp_path)
