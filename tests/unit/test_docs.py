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


def test_the_example_of_a_settings_file_can_be_used(tmp_path: Path) -> None:
    found = re.search(r"^```toml\n(.*?)^```", SETTINGS, re.M | re.S)
    assert found
    file = tmp_path / "runherald.toml"
    file.write_text(found[1])
    assert load_settings({}, config=file).mail.to == ("you@example.org",)
