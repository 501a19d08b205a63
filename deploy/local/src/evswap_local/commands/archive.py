"""``evswap archive count``: how many readings the archive holds, and how many of them twice."""

import argparse
import json
import sys

from evswap_local.archive import count_archive
from evswap_local.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    parser.add_argument("action", choices=["count"], help="count readings by identity, single and batched")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(context: Context, options: argparse.Namespace) -> int:
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
