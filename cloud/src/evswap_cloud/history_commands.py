"""The commands ``compact`` and ``query``, for ``evswap-cloud`` on AWS and ``evswap`` on one machine.

DuckDB is loaded when one of them runs: no other command needs it.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3

from evswap_cloud import wiring
from evswap_cloud.errors import CloudError
from evswap_schema import format_timestamp

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from evswap_cloud.query import Answer

COMPACT_EXAMPLES: Final = """\
examples:

  compact                        take what lies raw; delete originals that were taken seven days ago
  compact --keep-days 30         keep originals longer
  compact --keep-originals       delete none
  compact --objects 1000         take no more than so many objects in this run

It may be ended at any moment: run it again and it goes on. Exit codes: 0 done, 1 it failed.
"""

QUERY_EXAMPLES: Final = """\
The tables are `readings` and `events`: what is compacted and what lies raw as one, each message once.
Times are in UTC. `DESCRIBE readings` names the columns. One SELECT; nothing can be written.

examples:

  query "SELECT count(*) FROM readings"
  query "DESCRIBE events"
  query "SELECT station_id, max(timestamp) AS last FROM readings GROUP BY ALL ORDER BY ALL"
  query --from 2026-11-01 --to 2026-11-07 --format csv \\
      "SELECT station_id, timestamp::DATE AS day, avg(temperature) FROM readings GROUP BY ALL ORDER BY ALL"
  query "SELECT bay.bay, bay.battery.soc
         FROM (SELECT unnest(bays) AS bay FROM readings WHERE station_id = 'station-01')"
  query --format json "SELECT * FROM events WHERE kind = 'swap' ORDER BY timestamp DESC LIMIT 10"

Days that are asked for often are fetched once. Exit codes: 0 done, 1 it failed, 2 wrong use.
"""

_SHOWN: Final = 1_000
"""Most rows of a table: more are for a file."""

_WIDEST: Final = 60


class Counter:
    """One line on stderr that is written over while something long goes on; on no terminal, a line each."""

    def __init__(self) -> None:
        self._open = False

    def __call__(self, text: str) -> None:
        self._open = sys.stderr.isatty()
        sys.stderr.write(f"\r\033[K{text}" if self._open else f"{text}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Results follow."""
        if self._open:
            sys.stderr.write("\r\033[K")
            self._open = False


def add_history_commands(commands: Any) -> None:
    """Add them to what ``add_subparsers`` gave."""
    for name, text, add, run in (
        ("compact", "make Parquet of the raw archive", add_compact_arguments, _compact),
        ("query", "ask the whole history in SQL", add_query_arguments, _query),
    ):
        buckets = f"The buckets are those of {wiring.ARCHIVE_BUCKET} and {wiring.COMPACTED_BUCKET}."
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {buckets}")
        add(command)
        command.set_defaults(run=run)


def add_compact_arguments(parser: argparse.ArgumentParser) -> None:
    """How far to go."""
    _show_examples(parser, COMPACT_EXAMPLES)
    parser.add_argument(
        "--objects", type=_count, default=20_000, metavar="N", help="most raw objects (default: 20000)"
    )
    stay = parser.add_mutually_exclusive_group()
    stay.add_argument(
        "--keep-days", type=_count, default=7, metavar="N", help="days that originals stay (default: 7)"
    )
    stay.add_argument("--keep-originals", action="store_true", help="delete no original")
    _add_memory(parser)


def add_query_arguments(parser: argparse.ArgumentParser) -> None:
    """What to ask, and how to show it."""
    _show_examples(parser, QUERY_EXAMPLES)
    parser.add_argument("sql", metavar="SQL", help="one SELECT over readings and events")
    parser.add_argument(
        "--from", type=_day, dest="first", metavar="DAY", help="first day sampled, such as 2026-11-23"
    )
    parser.add_argument("--to", type=_day, dest="last", metavar="DAY", help="last day sampled")
    parser.add_argument(
        "--format", choices=sorted(_FORMATS), default="table", help="default: table, of 1000 rows at most"
    )
    _add_memory(parser)


def report_compaction(options: argparse.Namespace, s3: "S3Client", *, archive: str, compacted: str) -> int:
    """Compact and print what was done; raises ``CloudError``."""
    from evswap_cloud.compaction import KINDS, Limits, Resources, S3Objects, compact

    counter = Counter()
    keep_days = None if options.keep_originals else options.keep_days
    try:
        outcomes = compact(
            archive=S3Objects(s3, archive),
            compacted=S3Objects(s3, compacted),
            kinds=KINDS,
            limits=Limits(objects=options.objects, keep_days=keep_days),
            resources=Resources(memory_mb=options.memory_mb),
            progress=counter,
        )
    finally:
        counter.close()
    for each in outcomes:
        sys.stdout.write(
            f"{each.kind}: {each.rows} rows of {each.objects} objects, {len(each.days)} days written, "
            f"{each.left} objects left, {each.unreadable} unreadable, {each.deleted} originals deleted\n"
        )
    return 0


def report_query(
    options: argparse.Namespace, s3: "S3Client", *, archive: str, compacted: str, kept: Path
) -> int:
    """Ask and print the answer; raises ``CloudError``."""
    from evswap_cloud.compaction import Resources, S3Objects
    from evswap_cloud.query import Days, Sources, ask

    counter = Counter()
    kept.mkdir(parents=True, exist_ok=True)
    sources = Sources(archive=S3Objects(s3, archive), compacted=S3Objects(s3, compacted), kept=kept)
    days = Days(first=options.first, last=options.last)
    resources = Resources(memory_mb=options.memory_mb)
    try:
        with ask(options.sql, sources, days=days, resources=resources, progress=counter) as answer:
            counter.close()
            _FORMATS[options.format](answer)
    finally:
        counter.close()
    return 0


def _compact(options: argparse.Namespace) -> int:
    try:
        archive, compacted = wiring.setting(wiring.ARCHIVE_BUCKET), wiring.setting(wiring.COMPACTED_BUCKET)
        return report_compaction(options, boto3.client("s3"), archive=archive, compacted=compacted)
    except (CloudError, OSError) as error:
        sys.stderr.write(f"evswap-cloud: {error}\n")
        return 1


def _query(options: argparse.Namespace) -> int:
    try:
        archive, compacted = wiring.setting(wiring.ARCHIVE_BUCKET), wiring.setting(wiring.COMPACTED_BUCKET)
        kept = _cache() / compacted
        return report_query(options, boto3.client("s3"), archive=archive, compacted=compacted, kept=kept)
    except (CloudError, OSError) as error:
        sys.stderr.write(f"evswap-cloud: {error}\n")
        return 1


def _cache() -> Path:
    """By the XDG base directory specification."""
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "evswap"


# --- answers ---


def _write_table(answer: "Answer") -> None:
    """Columns as wide as they have to be."""
    rows = [[_cell(value) for value in row] for row in islice(answer.rows, _SHOWN)]
    widths = [min(max(map(len, column)), _WIDEST) for column in zip(answer.columns, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    for row in chain([answer.columns, rule], rows):
        cells = (_fitted(cell, width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    if next(answer.rows, None) is not None:
        sys.stderr.write(f"the first {_SHOWN} rows; --format csv or json gives all\n")


def _write_csv(answer: "Answer") -> None:
    """RFC 4180; what is no single value is JSON."""
    writer = csv.writer(sys.stdout)
    writer.writerow(answer.columns)
    writer.writerows([_flat(value) for value in row] for row in answer.rows)


def _write_json(answer: "Answer") -> None:
    """One array of objects, written as it is read."""
    sys.stdout.write("[")
    for number, row in enumerate(answer.rows):
        document = dict(zip(answer.columns, map(_plain, row), strict=True))
        sys.stdout.write(f"{',' if number else ''}\n{json.dumps(document)}")
    sys.stdout.write("\n]\n")


_FORMATS: Final = {"table": _write_table, "csv": _write_csv, "json": _write_json}


def _cell(value: Any) -> str:
    return "" if value is None else str(_flat(value))


def _fitted(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 1]}…"


def _flat(value: Any) -> Any:
    plain = _plain(value)
    return json.dumps(plain) if isinstance(plain, dict | list) else plain


def _plain(value: Any) -> Any:
    """``value`` as JSON has it; times in UTC, as the contract writes them."""
    match value:
        case datetime():
            return format_timestamp(value if value.tzinfo else value.replace(tzinfo=UTC))
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case Decimal():
            return float(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


# --- arguments ---


def _show_examples(parser: argparse.ArgumentParser, examples: str) -> None:
    parser.epilog = examples
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _add_memory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--memory-mb",
        type=_count,
        default=1_024,
        metavar="MB",
        help="memory for DuckDB, in MB (default: 1024)",
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-11-23") from error
