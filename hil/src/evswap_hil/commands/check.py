"""``evswap-hil check``: a running stack as a black box."""

import argparse
from pathlib import Path

from evswap_hil.check.acceptance import MISBEHAVIOUR, Acceptance, Limits
from evswap_hil.check.outcome import Outcome, carry_out
from evswap_hil.check.report import line, summary, write_junit
from evswap_hil.commands.exits import FAILED, PASSED, Unusable
from evswap_hil.commands.options import add_stack
from evswap_hil.observers.rest import RestObserver
from evswap_hil.stack import Stack, StackFileError, read_stack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at, and how strictly."""
    add_stack(parser)
    parser.add_argument(
        "--stations",
        type=_at_least_one,
        metavar="N",
        help="how many stations must be there (default: as many as have a certificate)",
    )
    parser.add_argument(
        "--moves-within",
        type=float,
        default=Limits.moves_within,
        metavar="SECONDS",
        help="how soon every station must report anew (default: %(default)g)",
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the outcome as JUnit XML too")


def run(options: argparse.Namespace) -> int:
    """Prints a line a check. Raises Unusable."""
    try:
        stack = read_stack(options.stack)
    except StackFileError as error:
        raise Unusable(str(error)) from error
    stations = options.stations or max(1, len(stack.station_ids()))
    outcomes = _check(stack, Limits(stations=stations, moves_within=options.moves_within))
    print(summary(outcomes))
    if options.junit is not None:
        try:
            write_junit(outcomes, options.junit)
        except OSError as error:
            raise Unusable(f"{options.junit}: cannot write the report: {error.strerror}") from error
    return PASSED if all(outcome.passed for outcome in outcomes) else FAILED


def _check(stack: Stack, limits: Limits) -> list[Outcome]:
    outcomes = []
    with RestObserver(stack.api_url, api_key=stack.api_key) as api:
        for check in Acceptance(stack, api, limits).checks():
            outcome = carry_out(check, MISBEHAVIOUR)
            print(line(outcome), flush=True)
            outcomes.append(outcome)
    return outcomes


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number
