"""``evswap-edge simulate --swaps``: a made-up network's stations, each with its real controller."""

import argparse
import hashlib
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, BinaryIO, Final

import msgspec

from evswap_edge.drivers.simulated import Faults
from evswap_edge.rehearsal import EventsUnwritable
from evswap_edge.rehearsal.network import Network
from evswap_edge.rehearsal.playing import Archive, Play, Result, play
from evswap_edge.simulation.customers import What

_MOST_STATIONS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Several stations of one network."""

    stations: int
    bays: int
    days: float
    seed: int
    start: datetime
    faults: Faults
    offline: bool

    def plays(self) -> Iterator[Play]:
        """One after the other: no customer rides from one station to another."""
        digits = max(2, len(str(self.stations)))
        for number in range(1, self.stations + 1):
            yield Play(
                station_id=f"station-{number:0{digits}}",
                seed=self.seed,
                bays=self.bays,
                days=self.days,
                start=self.start,
                faults=self.faults,
                offline=self.offline,
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is only for a rehearsal."""
    parser.add_argument(
        "--swaps",
        action="store_true",
        help="let the real swap controller serve customers who show tokens; ends with 1 when what it tells "
        "is not what happened",
    )
    parser.add_argument(
        "--stations", type=_stations, metavar="N", default=1, help="with --swaps (default: %(default)s)"
    )
    parser.add_argument(
        "--faults", type=Faults, choices=list(Faults), default=Faults.REALISTIC, help="with --swaps"
    )
    parser.add_argument(
        "--offline", action="store_true", help="with --swaps: no link until the last day is over"
    )
    parser.add_argument(
        "--events",
        type=Path,
        metavar="DIR",
        help="with --swaps: put the events there, as the archive has them",
    )


def is_asked_for(options: argparse.Namespace) -> bool:
    """Whether something is said that only a rehearsal knows."""
    others = options.stations != 1 or options.faults is not Faults.REALISTIC or options.offline
    return bool(others or options.events is not None)


def rehearse(rehearsal: Rehearsal, events: Path | None, *, as_json: bool) -> None:
    """Play all of it and print what came of it. Raises ``StoryBroken`` or ``EventsUnwritable``."""
    began = monotonic()
    with TemporaryDirectory(prefix="evswap-network-") as folder, _only_errors_logged():
        network = Network(rehearsal.seed, Path(folder))
        results = [_played(one, network, events) for one in rehearsal.plays()]
    days, minutes = rehearsal.stations * rehearsal.days, (monotonic() - began) / 60.0
    _progress(f"{days:g} days of a station in {minutes:.1f} min: {days / minutes:.0f} a minute")
    figures = _figures(results)
    print(_as_json(figures) if as_json else _as_text(rehearsal, figures))
    for result in results:
        result.demand_truth()


@contextmanager
def _only_errors_logged() -> Iterator[None]:
    """Each swap, and each alarm, would be a line."""
    log = logging.getLogger("evswap_edge")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _played(one: Play, network: Network, events: Path | None) -> Result:
    with _archive(events, one.station_id) as archive:
        return play(one, network, archive, _progress)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _archive(folder: Path | None, station_id: str) -> Iterator[Archive]:
    """What takes a station's events."""
    if folder is None:
        yield lambda line: None  # noqa: ARG005 - nobody wants them
        return
    path = folder / f"{station_id}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            yield _writer(file)
    except OSError as error:
        raise EventsUnwritable(path, str(error)) from error


def _writer(file: BinaryIO) -> Archive:
    def write(line: bytes) -> None:
        file.write(line)

    return write


def _figures(results: Sequence[Result]) -> dict[str, Any]:
    counts = sum((result.tally.counts for result in results), Counter[What]())
    waits_s = sorted(wait for result in results for wait in result.tally.waits_s)
    served, left = counts[What.SERVED], counts[What.LEAVES]
    return {
        "swaps": _summed([result.swaps for result in results]),
        "customers": {"served": served, "left": left},
        "served_percent": 100.0 * served / max(1, served + left),
        "refusals": _summed([result.refusals for result in results]),
        "seconds_at_the_door": {
            "mean": fmean(waits_s) if waits_s else 0.0,
            "median": median(waits_s) if waits_s else 0.0,
            "95th of 100": waits_s[int(0.95 * len(waits_s))] if waits_s else 0.0,
        },
        "events": _summed([result.events for result in results]),
        "faults": _summed([result.tally.breakdowns for result in results]),
        "contradictions": sum(len(result.contradictions) for result in results),
        "digest": hashlib.sha256("".join(result.digest for result in results).encode()).hexdigest(),
    }


def _summed(counters: Sequence[Mapping[Any, int]]) -> dict[str, int]:
    every: Counter[str] = Counter()
    for counter in counters:
        every.update({str(name): count for name, count in counter.items()})
    return dict(sorted(every.items()))


def _as_json(figures: Mapping[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(figures)).decode()


def _as_text(rehearsal: Rehearsal, figures: Mapping[str, Any]) -> str:
    seconds = ", ".join(f"{name} {value:.0f}" for name, value in figures["seconds_at_the_door"].items())
    of_each = f"{rehearsal.stations} stations of {rehearsal.bays} bays"
    return "\n".join(
        [
            f"{rehearsal.days:g} days of {of_each} from {rehearsal.start:%A %d %B %Y}, with their swaps",
            f"swaps            {_told(figures['swaps'])}",
            f"customers        {_told(figures['customers'])}: {figures['served_percent']:.1f} % served",
            f"refusals         {_told(figures['refusals'])}",
            f"s at the door    {seconds}",
            f"events           {_told(figures['events'])}",
            f"faults           {_told(figures['faults'])}",
            f"contradictions   {figures['contradictions'] or 'none'}",
            f"digest {figures['digest']}",
        ]
    )


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _stations(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= _MOST_STATIONS):
        raise argparse.ArgumentTypeError(f"{text!r}: 1 to {_MOST_STATIONS}")
    return int(text)
