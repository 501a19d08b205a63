"""``evswap-edge outbox``."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import msgspec

from evswap_edge.config import read_any
from evswap_edge.outbox import OutboxError
from evswap_edge.outbox.inspection import Report, export, inspect, vacuum

_EXAMPLES: Final = """\
what waits, what was given up, and how much room it takes, also while the station runs:

  evswap-edge outbox inspect --config station.yaml
  evswap-edge outbox inspect --path /var/lib/evswap/outbox.sqlite --json

a copy of all that waits, a JSON object a line, before a card is replaced or to look into a poison message;
it stays in the outbox:

  evswap-edge outbox export --config station.yaml --output waiting.jsonl
  evswap-edge outbox export --config station.yaml | grep set_aside

give the room that a long outage took back to the disk, with the station stopped (a running one gives it back
by itself, slowly):

  evswap-edge outbox vacuum --config station.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and to which outbox."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    looking = actions.add_parser("inspect", help="say how it stands; changes nothing")
    _add_outbox(looking)
    looking.add_argument("--json", action="store_true", help="for programs: a JSON object for each outbox")
    copying = actions.add_parser("export", help="copy what waits and what was set aside; changes nothing")
    _add_outbox(copying)
    copying.add_argument("--output", type=Path, metavar="FILE", help="where to (default: standard output)")
    shrinking = actions.add_parser("vacuum", help="give unused room back; the station has to be stopped")
    _add_outbox(shrinking)


def run(options: argparse.Namespace) -> None:
    """Do it to each outbox that is named. Raises ``OutboxError``."""
    _ACTIONS[options.action](options)


def _add_outbox(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--config", type=Path, metavar="FILE", help="station.yaml or fleet.yaml")
    which.add_argument("--path", type=Path, metavar="FILE", help="the outbox itself")


def _paths(options: argparse.Namespace) -> list[Path]:
    if options.path is not None:
        return [options.path]
    return [station.outbox_path for station in read_any(options.config).stations]


def _inspect(options: argparse.Namespace) -> None:
    for path in _paths(options):
        report = inspect(path)
        print(msgspec.json.encode(report).decode() if options.json else _in_words(report))


def _in_words(report: Report) -> str:
    lost = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.lost.by_class().items())
    user = "no running station" if report.in_use_by is None else f"process {report.in_use_by}"
    lines = {
        "station": f"{report.station_id}, used by {user}",
        "stream": f"{report.stream_id}, last sequence number {report.last_sequence}",
        "samples": f"{report.samples + report.parcel_samples} wait, "
        f"{report.parcel_samples} of them in {report.parcels} parcels",
        "events": f"{report.events} wait",
        "oldest": _age(report.oldest),
        "set aside": f"{report.set_aside} can never be delivered (reasons: evswap-edge outbox export)",
        "given up": lost,
        "size": f"{_mib(report.bytes)}, {_mib(report.unused_bytes)} of it unused",
    }
    return "\n".join([report.path, *(f"  {name:<10} {said}" for name, said in lines.items())])


def _age(oldest: datetime | None) -> str:
    if oldest is None:
        return "nothing waits"
    hours = (datetime.now(UTC) - oldest).total_seconds() / 3600
    return f"{oldest:%Y-%m-%dT%H:%M:%SZ} by the station's clock, {hours:.1f} hours ago"


def _mib(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MiB"


def _export(options: argparse.Namespace) -> None:
    with _output(options.output) as file:
        count = 0
        for path in _paths(options):
            for thing in export(path):
                file.write(json.dumps(thing) + "\n")
                count += 1
    print(f"{count} lines", file=sys.stderr)


@contextmanager
def _output(path: Path | None) -> Iterator[IO[str]]:
    """A file that is there already is left alone."""
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("x", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise OutboxError(path, f"cannot be written as a copy: {error.strerror}") from error


def _vacuum(options: argparse.Namespace) -> None:
    for path in _paths(options):
        freed = vacuum(path)
        print(f"{path}: {_mib(freed.before)} before, {_mib(freed.after)} now")


_ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace], None]]] = {
    "inspect": _inspect,
    "export": _export,
    "vacuum": _vacuum,
}
