"""Settings: read once in an entry point, from a TOML file, the environment, and the command line.

    load_settings(environ, overrides={"mail.smtp": "smtp://mail:25"}, config=Path("runherald.toml"))

Later ones win: defaults, the TOML file (`config`, else the one that RUNHERALD_CONFIG names), variables (`RUNHERALD_URL`; two underscores
lead into a table: `RUNHERALD_MAIL__SMTP`; lists are separated by commas; an empty variable counts as not set), overrides. Paths in a file
are relative to the file. Whatever is wrong is said with the file or variable and the key, and never with the value: it may be a secret.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from runherald.api import DEFAULT_URL
from runherald.errors import SettingsError
from runherald.limits import DEFAULT_LIMITS, FIXED, Limits
from runherald.setting_checks import CHECKS, EMBEDDED

PREFIX = "RUNHERALD_"
CONFIG_VARIABLE = "RUNHERALD_CONFIG"

_NEAR = 0.85
"""How alike a variable and a setting must be for the variable to be taken as a slip: other programs use the prefix as well."""

_SHOWN_AS_SET = frozenset({"token"})
_HOLD_PASSWORDS = frozenset({"url", "files", "history", "query_history", "public_url", "mail.smtp"})


class Mail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How mail leaves. Without `smtp` none does.

    Attributes:
        smtp: `smtp://[user:password@]host[:port]`, or `smtps://`.
        sender: the address, or `Name <address>`, that mail comes from.
        to: whom the built-in rule tells.
        timeout_seconds: of one attempt.
        max_attempts: after so many a notice is given up, and says so.
        max_age_hours: of what happened longer ago nobody is told.
    """

    smtp: str = ""
    sender: str = "runherald@localhost"
    to: tuple[str, ...] = ()
    timeout_seconds: float = 30.0
    max_attempts: int = 12
    max_age_hours: float = 24.0

    def __repr__(self) -> str:
        return _repr("Mail", self, "mail.")


class Leases(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How silence is judged. `grace_seconds` passes between NotResponding and Failed."""

    grace_seconds: float = 600.0


class Watch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the server tells `mail.to` that its own pipeline lags: above an age of `lag_seconds` of what waits; 0 for never."""

    lag_seconds: float = 60.0


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set.

    Attributes:
        url: of the server, for the SDK and the CLI.
        token: that the server asks for, and that the SDK and the CLI send.
        home: the folder of the journals.
        files: where the files of runs are kept, a folder or an address for fsspec; empty for `files` below `home`.
        compute: compute targets of this machine for submitted scripts, `NAME=SLOTS` each; `local`, with one slot, is always there.
        data: the folder of the embedded log and history.
        host: the address that the server listens on.
        port: the port that it listens on; 0 takes a free one.
        log: `embedded`, or `kafka://host:port,host:port`.
        history: `embedded`, or `http(s)://user:password@host:port` of a ClickHouse server.
        query_history: URL of the server's user that users' queries run as.
        database: in ClickHouse.
        workspace: of runs that name none.
        public_url: of the server as people reach it, for links in mails.
        rules: files of alert rules.
        lease_seconds: how long a run may be silent, unless it says so itself.
        provenance: whether a run that begins records its git commit, command and the like.
        limits: what the scripts that run here may pass; what a server takes is not set.
    """

    url: str = DEFAULT_URL
    token: str = ""
    home: Path = Path("~/.runherald")
    files: str = ""
    compute: tuple[str, ...] = ()
    data: Path = Path("runherald-data")
    host: str = "127.0.0.1"
    port: int = 7460
    log: str = EMBEDDED
    history: str = EMBEDDED
    query_history: str = ""
    database: str = "runherald"
    workspace: str = "default"
    public_url: str = ""
    rules: tuple[Path, ...] = ()
    mail: Mail = Mail()
    leases: Leases = Leases()
    watch: Watch = Watch()
    limits: Limits = DEFAULT_LIMITS
    lease_seconds: float = 60.0
    provenance: bool = True

    def __repr__(self) -> str:
        return _repr("Settings", self, "")


class _Given(NamedTuple):
    """A value as it was given. `origin` names the file or variable and the key; `folder` is where relative paths begin."""

    value: Any
    origin: str
    is_text: bool = False
    folder: Path | None = None


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    config: Path | None = None,
    caller: str = "",
) -> Settings:
    """Return the settings. `overrides` has dotted keys; those that are None count as not given. Errors name them as arguments of `caller`,
    without one as options of the command line.

    Raises:
        SettingsError: a file cannot be read, a key is unknown, or a value cannot be used.
    """
    environ = os.environ if environ is None else environ
    if config is None and environ.get(CONFIG_VARIABLE):
        config = Path(environ[CONFIG_VARIABLE])
    given = dict(_from_file(config.expanduser())) if config is not None else {}
    given.update(_from_environ(environ))
    given.update(_from_overrides(overrides or {}, caller))
    values = {key: _convert(key, one) for key, one in given.items()}
    return _settings(values)


def without_password(url: str) -> str:
    """Return a URL that people may see: whom it logs in as stays, the password does not."""
    return re.sub(r"((?:password|token)=)[^&]*", r"\1***", re.sub(r"(://[^:@/?#]*):[^@/]*@", r"\1:***@", url))


def _settings(values: Mapping[str, Any]) -> Settings:
    arguments: dict[str, Any] = {"home": Settings().home.expanduser()}
    arguments |= {key: value for key, value in values.items() if "." not in key}
    for table, kind in _TABLES.items():
        inner = {key.removeprefix(f"{table}."): value for key, value in values.items() if key.startswith(f"{table}.")}
        arguments[table] = kind(**inner)
    return Settings(**arguments)


def _leaves(kind: type[Struct], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for field in fields(kind):
        if prefix == "" and field.name in _TABLES:
            yield from _leaves(_TABLES[field.name], f"{field.name}.")
        elif prefix != "limits." or field.name not in FIXED:
            yield prefix + field.name, field


_TABLES: Mapping[str, type[Struct]] = MappingProxyType({"mail": Mail, "leases": Leases, "watch": Watch, "limits": Limits})
_LEAVES: Mapping[str, FieldInfo] = MappingProxyType(dict(_leaves(Settings)))


def _from_file(path: Path) -> Iterator[tuple[str, _Given]]:
    import tomllib  # only where there is a file

    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); name another file or unset {CONFIG_VARIABLE}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The parser's message says where, and does not quote more than a character.
        raise SettingsError(f"{path}: is not TOML: {error}") from None
    for key, value in _flatten(document, path):
        yield key, _Given(value, f"{path}: {key}", folder=path.absolute().parent)


def _flatten(document: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if name not in _TABLES:
            _check_key(name, f"{path}: {name}", str)
            yield name, value
            continue
        if not isinstance(value, dict):
            raise SettingsError(f"{path}: {name} is {_kind(value)}; it is a table: write its keys below [{name}]")
        for key, inner in cast("dict[str, Any]", value).items():
            _check_key(f"{name}.{key}", f"{path}: {name}.{key}", str)
            yield f"{name}.{key}", inner


def _from_environ(environ: Mapping[str, str]) -> Iterator[tuple[str, _Given]]:
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE or not text:
            continue
        key = variable.removeprefix(PREFIX).lower().replace("__", ".")
        if key in _TABLES:
            inner = ", ".join(sorted(_variable(leaf) for leaf in _LEAVES if leaf.startswith(f"{key}.")))
            raise SettingsError(f"{variable}: {key} is a table; set one of {inner}")
        if key in _LEAVES:
            yield key, _Given(text, variable, is_text=True)
        elif key.partition(".")[0] in _TABLES or difflib.get_close_matches(key, _LEAVES, n=1, cutoff=_NEAR):
            _check_key(key, variable, _variable)


def _from_overrides(overrides: Mapping[str, Any], caller: str) -> Iterator[tuple[str, _Given]]:
    for key, value in overrides.items():
        if value is None:
            continue
        _check_key(key, key, str)
        yield key, _Given(value, f"{caller}: {key}" if caller else _option(key))


def _check_key(key: str, origin: str, write: Callable[[str], str]) -> None:
    if key in _LEAVES:
        return
    near = difflib.get_close_matches(key, _LEAVES, n=1, cutoff=0.5)
    hint = f"did you mean {write(near[0])}?" if near else f"there are {', '.join(write(leaf) for leaf in _LEAVES)}"
    raise SettingsError(f"{origin}: there is no such setting; {hint}")


def _convert(key: str, given: _Given) -> Any:
    kind = _LEAVES[key].type
    value: Any = given.value
    if kind in (tuple[str, ...], tuple[Path, ...]) and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        value = cast("Any", msgspec.convert(value, kind, strict=not given.is_text, dec_hook=_to_path))
    except msgspec.ValidationError:
        raise SettingsError(f"{given.origin}: is {_kind(given.value)}; write {_EXPECTED[kind]}") from None
    if kind is Path:
        value = _place(value, given)
    elif key == "files" and "://" not in value and value:
        value = str(_place(Path(value), given))
    elif kind == tuple[Path, ...]:
        value = tuple(_place(path, given) for path in value)
    check = CHECKS.get(key)
    wrong = check(value) if check else ""
    if wrong:
        raise SettingsError(f"{given.origin}: {wrong}")
    return value


def _to_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    if isinstance(value, kind):
        return value
    raise msgspec.ValidationError


def _place(path: Path, given: _Given) -> Path:
    try:
        path = path.expanduser()
    except RuntimeError:
        raise SettingsError(f"{given.origin}: begins with the home of a user that is not there; write the folder out") from None
    return given.folder / path if given.folder is not None else path


def _kind(value: Any) -> str:
    match value:
        case "":
            return "an empty text"
        case bool():
            return "a boolean"
        case str():
            return "a text that does not fit"
        case int() | float():
            return "a number"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"of type {type(value).__name__}"


_EXPECTED: Mapping[Any, str] = MappingProxyType(
    {
        str: "a text",
        int: "a whole number",
        float: "a number",
        Path: "a path",
        tuple[str, ...]: "a list of texts",
        tuple[Path, ...]: "a list of paths",
    }
)


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__")


def _option(key: str) -> str:
    return "--" + key.replace(".", "-").replace("_", "-")


def _repr(name: str, struct: Struct, prefix: str) -> str:
    shown = ", ".join(f"{field.name}={_shown(prefix + field.name, getattr(struct, field.name))}" for field in fields(struct))
    return f"{name}({shown})"


def _shown(key: str, value: Any) -> str:
    if key in _SHOWN_AS_SET:
        return "'***'" if value else "''"
    return repr(without_password(value)) if key in _HOLD_PASSWORDS else repr(value)
