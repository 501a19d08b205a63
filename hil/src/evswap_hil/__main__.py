"""The command `evswap-hil`.

Exit code: 0 all checks passed, 1 one failed, 2 the check could not be started.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evswap_hil.check.acceptance import MISBEHAVIOUR, Acceptance, Limits
from evswap_hil.check.outcome import Outcome, carry_out
from evswap_hil.check.report import line, summary, write_junit
from evswap_hil.observers.rest import RestObserver
from evswap_hil.stack import Stack, StackFileError, read_stack

PASSED, FAILED, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        stack = read_stack(options.stack)
    except StackFileError as error:
        return _refuse(str(error))
    stations = options.stations or max(1, len(stack.station_ids()))
    outcomes = _check(stack, Limits(stations=stations, moves_within=options.moves_within))
    print(summary(outcomes))
    if options.junit is not None:
        try:
            write_junit(outcomes, options.junit)
        except OSError as error:
            return _refuse(f"{options.junit}: cannot write the report: {error.strerror}")
    return PASSED if all(outcome.passed for outcome in outcomes) else FAILED


def _check(stack: Stack, limits: Limits) -> list[Outcome]:
    outcomes = []
    with RestObserver(stack.api_url, api_key=stack.api_key) as api:
        for check in Acceptance(stack, api, limits).checks():
            outcome = carry_out(check, MISBEHAVIOUR)
            print(line(outcome), flush=True)
            outcomes.append(outcome)
    return outcomes


def _refuse(reason: str) -> int:
    print(f"evswap-hil: {reason}", file=sys.stderr)
    return UNUSABLE


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evswap-hil", description="Looks at a running stack from outside.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check", help="acceptance check of a running stack; exit 1 when something is not as it must be"
    )
    check.add_argument(
        "--stack",
        type=Path,
        default=Path(".evswap/stack.json"),
        metavar="FILE",
        help="what `evswap up` wrote (default: %(default)s)",
    )
    check.add_argument(
        "--stations",
        type=_at_least_one,
        metavar="N",
        help="how many stations must be there (default: as many as have a certificate)",
    )
    check.add_argument(
        "--moves-within",
        type=float,
        default=Limits.moves_within,
        metavar="SECONDS",
        help="how soon every station must report anew (default: %(default)g)",
    )
    check.add_argument("--junit", type=Path, metavar="FILE", help="write the outcome as JUnit XML too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
