"""``evswap-edge simulate``."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from evswap_edge.commands import rehearsing
from evswap_edge.simulation.customers import What
from evswap_edge.simulation.plots import draw
from evswap_edge.simulation.report import Figure, Outcome, tell
from evswap_edge.simulation.stations import BAYS, StationType
from evswap_edge.simulation.world import Story
from evswap_schema.limits import MAX_BAYS

_START: Final = datetime(2026, 6, 1, tzinfo=UTC)
"""A Monday, in a warm month."""
_DEFAULT_DAYS: Final = 7.0
_NAME: Final = "simulated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--bays",
        type=_bays,
        metavar="N",
        default=BAYS[StationType.STREET],
        help="slots (default: %(default)s)",
    )
    size.add_argument(
        "--station-type", type=StationType, choices=list(StationType), help="in place of --bays"
    )
    parser.add_argument(
        "--days", type=_days, metavar="D", default=_DEFAULT_DAYS, help="how long (default: %(default)g)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="which story (default: %(default)s)")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the story into this folder, as SVG")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    rehearsing.add_arguments(parser)
    parser.set_defaults(refuse=parser.error)


def run(options: argparse.Namespace) -> None:
    """Tell a story as fast as it goes, and print its figures beside what is expected; with ``--swaps`` what
    became of its customers. Raises ``FiguresOutside`` or ``StoryBroken``."""
    bays = options.bays if options.station_type is None else BAYS[options.station_type]
    if options.swaps:
        _run_with_swaps(options, bays)
        return
    if rehearsing.is_asked_for(options):
        options.refuse("--stations, --faults, --offline and --events go with --swaps")
    outcome = tell(
        Story(seed=f"{options.seed}/{_NAME}", name=_NAME, bays=bays, start=_START), days=options.days
    )
    if options.plots is not None:
        draw(outcome, options.plots)
    print(_as_json(outcome) if options.json else _as_text(outcome))
    outcome.demand_plausible()


def _run_with_swaps(options: argparse.Namespace, bays: int) -> None:
    if options.plots is not None:
        options.refuse("--plots does not go with --swaps")
    rehearsing.rehearse(
        rehearsing.Rehearsal(
            stations=options.stations,
            bays=bays,
            days=options.days,
            seed=options.seed,
            start=_START,
            faults=options.faults,
            offline=options.offline,
        ),
        options.events,
        as_json=options.json,
    )


def _as_text(outcome: Outcome) -> str:
    counts = outcome.tally.counts
    broken = ", ".join(f"{fault} {count}" for fault, count in sorted(outcome.tally.breakdowns.items()))
    rows = [_row(figure) for figure in outcome.figures()]
    return "\n".join(
        [
            f"{outcome.days:g} days of {outcome.story.bays} bays from {outcome.story.start:%A %d %B %Y}",
            f"{'':28}{'found':>10} {'':10}{'expected':>11}",
            *rows,
            f"customers {counts[What.ARRIVES]}, served {counts[What.SERVED]}, left {counts[What.LEAVES]};"
            f" faults: {broken or 'none'}",
            f"digest {outcome.digest}",
        ]
    )


def _row(figure: Figure) -> str:
    found = f"{figure.name:28}{_rounded(figure.value):>10} {figure.unit:10}"
    wanted = f"{_rounded(figure.low):>8} to {_rounded(figure.high):<8}"
    return f"{found}{wanted}{'' if figure.is_within else 'OUTSIDE'}".rstrip()


def _as_json(outcome: Outcome) -> str:
    told: dict[str, Any] = {
        "days": outcome.days,
        "bays": outcome.story.bays,
        "figures": [
            {
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "low": figure.low,
                "high": figure.high,
                "within": figure.is_within,
            }
            for figure in outcome.figures()
        ],
        "counts": {str(what): count for what, count in sorted(outcome.tally.counts.items())},
        "breakdowns": dict(sorted(outcome.tally.breakdowns.items())),
        "digest": outcome.digest,
    }
    return msgspec.json.format(msgspec.json.encode(told)).decode()


def _rounded(value: float) -> str:
    """Enough of its digits to judge it by."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _bays(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MAX_BAYS):
        raise argparse.ArgumentTypeError(f"{text!r}: 1 to {MAX_BAYS}")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0.1 <= days <= 3_660.0:
        raise argparse.ArgumentTypeError(f"{text!r}: 0.1 to 3660 days")
    return days
