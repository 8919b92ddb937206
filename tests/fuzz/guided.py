"""The long run: `make fuzz ARGS="--decoder rules --seconds 180"`. libFuzzer looks for inputs that reach code not reached before.

Each decoder has a process of its own, one after the other, since libFuzzer ends its process with what it finds. An input that raises, takes
longer than `_SLOW` seconds or more memory than `_MEGABYTES` is written to `.fuzz/NAME/` and given again by
`make fuzz ARGS="--decoder NAME --replay FILE"`. What was reached stays in `.fuzz/NAME/corpus`, and the next run begins there.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

NAMES = ("batch", "record", "letter", "frames", "entry", "bundle", "answer", "rules", "mail", "words")
_FOLDER = Path(__file__).parents[2] / ".fuzz"
_SLOW = 10
_MEGABYTES = 2_048
_LONGEST = 16_384  # bytes of an input; a longer one reaches nothing else
_FIGURES = re.compile(r"stat::number_of_executed_units:\s+(\d+).*stat::peak_rss_mb:\s+(\d+)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the decoders that are named, or all; 1 when one did what it may not, 2 where there is no atheris."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz what reads bytes that somebody else wrote.")
    parser.add_argument("--decoder", action="append", choices=NAMES, help="which; may be repeated; without it all, one after the other")
    parser.add_argument("--seconds", type=int, default=180, help="for each decoder")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--replay", type=Path, help="give this one input to the decoder, without libFuzzer")
    parser.add_argument("--inside", choices=NAMES, help=argparse.SUPPRESS)
    asked, rest = parser.parse_known_args(arguments)
    if asked.inside:
        fuzz(asked.inside, rest)
    names = asked.decoder or NAMES
    if asked.replay:
        for name in names:
            _replay(name, asked.replay)
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("there is no atheris: `uv pip install -e '.[fuzz]'`; its wheels are for Linux on x86-64", file=sys.stderr)
        return 2
    found = [name for name in names if not _run(name, asked.seconds, asked.seed)]
    print(f"fuzzed={','.join(names)} seconds_each={asked.seconds} found={','.join(found) or 'nothing'}")
    return int(bool(found))


def fuzz(name: str, options: Sequence[str]) -> None:
    """Hand this process to libFuzzer; it does not return."""
    atheris: Any = import_module("atheris")  # of the extra `fuzz`
    # What is imported in here is watched; it must not be imported before.
    with atheris.instrument_imports(include=["runherald", "tests.fuzz.decoders", "yaml", "email"], enable_loader_override=False):
        from tests.fuzz.decoders import DECODERS
    atheris.Setup([sys.argv[0], *options], DECODERS[name], enable_python_coverage=True)
    atheris.Fuzz()


def _run(name: str, seconds: int, seed: int) -> bool:
    from tests.fuzz.seeds import SEEDS

    folder = _FOLDER / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for content in SEEDS[name]:
        (corpus / hashlib.sha1(content, usedforsecurity=False).hexdigest()).write_bytes(content)
    options = [
        *(f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={_LONGEST}", f"-timeout={_SLOW}", f"-rss_limit_mb={_MEGABYTES}"),
        *("-print_final_stats=1", f"-artifact_prefix={folder}/", str(corpus)),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", "--inside", name, *options],
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    (folder / "last.log").write_text(done.stderr)
    figures = _FIGURES.search(done.stderr)
    executed, megabytes = figures.groups() if figures else ("0", "?")
    print(f"decoder={name} executions={executed} peak_mb={megabytes} status={done.returncode}", flush=True)
    if done.returncode:
        print(done.stderr[-4_000:], flush=True)
    return done.returncode == 0


def _replay(name: str, path: Path) -> None:
    from tests.fuzz.decoders import DECODERS

    DECODERS[name](path.read_bytes())
    print(f"decoder={name} input={path}: as it should be")


if __name__ == "__main__":
    sys.exit(main())
