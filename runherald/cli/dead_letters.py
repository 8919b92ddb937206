"""`runherald dead-letters list|show|replay|go-on`: what could not be taken, and what to do about it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runherald.cli import options
from runherald.cli.grid import Grid, Head, pairs, text
from runherald.cli.options import add_server
from runherald.cli.output import add_output, print_answer
from runherald.cli.words import first_line, local_time, plain, short_time

if TYPE_CHECKING:
    from runherald.cli.dead_letter_client import DeadLetterClient
    from runherald.cli.options import Commands
    from runherald.letters_api import Bytes, LetterDetail, LetterView, ReplayAnswer, ReplayItem

PAGE = 200
"""Letters asked for at once."""
STATES = ("open", "replayed", "failed_again", "all")
_FILTERS = ("processor", "error", "topic", "state", "since", "until")
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def register(commands: Commands) -> None:
    """Add `dead-letters` and its commands."""
    parser = commands.add_parser(
        "dead-letters", help="records that could not be taken", description="Look at records that could not be taken, and replay them."
    )
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    parser = below.add_parser("list", help="dead letters, newest first", description="List dead letters, newest first.")
    _add_filters(parser)
    parser.add_argument("-n", "--limit", type=_count, default=100, metavar="N", help="at most so many (default 100)")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=list_letters)

    parser = below.add_parser("show", help="all of a letter", description="Show a dead letter: its bytes, reason, origin and replays.")
    parser.add_argument("letter_id", metavar="LETTER")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=show_letter)

    parser = below.add_parser(
        "replay",
        help="bring events back to their topics",
        description="Bring events of dead letters back to their topics, oldest first. Without --yes it says what that would do.",
    )
    parser.add_argument("letter_ids", nargs="*", metavar="LETTER", help="these letters; else those that the filters find")
    _add_filters(parser)
    parser.add_argument("-n", "--limit", type=_replay_count, default=100, metavar="N", help="at most so many (default 100, at most 1000)")
    parser.add_argument("--yes", action="store_true", help="send them")
    parser.add_argument("--late", action="store_true", help="apply events though their runs have gone on meanwhile")
    parser.add_argument("--again", action="store_true", help="letters that were replayed before, too")
    parser.add_argument("--force", action="store_true", help="send what would fail again, too")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=replay)

    parser = below.add_parser(
        "go-on",
        help="let a stopped processor go on",
        description="Let a processor go on that stopped because of too many dead letters; then start it again.",
    )
    parser.add_argument("processor", metavar="PROCESSOR")
    parser.add_argument("--allow", type=int, default=0, metavar="N", help="so many dead letters more do not count (default 0)")
    add_server(parser)
    parser.set_defaults(run=let_go_on)


def list_letters(args: argparse.Namespace) -> int:
    """Print letters, newest first."""
    letters: list[LetterView] = []
    with _client_of(args) as client:
        page = client.list_letters(_filters(args), limit=min(PAGE, args.limit))
        letters += page.letters
        while page.next and len(letters) < args.limit:
            page = client.list_letters(_filters(args), cursor=page.next, limit=min(PAGE, args.limit - len(letters)))
            letters += page.letters
    print_answer(args, letters, table=lambda: letters_grid(letters, args.state))
    if page.next:
        sys.stderr.write(f"runherald: there are more than {args.limit} dead letters; --limit shows more\n")
    return 0


def show_letter(args: argparse.Namespace) -> int:
    """Print a letter."""
    with _client_of(args) as client:
        detail = client.show_letter(args.letter_id)
    print_answer(args, detail, table=lambda: detail_grids(detail))
    return 0


def replay(args: argparse.Namespace) -> int:
    """Print what a replay would do, or did; 1 when letters were not sent that should have been."""
    from msgspec import ValidationError, convert

    from runherald.errors import InvalidInput
    from runherald.letters_api import LetterSelection, ReplayRequest

    asked = {"ids": args.letter_ids} if args.letter_ids else {name: value for name, value in _filters(args).items() if value}
    try:
        selection = convert(asked, LetterSelection)
    except ValidationError as error:
        raise InvalidInput(f"{error}") from None
    request = ReplayRequest(
        selection=selection,
        limit=max(args.limit, len(args.letter_ids)),
        confirmed=args.yes,
        late=args.late,
        again=args.again,
        force=args.force,
        user=_user(),
    )
    with _client_of(args) as client:
        answer = client.replay(request)
    print_answer(args, answer, table=lambda: replay_grid(answer))
    sys.stderr.write(f"runherald: {_summary(answer, args)}\n")
    left = [item for item in answer.items if not item.sent and item.verdict != "replayed"]
    return 1 if answer.confirmed and left else 0


def let_go_on(args: argparse.Namespace) -> int:
    """Let a processor go on."""
    from runherald.cli.serving import PROCESSORS
    from runherald.errors import InvalidInput
    from runherald.letters_api import GoOnRequest

    if args.processor not in PROCESSORS:
        raise InvalidInput(f"{args.processor[:80]!r}: there is no such processor; there are {', '.join(PROCESSORS)}")
    with _client_of(args) as client:
        client.let_go_on(GoOnRequest(processor=args.processor, allow=args.allow, user=_user()))
    sys.stdout.write(f"{args.processor} may go on: start it again (`runherald up`, or its worker)\n")
    return 0


def letters_grid(letters: Sequence[LetterView], state: str) -> Grid:
    """Return the table of letters; the reason stands at the end of its row."""
    heads = (
        Head("LETTER", keep=True),
        Head("WHEN", keep=True),
        Head("PROCESSOR"),
        Head("TOPIC"),
        Head("OFFSET", right=True),
        Head("STATE"),
        Head("REASON"),
    )
    rows = [
        (
            letter.letter_id,
            short_time(letter.dead_time),
            plain(letter.processor),
            plain(letter.topic),
            f"{letter.partition}:{letter.offset}",
            letter.state,
            first_line(letter.reason),
        )
        for letter in letters
    ]
    none = "no dead letters" if state == "all" else f"no dead letters that are {state.replace('_', ' ')}"
    return Grid(heads=heads, rows=rows, note="" if letters else none)


def detail_grids(detail: LetterDetail) -> list[Grid]:
    """Return the tables of one letter."""
    letter = detail.letter
    head = pairs(
        [
            ("letter", letter.letter_id),
            ("state", letter.state),
            ("processor", plain(letter.processor)),
            ("reason", plain(letter.reason)),
            ("where", f"{plain(letter.topic)}/{letter.partition} offset {letter.offset}"),
            ("appended", local_time(detail.record_time)),
            ("dead", local_time(letter.dead_time)),
            ("run", plain(letter.run_id)),
            ("event", plain(f"{letter.event_type} {detail.event_id}".strip())),
            ("replay of", detail.previous_id),
            ("first letter", detail.first_id if detail.first_id != letter.letter_id else ""),
            ("failed again as", ", ".join(detail.following)),
            *(
                (
                    "replayed",
                    f"{local_time(each.time)} to {each.topic}/{each.partition} offset {each.offset}"
                    + (" late" if each.late else "")
                    + (f" by {plain(each.user)}" if each.user else ""),
                )
                for each in detail.replayed
            ),
        ]
    )
    headers = pairs([(plain(name), _first_bytes(value)) for name, value in detail.headers], title="headers")
    key = text([_first_bytes(detail.key) if detail.key is not None else "none"], title="key")
    value = text([plain(line) for line in _bytes(detail.value).splitlines()], title=f"value, {detail.value.size} bytes")
    return [head, headers, key, value]


def replay_grid(answer: ReplayAnswer) -> Grid:
    """Return the table of what a replay would do, or did."""
    heads = (Head("LETTER", keep=True), Head("PROCESSOR"), Head("TOPIC"), Head("VERDICT", keep=True), Head("SENT"), Head("REASON"))
    return Grid(heads=heads, rows=[_replay_row(item) for item in answer.items], note="" if answer.items else "no letters to replay")


def _replay_row(item: ReplayItem) -> tuple[str, ...]:
    place = f"{item.position.topic}/{item.position.partition} offset {item.position.offset}" if item.position else "no"
    letter = item.letter
    return (letter.letter_id, plain(letter.processor), plain(letter.topic), item.verdict, place, first_line(item.reason))


def _summary(answer: ReplayAnswer, args: argparse.Namespace) -> str:
    more = "; there are more, see --limit" if answer.more else ""
    if answer.confirmed:
        return f"{sum(item.sent for item in answer.items)} of {len(answer.items)} letters were sent{more}"
    verdicts = {"good", "uncertain"} | ({"late"} if args.late or args.force else set()) | ({"fails"} if args.force else set())
    would = sum(item.verdict in verdicts for item in answer.items)
    return f"nothing was sent: {would} of {len(answer.items)} letters would be; --yes sends them{more}"


def _bytes(data: Bytes) -> str:
    if data.text is not None:
        return data.text
    raw = bytes.fromhex(data.hex)
    rows = [raw[start : start + 16] for start in range(0, len(raw), 16)]
    return "\n".join(
        f"{16 * number:08x}  {row.hex(' '):<47}  {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)}"
        for number, row in enumerate(rows)
    )


def _first_bytes(data: Bytes) -> str:
    return plain(data.text) if data.text is not None else f"0x{data.hex}"


def _add_filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which")
    group.add_argument("-p", "--processor", default="", metavar="NAME", help="only those that this processor refused")
    group.add_argument("-r", "--error", "--reason", default="", metavar="KIND", help="only of this kind of reason, such as data.tags[]")
    group.add_argument("--topic", default="", metavar="TOPIC", help="only records of this topic")
    group.add_argument("--state", default="open", choices=STATES, help="default: open, those that nobody has replayed")
    group.add_argument("--since", default="", type=_moment, metavar="TIME", help="not before: 2026-11-21T12:00:00Z, or 90m, 12h, 7d ago")
    group.add_argument("--until", default="", type=_moment, metavar="TIME", help="before")


def _filters(args: argparse.Namespace) -> dict[str, str]:
    return {name: getattr(args, name) for name in _FILTERS}


def _moment(text_of_time: str) -> str:
    if not text_of_time:
        return ""
    ago = _AGO.fullmatch(text_of_time)
    try:
        if ago:
            return (datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).isoformat()
        moment = datetime.fromisoformat(text_of_time)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("is neither a time such as 2026-11-21T12:00:00Z nor an age such as 90m, 12h, 7d") from None
    return moment.astimezone(UTC).isoformat()


def _count(number: str) -> int:
    return _whole(number, 1_000_000)


def _replay_count(number: str) -> int:
    return _whole(number, 1_000)


def _whole(number: str, greatest: int) -> int:
    if not number.isdecimal() or not 0 < int(number) <= greatest:
        raise argparse.ArgumentTypeError(f"is not a whole number from 1 to {greatest}")
    return int(number)


@contextmanager
def _client_of(args: argparse.Namespace) -> Iterator[DeadLetterClient]:
    from runherald.cli.dead_letter_client import DeadLetterClient

    settings = options.settings_of(args)
    client = DeadLetterClient(settings.url, settings.token)
    try:
        yield client
    finally:
        client.close()


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name; ImportError on Windows
        return ""
