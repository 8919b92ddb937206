"""Settings come from defaults, a file, variables and options, and whatever is wrong is said with its place and without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from runherald.errors import SettingsError
from runherald.settings import Leases, Mail, Settings, load_settings, without_password

SECRET = "hunter2-9f3a"


def write(folder: Path, text: str) -> Path:
    path = folder / "runherald.toml"
    path.write_text(text)
    return path


def test_defaults_need_nothing() -> None:
    settings = load_settings({})
    assert settings == Settings(home=Path("~/.runherald").expanduser())
    assert settings.url == "http://127.0.0.1:7460"


def test_later_sources_win(tmp_path: Path) -> None:
    config = write(tmp_path, 'port = 1\nhost = "file"\nworkspace = "file"\n[mail]\nsmtp = "smtp://file"\nmax_attempts = 3\n')
    environ = {"RUNHERALD_HOST": "variable", "RUNHERALD_WORKSPACE": "variable", "RUNHERALD_MAIL__SMTP": "smtp://variable"}
    settings = load_settings(environ, overrides={"workspace": "option", "mail.to": ["a@example.org"], "token": None}, config=config)
    assert (settings.port, settings.host, settings.workspace) == (1, "variable", "option")
    assert settings.mail == Mail(smtp="smtp://variable", max_attempts=3, to=("a@example.org",))


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    config = write(tmp_path, "[leases]\ngrace_seconds = 5\n")
    assert load_settings({"RUNHERALD_CONFIG": str(config)}).leases == Leases(grace_seconds=5.0)


def test_paths_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    config = write(tmp_path, 'rules = ["rules/a.yaml", "/etc/b.yaml"]\ndata = "data"\nhome = "~/journals"\n')
    settings = load_settings({}, config=config)
    assert settings.rules == (tmp_path / "rules/a.yaml", Path("/etc/b.yaml"))
    assert settings.data == tmp_path / "data"
    assert settings.home == Path.home() / "journals"
    assert load_settings({}, config=write(tmp_path, 'files = "kept"')).files == str(tmp_path / "kept")
    assert load_settings({}, config=write(tmp_path, 'files = "s3://bucket/runs"')).files == "s3://bucket/runs"


def test_variables_are_text_and_lists_have_commas() -> None:
    environ = {"RUNHERALD_PORT": "80", "RUNHERALD_MAIL__TO": "a@x.org, b@x.org", "RUNHERALD_LEASE_SECONDS": "1.5", "RUNHERALD_TOKEN": ""}
    settings = load_settings(environ)
    assert (settings.port, settings.mail.to, settings.lease_seconds, settings.token) == (80, ("a@x.org", "b@x.org"), 1.5, "")


def test_variables_of_others_are_left_alone() -> None:
    environ = {"RUNHERALD_SERVICE_HOST": "10.0.0.1", "RUNHERALD_RUN_ID": "r", "OTHER_PORT": "x"}
    assert load_settings(environ) == load_settings({})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("log", "embedded"),
        ("log", "kafka://a:9092"),
        ("log", "kafka://a:9092,b.example.org:9093,[::1]:9094"),
        ("history", "http://user:password@h:8123"),
        ("history", "https://h"),
        ("query_history", ""),
        ("url", "http://[::1]:7460"),
        ("host", "::"),
        ("host", "localhost"),
        ("port", 0),
        ("limits.tags", 1_000),
        ("limits.metric_name", 1),
        ("mail.smtp", "smtps://u:p@h:465?verify=no"),
        ("mail.sender", "Run Herald <herald@example.org>"),
    ],
)
def test_good_values(key: str, value: object) -> None:
    settings = load_settings({}, overrides={key: value})
    table, _, name = key.rpartition(".")
    assert getattr(getattr(settings, table) if table else settings, name) == value


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("RUNHERALD_PORT", "tcp://10.0.0.1:7460", "a whole number"),
        ("RUNHERALD_PORT", "70000", "0 to 65535"),
        ("RUNHERALD_PORT", "1.5", "a whole number"),
        ("RUNHERALD_LEASE_SECONDS", "nan", "seconds"),
        ("RUNHERALD_LEASE_SECONDS", "0", "seconds"),
        ("RUNHERALD_URL", "127.0.0.1:7460", "does not begin with a scheme; write 'offline' or http://host:port"),
        ("RUNHERALD_URL", "ftp://h", "'ftp'"),
        ("RUNHERALD_URL", "http://", "without a host"),
        ("RUNHERALD_URL", "http://h:99999", "port"),
        ("RUNHERALD_LOG", f"kafka://{SECRET}", "kafka://host:port"),
        ("RUNHERALD_LOG", "kafka://h:1,", "kafka://host:port"),
        ("RUNHERALD_LOG", "kafka://h:0", "kafka://host:port"),
        ("RUNHERALD_LOG", "amqp://h:1", "'embedded' or kafka://"),
        ("RUNHERALD_HISTORY", f"user:{SECRET}@h", "'embedded' or http://"),
        ("RUNHERALD_HISTORY", f"clickhouse://user:{SECRET}@h", "'clickhouse'"),
        ("RUNHERALD_HOST", "two hosts", "host name"),
        ("RUNHERALD_DATABASE", "a; drop", "letters, digits"),
        ("RUNHERALD_HOME", "~nobody-of-this-name/x", "write the folder out"),
        ("RUNHERALD_MAIL__SMTP", f"user:{SECRET}@h", "smtp://host:port"),
        ("RUNHERALD_MAIL__TO", "a@example.org,me", "address 2 of 2"),
        ("RUNHERALD_MAIL__SENDER", "me", "name@example.org"),
        ("RUNHERALD_MAIL__MAX_ATTEMPTS", "0", "1 to 1000"),
        ("RUNHERALD_LIMITS__TAGS", "0", "1 to 1000; a server takes no more"),
        ("RUNHERALD_LIMITS__TAG_VALUE", "100001", "1 to 100000"),
        ("RUNHERALD_LIMITS__EVENT_BYTES", "5", "there is no such setting"),
        ("RUNHERALD_LIMITS__RUN_ID", "5", "there is no such setting"),
        ("RUNHERALD_MAIL", "smtp://h", "RUNHERALD_MAIL__SMTP"),
        ("RUNHERALD_MAIL__SMPT", "smtp://h", "did you mean RUNHERALD_MAIL__SMTP?"),
        ("RUNHERALD_HISTRY", "http://h", "did you mean RUNHERALD_HISTORY?"),
    ],
)
def test_a_bad_variable_is_named_with_what_to_do(variable: str, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: text})
    message = str(caught.value)
    assert message.startswith(f"{variable}: ")
    assert says in message
    assert SECRET not in message
    assert caught.value.exit_status == 2
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('hots = "x"', "hots: there is no such setting; did you mean host?"),
        ("zzz = 1", "zzz: there is no such setting; there are url, token"),
        ("[mail]\nsntp = 1", "mail.sntp: there is no such setting; did you mean mail.smtp?"),
        ("mail = 1", "mail is a number; it is a table"),
        ('port = "80"', "port: is a text that does not fit; write a whole number"),
        ("port = true", "port: is a boolean; write a whole number"),
        ("token = 12", "token: is a number; write a text"),
        ('token = "two\\nlines"', "token: has characters that no HTTP header can carry, such as a line break; leave them out"),
        ('rules = [""]', "rules: is a list; write a list of paths"),
        ("[mail]\nto = [1]", "mail.to: is a list; write a list of texts"),
        (f'token = "{SECRET}', "is not TOML"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path: Path, text: str, says: str) -> None:
    config = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, config=config)
    assert str(caught.value).startswith(f"{config}: ")
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read .* RUNHERALD_CONFIG"):
        load_settings({"RUNHERALD_CONFIG": str(tmp_path / "absent.toml")})


def test_a_bad_option_is_named_as_it_was_typed() -> None:
    with pytest.raises(SettingsError, match=r"^--mail-smtp: "):
        load_settings({}, overrides={"mail.smtp": "nonsense"})


def test_no_secret_is_shown() -> None:
    settings = load_settings(
        {},
        overrides={
            "token": SECRET,
            "history": f"http://me:{SECRET}@h:8123",
            "query_history": f"http://h:8123?user=me&password={SECRET}&x=1",
            "mail.smtp": f"smtp://me:{SECRET}@h",
        },
    )
    assert SECRET not in repr(settings)
    assert "me:***@h:8123" in repr(settings)
    assert settings.token == SECRET


def test_a_url_without_password_stays_as_it_is() -> None:
    assert without_password("http://h:8123/x") == "http://h:8123/x"
