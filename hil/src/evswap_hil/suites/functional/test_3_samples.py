"""Every sample, in its time, under its number."""

from itertools import pairwise

import pytest

from evswap_hil.bench.facade import Bench, now
from evswap_hil.bench.measuring import Measured
from evswap_hil.observers.archive import Account, Archived
from evswap_hil.report.record import NEVER

SAMPLES = 12


@pytest.fixture(scope="module")
def collected() -> dict[str, Account]:
    """What both tests look at; the first that needs it fetches it."""
    return {}


@pytest.mark.requirement("REQ-SAMPLE-1")
def test_interval(online: Bench, measured: Measured, collected: dict[str, Account]) -> None:
    moments = [reading.timestamp.timestamp() for reading in in_order(samples(online, collected))]
    intervals = [later - earlier for earlier, later in pairwise(moments)]
    mean = sum(intervals) / len(intervals) if intervals else NEVER
    measured({"mean interval": mean, "longest interval": max(intervals, default=NEVER)})


@pytest.mark.requirement("REQ-IDENT-1")
def test_numbers(online: Bench, measured: Measured, collected: dict[str, Account]) -> None:
    account = samples(online, collected)
    first = min(account.numbers, default=1)
    measured(
        {
            "streams": len(account.streams),
            "lost": account.lost(first, first + SAMPLES - 1),
            "archived twice": account.twice,
        }
    )


def samples(bench: Bench, collected: dict[str, Account]) -> Account:
    """As many samples as the tests want, out of the archive."""
    if "account" not in collected:
        began, first = now(), int(bench.state()["sequence"]) + 1
        last = first + SAMPLES - 1
        bench.look(lambda state: state.get("sequence", 0) >= last, allowed=2.0 * SAMPLES)
        collected["account"] = bench.account(began, first=first, last=last)
    return collected["account"]


def in_order(account: Account) -> list[Archived]:
    return sorted(account.readings, key=lambda reading: reading.sequence or 0)
