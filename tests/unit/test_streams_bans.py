"""What loses or repeats records in Faust, or makes it unsafe, is banned by name in the whole tree (docs/decisions/faust.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("alerts", "benchmarks", "deploy", "examples", "producers", "runherald", "sinks", "streams", "studio")

BANNED_CALLS = {
    "take": ("stream", "acknowledges in `finally`, whether or not the batch was stored"),
    "take_events": ("stream", "acknowledges in `finally`, whether or not the batch was stored"),
    "noack_take": ("stream", "swallows records after a failure"),
    "seek": ("consumer", "Faust does not deliver again after a seek, and commits past it"),
    "seek_wait": ("consumer", "Faust does not deliver again after a seek, and commits past it"),
    "seek_to_beginning": ("consumer", "Faust does not deliver again after a seek, and commits past it"),
    "Table": ("app", "recovery of tables can hang; state is in ClickHouse"),
    "GlobalTable": ("app", "recovery of tables can hang; state is in ClickHouse"),
    "SetTable": ("app", "recovery of tables can hang; state is in ClickHouse"),
}
"""Methods, what they are called on (these are good names elsewhere: a file may `seek`), and why not."""

BANNED_MODULES = {"pickle", "cloudpickle", "dill", "shelve", "faust.models"}
BANNED_TEXTS = {"exactly_once": "repeats, sticks and crashes", "pickle": "runs what others wrote"}


def faults(source: str, *, name: str = "<text>") -> list[str]:
    """Return what is banned in a module, one line each."""
    tree = ast.parse(source, name)
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=attr, value=on)) if attr in BANNED_CALLS and BANNED_CALLS[attr][0] in ast.unparse(on):
                found.append(f"{name}:{node.lineno}: {attr}: {BANNED_CALLS[attr][1]}")
            case ast.Attribute(value=ast.Name(id="faust"), attr="Record"):
                found.append(f"{name}:{node.lineno}: faust.Record: slow, and decodes before we can say what is wrong")
            case ast.ImportFrom(module="faust", names=names) if any(each.name == "Record" for each in names):
                found.append(f"{name}:{node.lineno}: faust.Record: slow, and decodes before we can say what is wrong")
            case ast.Constant(value=str(text)) if text in BANNED_TEXTS:
                found.append(f"{name}:{node.lineno}: {text}: {BANNED_TEXTS[text]}")
            case _:
                pass
    found += [f"{name}: {each}: banned" for each in _imports(tree) if each in BANNED_MODULES]
    return found


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def modules() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if not _through_link(path)]


def _through_link(path: Path) -> bool:
    return any(parent.is_symlink() for parent in path.parents)


def test_nothing_banned_is_in_the_tree() -> None:
    checked = modules()
    assert len(checked) > 20
    assert [fault for path in checked for fault in faults(path.read_text(), name=str(path.relative_to(ROOT)))] == []


@pytest.mark.parametrize(
    "source",
    [
        "async def f(stream):\n    async for batch in stream.take(10, within=1): ...",
        "async def f(stream):\n    async for batch in stream.noack_take(10, within=1): ...",
        "async def f(stream):\n    async for batch in stream.noack().take_events(10): ...",
        "async def f(app, tp):\n    await app.consumer.seek(tp, 3)",
        "app = App('x', processing_guarantee='exactly_once')",
        "table = app.Table('x')",
        "import faust\nclass A(faust.Record): ...",
        "from faust import Record",
        "import pickle",
        "from pickle import loads",
        "topic = app.topic('x', value_serializer='pickle')",
    ],
)
def test_each_banned_thing_is_found(source: str) -> None:
    assert len(faults(source)) == 1
