"""What the documents say is so: their links, commands, settings and scripts."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from msgspec.structs import fields

from runherald.cli.main import build_parser
from runherald.limits import FIXED, Limits
from runherald.settings import Leases, Mail, Settings, Watch, load_settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")])
SETTINGS = (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_taken_by_the_command_line(document: Path) -> None:
    blocks = re.findall(r"^```\n(.*?)^```", document.read_text(), re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("runherald ")]
    parser = build_parser()
    for line in lines:
        words = [word for word in shlex.split(line, comments=True) if word != "…"]
        parser.parse_args(words[1:])  # argparse ends the process where it does not take them


def test_the_scripts_of_the_readme_are_python() -> None:
    scripts = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert scripts
    for script in scripts:
        ast.parse(script)


def test_every_setting_stands_in_the_table() -> None:
    told = set(re.findall(r"^\| `([\w.]+)` \|", SETTINGS, re.M))
    keys = {field.name for field in fields(Settings)} - {"mail", "leases", "watch", "limits"}
    keys |= {f"mail.{field.name}" for field in fields(Mail)} | {f"leases.{field.name}" for field in fields(Leases)}
    keys |= {f"watch.{field.name}" for field in fields(Watch)} | {f"limits.{field.name}" for field in fields(Limits)}
    keys -= {f"limits.{name}" for name in FIXED}
    assert told == keys


def rows_of_training_script() -> list[tuple[str, str, str]]:
    """Return what each row is about, the file of its test, and the test's name where it is said."""
    found, file = [], ""
    for line in (ROOT / "docs" / "training-script.md").read_text().splitlines():
        if not line.startswith("| ") or line.startswith(("| what ", "|--")):
            continue
        what, _, told = (cell.strip() for cell in line.strip("| ").split("|"))
        name = re.search(r"`(test_\w+)`", told)
        said = re.search(r"`([\w/]+\.py)`", told)
        if "(there)" not in told:
            file = said[1] if said else "test_sdk_bad_places.py"
        found.append((what, file if "/" in file else f"tests/unit/{file}", name[1] if name else ""))
    return found


def test_each_row_of_what_a_script_may_meet_is_a_test() -> None:
    rows = rows_of_training_script()
    assert len(rows) > 20
    for what, file, name in rows:
        place = next((path for path in (ROOT / file, ROOT / file.replace("unit", "integration")) if path.exists()), None)
        assert place is not None, f"{what}: there is no {file}"
        assert not name or f"def {name}(" in place.read_text(), f"{what}: {file} has no {name}"


def test_the_example_of_a_settings_file_can_be_used(tmp_path: Path) -> None:
    found = re.search(r"^```toml\n(.*?)^```", SETTINGS, re.M | re.S)
    assert found
    file = tmp_path / "runherald.toml"
    file.write_text(found[1])
    assert load_settings({}, config=file).mail.to == ("you@example.org",)
