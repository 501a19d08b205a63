"""``evswap-edge release``."""

import argparse
from typing import Final

from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.config import StationConfig, read_any
from evswap_edge.safety.releasing import GOOD_FOR_S, ReleaseError, ask, new_request

_CABINET: Final = 0
_EXAMPLES: Final = """\
at the station, when somebody has looked and it is safe; the station has to run:

  sudo -u evswap evswap-edge release --config station.yaml --bay 3 --who "A. Mensah" --reason "pack replaced"
  sudo -u evswap evswap-edge release --config station.yaml --cabinet --who "A. Mensah" --reason "false alarm"

It is refused while the cause persists.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to release, who says so, and why."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    arguments.add_config(parser)
    arguments.add_station_id(parser, required=False)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--bay", type=int, dest="place", metavar="N", help="one bay")
    place.add_argument(
        "--cabinet",
        action="store_const",
        const=_CABINET,
        dest="place",
        help="what locks all bays out, such as smoke; bays that are locked out themselves stay so",
    )
    parser.add_argument("--who", required=True, metavar="NAME", help="who has looked")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it is safe")


def run(options: argparse.Namespace) -> None:
    """Ask the running station. Raises ``ReleaseError`` when it refuses."""
    station = _chosen(read_any(options.config).stations, options.station_id)
    request = new_request(options.place, who=options.who, reason=options.reason, time=SystemTime())
    answer = ask(station.outbox_path, request, within_s=GOOD_FOR_S)
    if not answer.released:
        raise ReleaseError(answer.detail)
    print(f"{station.station_id}: {answer.detail}")


def _chosen(stations: tuple[StationConfig, ...], station_id: str | None) -> StationConfig:
    for station in stations:
        if station.station_id == station_id or (station_id is None and len(stations) == 1):
            return station
    if station_id is None:
        raise ReleaseError(f"the file tells of {len(stations)} stations; say which: --station-id ID")
    raise ReleaseError(f"the file tells of no station {station_id}")
