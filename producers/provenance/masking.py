"""Secrets in what a program was started with: found by the names of options and by the form of addresses, and left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"

_WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|secrets?|tokens?|api[-_.]?keys?|access[-_.]?keys?|account[-_.]?keys?|private[-_.]?keys?|keys?"
    r"|credentials?|creds?|auth(?:orization)?|bearer|sas|signature|connection[-_.]?strings?|conn[-_.]?str|cookies?|dsn"
)
_NAME = re.compile(rf"(?:^|[-_.:])(?:{_WORDS})(?:$|[-_.:])", re.IGNORECASE)
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ASSIGNED = re.compile(r"""([A-Za-z_][\w.\-]*)["']?\s*[=:]\s*["']?""")
_VALUE = re.compile(r"""[^\s"',;&]+""")
_USERINFO = re.compile(r"(?<=://)[^/\s@]*:?[^/\s]*@")
_KNOWN = re.compile(r"\b(?:gh[pousr]_|github_pat_|hf_|sk-|xox[abprs]-|glpat-|AKIA|eyJ[\w-]{8,}\.)[\w\-.]{8,}")
"""Tokens that say by their beginning what they are: GitHub's, Hugging Face's, OpenAI's, Slack's, GitLab's, AWS's, and JSON Web Tokens."""
_COUNTS = frozenset({"tokens", "keys"})


def mask_arguments(arguments: Sequence[str]) -> list[str]:
    """Return a program's arguments without values of options that are named like secrets, credentials in addresses and known tokens."""
    masked: list[str] = []
    is_value = False
    for argument in arguments:
        if is_value and not _is_option(argument):
            masked.append(MASK)
            is_value = False
            continue
        name, equals, _ = argument.partition("=")
        is_value = argument.startswith("-") and not equals and names_a_secret(name)
        masked.append(f"{name}={MASK}" if argument.startswith("-") and equals and names_a_secret(name) else mask_text(argument))
    return masked


def mask_text(text: str) -> str:
    """Return a text without what is assigned to names like secrets' (`password=…`), credentials in addresses, and known tokens."""
    return _KNOWN.sub(MASK, _without_assigned(_USERINFO.sub(f"{MASK}@", text)))


def names_a_secret(name: str) -> bool:
    """Say whether a name is one of a secret: `--api-key`, `dbPassword`, `HF_TOKEN`; not `--max-tokens`, nor `--tokenizer`."""
    words = _HUMPS.sub("_", name).strip("-")
    found = _NAME.search(words)
    if found is None:
        return False
    return not (found[0].strip("-_.:").lower() in _COUNTS and re.search(r"(?i)(?:max|min|num|n|new|sort)[-_.]", words))


def _without_assigned(text: str) -> str:
    kept, begin = "", 0
    for found in _ASSIGNED.finditer(text):
        value = _VALUE.match(text, found.end())
        if found.start() >= begin and value is not None and names_a_secret(found[1]):
            kept += text[begin : found.end()] + MASK
            begin = value.end()
    return kept + text[begin:]


def _is_option(argument: str) -> bool:
    return argument.startswith("--") or re.fullmatch("-[A-Za-z]", argument) is not None
