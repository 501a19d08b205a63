"""``evswap-hil run``: a station on a bench, through the suites, to a report."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evswap_hil.commands.exits import FAILED, PASSED, Unusable
from evswap_hil.commands.options import add_bench, add_stack, bench_file
from evswap_hil.report.record import Outcome
from evswap_hil.requirements import Suite

if TYPE_CHECKING:
    from evswap_hil.report.record import Report

REPORT: Final = Path("reports/hil")
ALL: Final = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """On what, what, and where the report goes."""
    add_bench(parser)
    add_stack(parser)
    parser.add_argument(
        "--suite",
        choices=[*Suite, ALL],
        default=ALL,
        help="functional: what a station does; faults: what it bears (default: %(default)s)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=REPORT,
        metavar="DIR",
        help="index.html, report.json, junit.xml and logs (default: %(default)s)",
    )
    programs = parser.add_argument_group(
        "programs (default: by EVSWAP_EDGE and EVSWAP, beside this one, PATH)"
    )
    programs.add_argument("--edge", type=Path, metavar="FILE", help="the station's program, evswap-edge")
    programs.add_argument("--evswap", type=Path, metavar="FILE", help="evswap, which lists the archive")


def run(options: argparse.Namespace) -> int:
    """Prints a line a requirement. Raises Unusable."""
    file = bench_file(options)
    # labgrid is there, as was just made sure of.
    from evswap_hil.bench.errors import BenchError
    from evswap_hil.bench.session import Order
    from evswap_hil.bench.session import run as run_session

    order = Order(
        bench=file,
        suites=frozenset(Suite) if options.suite == ALL else frozenset({Suite(options.suite)}),
        stack_file=options.stack,
        report=options.report,
        edge=options.edge,
        local=options.evswap,
    )
    _make(options.report)
    try:
        report = run_session(order, _tell)
    except BenchError as error:
        raise Unusable(str(error)) from error
    page = _write(report, options.report)
    print(f"{report.summary()} in {report.seconds:.0f} s; {page}")
    return PASSED if report.is_good else FAILED


def _tell(outcome: Outcome) -> None:
    print(outcome, flush=True)


def _make(folder: Path) -> None:
    """Before anything begins: a report that cannot be left is no reason to wait three minutes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(
            f"{folder}: cannot write the report: {error.strerror}; name another --report"
        ) from error


def _write(report: "Report", folder: Path) -> Path:
    from evswap_hil.report.machine import write_json
    from evswap_hil.report.page import write_page

    page = folder / "index.html"
    try:
        write_json(report, folder / "report.json")
        write_page(report, page)
    except OSError as error:
        raise Unusable(f"{folder}: cannot write the report: {error.strerror}") from error
    return page
