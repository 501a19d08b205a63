"""``evswap archive``: how many readings the archive holds, and which they are."""

import argparse
import json
import sys
from datetime import datetime

from evswap_local.archive import count_archive, list_archive
from evswap_local.context import Context
from evswap_schema import format_timestamp, parse_timestamp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    parser.add_argument(
        "action",
        choices=["count", "list"],
        help="count: readings by identity, single and batched; list: a line of JSON a reading",
    )
    parser.add_argument("--json", action="store_true", help="count: print JSON")
    parser.add_argument("--station", metavar="ID", help="list: this station only (default: all)")
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="list: only what was sampled at or after this time, such as 2026-11-23T08:15:30Z",
    )
    parser.set_defaults(refuse=parser.error)


def run(context: Context, options: argparse.Namespace) -> int:
    """Looks at what is there, duplicates included."""
    if options.action == "list":
        return _list(context, options)
    if options.station or options.since:
        options.refuse("--station and --since choose what `archive list` prints; count counts everything")
    return _count(context, options)


def _count(context: Context, options: argparse.Namespace) -> int:
    """Reads every version of every object, so that a reading archived twice is counted twice."""
    settings, described = context.demand_running()
    count = count_archive(context.clients(settings).s3, described.archive_bucket)
    if options.json:
        sys.stdout.write(json.dumps(count.as_dict()) + "\n")
    else:
        sys.stdout.write(
            f"{count.objects} objects ({count.versions} versions), {count.raw} raw readings, "
            f"{count.distinct} distinct identities, {count.duplicates} raw duplicates, "
            f"{count.unreadable} unreadable\n"
        )
    return 0


def _list(context: Context, options: argparse.Namespace) -> int:
    """``stream_id`` and ``sequence`` are null for a seed message, which has neither; ``quality`` names the
    fields that are stale or failed."""
    settings, described = context.demand_running()
    s3 = context.clients(settings).s3
    for reading in list_archive(s3, described.archive_bucket, station=options.station, since=options.since):
        line = {
            "station_id": reading.station_id,
            "stream_id": reading.stream_id,
            "sequence": reading.sequence,
            "timestamp": format_timestamp(reading.timestamp),
            "quality": reading.quality,
        }
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


def _moment(text: str) -> datetime:
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
