"""``evswap cost``: what a network costs on AWS, by line."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec

from evswap_local.context import Context
from evswap_local.cost.fleet import Billing, Fleet
from evswap_local.cost.lines import Bill, Line
from evswap_local.cost.ours import Ours
from evswap_local.cost.prices import PriceList, price_list
from evswap_local.cost.profile import Profile, profile
from evswap_local.cost.seed import seed_bill
from evswap_local.cost.settings import Settings, read_settings
from evswap_local.cost.stack import Stack
from evswap_local.stack.source import Source, Values

_USUAL: Final = Fleet()
_ANY_ACCOUNT: Final = "000000000000"
"""Prices are the same in all of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How large the network is, and what it does."""
    parser.add_argument("--stations", type=int, default=_USUAL.stations, help="default: %(default)s")
    parser.add_argument("--days", type=float, default=_USUAL.days, help="default: %(default)g")
    parser.add_argument(
        "--bays", type=int, default=_USUAL.bays, help="of each station (default: %(default)s)"
    )
    parser.add_argument(
        "--batch-age",
        type=float,
        metavar="S",
        default=_USUAL.batch_age_s,
        help="reporting.batch_age_s of the stations (default: %(default)g)",
    )
    parser.add_argument(
        "--billing",
        type=Billing,
        choices=list(Billing),
        default=_USUAL.billing,
        help="of DynamoDB (default: %(default)s)",
    )
    parser.add_argument(
        "--swaps",
        type=float,
        metavar="N",
        default=_USUAL.swaps_a_day,
        help="a station and day (default: %(default)g)",
    )
    parser.add_argument(
        "--requests",
        type=float,
        metavar="N",
        default=_USUAL.requests_a_minute,
        help="a minute, of the API (default: %(default)g)",
    )
    parser.add_argument(
        "--pages",
        type=int,
        default=_USUAL.pages,
        help="live pages, open around the clock (default: %(default)s)",
    )
    parser.add_argument(
        "--months-kept",
        type=float,
        metavar="N",
        default=_USUAL.months_kept,
        help="how old the archive is when the days begin (default: %(default)g)",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="Terraform's variables in JSON, such as cloud/terraform/environments/frugal.tfvars.json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(context: Context, options: argparse.Namespace) -> int:
    """Nothing has to run for it. Raises ``NotMeasured``, ``BadSettings`` or ``BadStack``."""
    fleet = Fleet(
        stations=options.stations,
        days=options.days,
        bays=options.bays,
        batch_age_s=options.batch_age,
        billing=options.billing,
        swaps_a_day=options.swaps,
        requests_a_minute=options.requests,
        pages=options.pages,
        months_kept=options.months_kept,
        settings=Settings() if options.settings is None else read_settings(options.settings),
    )
    prices, measured = price_list(), profile()
    values = Values.of(context.checkout.stack, region=prices.region, account_id=_ANY_ACCOUNT)
    stack = Stack(Source(context.checkout.stack, values))
    bills = [Ours(fleet, measured, stack).bill(), seed_bill(fleet, measured)]
    write = _as_json if options.json else _as_text
    sys.stdout.write(write(fleet, measured, prices, bills))
    return 0


def _as_text(fleet: Fleet, measured: Profile, prices: PriceList, bills: Sequence[Bill]) -> str:
    rows = [
        f"{fleet.stations} stations of {fleet.bays} bays for {fleet.days:g} days, a sample every"
        f" {fleet.interval_s:g} s, batches of {fleet.batch_age_s:g} s, DynamoDB {_paid(fleet)}",
        f"{fleet.swaps_a_day:g} swaps a station and day, {fleet.changes_a_swap:g} changes and"
        f" {fleet.events_a_swap:g} events a swap; {fleet.requests_a_minute:g} requests a minute,"
        f" {fleet.pages} live pages",
    ]
    for bill in bills:
        rows += ["", *_table(bill, prices)]
    rows += [
        "",
        f"Prices: {prices.region}, {prices.as_of}, without any free tier; {prices.from_memory} of"
        f" {len(prices.prices)} are from memory (cost/prices.yaml).",
        f"Traffic: measured on {measured.measured_on} by `{measured.command}`.",
    ]
    return "\n".join(rows) + "\n"


def _paid(fleet: Fleet) -> str:
    own = fleet.settings.provisioned_tables
    return f"provisioned for {', '.join(own)}" if own else str(fleet.billing)


def _table(bill: Bill, prices: PriceList) -> list[str]:
    rows = [f"{bill.design:10} {'':34}{'quantity':>18} {'US$':>10}"]
    for kind, subtotal in bill.by_kind(prices).items():
        rows += [_row(line, prices) for line in bill.lines if line.kind == kind]
        rows += [f"{'':10} {kind + ', together':34}{'':>18} {subtotal:>10.2f}"]
    dearest = bill.dearest(prices)
    return [
        *rows,
        f"{'total':10} {'':34}{'':>18} {bill.total(prices):>10.2f}",
        f"The next dollar comes from {dearest.kind}, {dearest.what}.",
    ]


def _row(line: Line, prices: PriceList) -> str:
    return f"{line.kind:10} {line.what:34}{line.quantity:>18,.0f} {line.usd(prices):>10.2f}"


def _as_json(fleet: Fleet, measured: Profile, prices: PriceList, bills: Sequence[Bill]) -> str:
    told: dict[str, Any] = {
        "fleet": msgspec.to_builtins(fleet),
        "prices": {"region": prices.region, "as_of": prices.as_of},
        "measured_on": measured.measured_on,
        "bills": {
            bill.design: {
                "usd": bill.total(prices),
                "kinds": bill.by_kind(prices),
                "lines": [asdict(line) | {"usd": line.usd(prices)} for line in bill.lines],
            }
            for bill in bills
        },
    }
    return json.dumps(told, indent=2) + "\n"
