"""``evswap-cloud redrive``, ``restore`` and ``rollback``: what they are asked, and what they print.

``evswap`` has the same for the deployment on one machine, and ``evswap smoke`` for any: a station's
connection is not the cloud's to make.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from evswap_cloud.errors import CloudError
from evswap_cloud.latest import DynamoLatestStates
from evswap_cloud.operations.clients import EnvironmentClients
from evswap_cloud.operations.deployment import LIVE, PREFIX, Deployment
from evswap_cloud.operations.rebuild import Rebuilt, read_now, rebuild_latest
from evswap_cloud.operations.redrive import AT_FAULT_ELSEWHERE, Origin, Redrive, Tally
from evswap_cloud.operations.rollback import (
    Move,
    behind_alias,
    carry_out,
    live_version,
    move_to,
    moves_back,
    versions,
)
from evswap_cloud.operations.tables import copy_items, restore_table
from evswap_cloud.signing import send
from evswap_schema import compact_timestamp, parse_timestamp

Report = Callable[[argparse.Namespace, Deployment], int]
Arguments = Callable[[argparse.ArgumentParser], None]


def add_operations(commands: Any) -> None:
    """Add them to what ``add_subparsers`` gave, for the deployment that the environment leads to."""
    for name, (text, add_arguments, report) in operations().items():
        parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_arguments(parser)
        parser.add_argument(
            "--prefix", default=PREFIX, help="what the deployment's names begin with (default: %(default)s)"
        )
        parser.set_defaults(run=_by_environment(report))


def operations() -> dict[str, tuple[str, Arguments, Report]]:
    """Each operation by its name: what it does, its arguments, and what carries it out and prints it."""
    return {
        "redrive": ("bring back what could not be processed", _redrive_arguments, report_redrive),
        "restore": ("rebuild what was lost", _restore_arguments, report_restore),
        "rollback": ("go back to the code before", _rollback_arguments, report_rollback),
    }


def _by_environment(report: Report) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        try:
            return report(options, Deployment(EnvironmentClients(), options.prefix))
        except CloudError as error:
            sys.stderr.write(f"evswap-cloud: {error}\n")
            return 1

    return run


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- redrive ---


def _redrive_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        action="append",
        dest="origins",
        type=Origin,
        choices=list(Origin),
        metavar="ORIGIN",
        help=f"one of {', '.join(Origin)}; repeatable (default: all but quarantine)",
    )
    parser.add_argument("--reason", help="of what is in quarantine, only what was refused for this reason")
    parser.add_argument(
        "--rate", type=int, metavar="N", help="at most N dead letters a second (default: AWS's own)"
    )
    parser.add_argument("--execute", action="store_true", help="do it; without this it is only counted")


def report_redrive(options: argparse.Namespace, deployment: Deployment) -> int:
    """1 where something had to stay; raises ``CloudError``."""
    work = Redrive(deployment, execute=options.execute, rate=options.rate, tell=_say)
    tallies = work.run(options.origins or AT_FAULT_ELSEWHERE, reason=options.reason)
    for tally in tallies:
        _say(_told_of_tally(tally))
    if not options.execute:
        _say("Nothing was moved. Add --execute to do it.")
    return 1 if any(tally.kept for tally in tallies) else 0


def _told_of_tally(tally: Tally) -> str:
    told = f"{tally.origin}: {tally.place}: {tally.found} found, {tally.moved} moved, {tally.kept} kept"
    return told + "".join(f"\n  {count} x {problem}" for problem, count in tally.problems.items())


# --- restore ---

_NAMES: Final = {"latest": 0, "table": 1, "copy": 2}
_WHAT: Final = (
    "latest: the latest states, from the archive; table: a table as it was at a moment, as a new table; "
    "copy: the items of one table into another"
)


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=list(_NAMES), metavar="WHAT", help=_WHAT)
    parser.add_argument("names", nargs="*", metavar="TABLE", help="table: which; copy: from which into which")
    latest = parser.add_argument_group("latest")
    latest.add_argument(
        "--hours", type=float, default=24.0, metavar="H", help="how far back to read (default: %(default)g)"
    )
    latest.add_argument("--into", metavar="TABLE", help="another table than the deployment's")
    latest.add_argument("--read-now", action="store_true", help="ask the stations for a reading as well")
    table = parser.add_argument_group("table")
    table.add_argument("--at", type=_moment, metavar="TIME", help="(default: the latest that AWS has)")
    table.add_argument("--name", help="of the new table (default: TABLE-restored-TIME)")
    copy = parser.add_argument_group("copy")
    copy.add_argument("--overwrite", action="store_true", help="also what is there already")
    parser.set_defaults(refuse=parser.error)


def _moment(text: str) -> datetime:
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def report_restore(options: argparse.Namespace, deployment: Deployment) -> int:
    """1 where something has to be done again; raises ``CloudError``."""
    if len(options.names) != _NAMES[options.what]:
        options.refuse(f"restore {options.what} takes {_NAMES[options.what]} names of tables")
    works = {"latest": _restore_latest, "table": _restore_table, "copy": _copy}
    return works[options.what](options, deployment)


def _restore_latest(options: argparse.Namespace, deployment: Deployment) -> int:
    clients, now = deployment.clients, datetime.now(UTC)
    rebuilt = rebuild_latest(
        clients.s3,
        deployment.archive_bucket(),
        DynamoLatestStates(clients.dynamodb, options.into or deployment.stations_table()),
        since=now - timedelta(hours=options.hours),
        now=now,
        tell=_say,
    )
    _say(_told_of_rebuilt(rebuilt))
    if options.read_now:
        _say(f"{send(read_now(rebuilt.stations, now), clients.iot_data)} stations asked for a reading")
    return 1 if rebuilt.failed else 0


def _told_of_rebuilt(rebuilt: Rebuilt) -> str:
    return (
        f"{len(rebuilt.stations)} stations from {rebuilt.readings} readings in {rebuilt.objects} objects: "
        f"{rebuilt.moved} states and {rebuilt.bays} bays written, {rebuilt.failed} failed, "
        f"{rebuilt.unreadable} unreadable; {rebuilt.seconds:.1f} s"
    )


def _restore_table(options: argparse.Namespace, deployment: Deployment) -> int:
    [source] = options.names
    name = options.name or f"{source}-restored-{compact_timestamp(datetime.now(UTC)).split('.')[0]}"
    done = restore_table(deployment.clients.dynamodb, source, name, moment=options.at, tell=_say)
    _say(f"{done.source} is restored as {done.table}; {done.seconds:.1f} s")
    _say(f"put back: {', '.join(done.settings) or 'nothing, as the original has nothing'}")
    _say(f"next: restore copy {done.table} {done.source} [--overwrite], then delete {done.table}")
    return 0


def _copy(options: argparse.Namespace, deployment: Deployment) -> int:
    source, table = options.names
    done = copy_items(deployment.clients.dynamodb, source, table, overwrite=options.overwrite, tell=_say)
    _say(f"{done.written} items written, {done.kept} were there; {done.seconds:.1f} s")
    return 0


# --- rollback ---


def _rollback_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--function", metavar="NAME", help="this one alone, such as evswap-bulk (default: all)"
    )
    parser.add_argument(
        "--to", type=int, metavar="VERSION", help="with --function: this version, older or newer"
    )
    parser.add_argument("--list", action="store_true", help="show the versions and change nothing")
    parser.set_defaults(refuse=parser.error)


def report_rollback(options: argparse.Namespace, deployment: Deployment) -> int:
    """1 where there was nothing to go back to; raises ``CloudError``."""
    if options.to is not None and options.function is None:
        options.refuse("--to needs --function: each function counts its own versions")
    named = [options.function] if options.function else []
    if options.list:
        return _list_versions(deployment, named or behind_alias(deployment))
    began = time.monotonic()
    moves = (
        moves_back(deployment, named)
        if options.to is None
        else (move_to(deployment, options.function, options.to),)
    )
    done = list(carry_out(deployment, moves))
    for move in moves:
        _say(_told_of_move(move))
    _say(f"{len(done)} of {len(moves)} functions moved; {time.monotonic() - began:.1f} s")
    return 0 if done else 1


def _told_of_move(move: Move) -> str:
    where = (
        f"{move.before} -> {move.after}"
        if move.is_one
        else f"stays at {move.before}: no other code before it"
    )
    return f"{move.function}: {LIVE} {where}"


def _list_versions(deployment: Deployment, functions: Iterable[str]) -> int:
    for function in functions:
        live = live_version(deployment, function)
        for version in versions(deployment, function):
            mark = f"  <- {LIVE}" if version.number == live else ""
            _say(f"{function} {version.number}  {version.published_at}  {version.code[:12]}{mark}")
    return 0
