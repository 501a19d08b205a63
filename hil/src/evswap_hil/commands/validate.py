"""``evswap-hil validate``: a bench's description, without the hardware."""

import argparse

from evswap_hil.commands.exits import FAILED, PASSED
from evswap_hil.commands.options import add_bench, bench_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    add_bench(parser)


def run(options: argparse.Namespace) -> int:
    """Prints what is wrong, a line each. Raises Unusable."""
    file = bench_file(options)
    # labgrid is there, as was just made sure of.
    from evswap_hil.bench.validation import problems_of

    problems = problems_of(file)
    for problem in problems:
        print(problem)
    print(f"{file}: {_verdict(len(problems))}")
    return FAILED if problems else PASSED


def _verdict(problems: int) -> str:
    if not problems:
        return "describes a bench"
    return "1 problem" if problems == 1 else f"{problems} problems"
