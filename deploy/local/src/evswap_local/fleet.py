"""The process called ``fleet``: the simulated stations."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from evswap_edge.drivers.simulated import CustomersAre
from evswap_edge.simulation.names import SERIAL_NUMBERS
from evswap_local.emulator import own_environment
from evswap_local.errors import DidNotStart
from evswap_local.files import write_private
from evswap_local.layout import StateFolder
from evswap_local.network import Network
from evswap_local.processes import Processes, Running
from evswap_local.settings import Settings

NAME = "fleet"
RECONNECT_MAX_S = 5
"""Nobody else is hurt by stations that hurry back to a local AWS, and `evswap up` waits for them."""


AREA = {"latitude": 52.52, "longitude": 13.405, "across_km": 20}
"""The stations stand in Berlin."""


def keep_fleet(
    processes: Processes, state: StateFolder, settings: Settings, network: Network, *, anew: bool
) -> bool:
    """Lets the fleet run with these settings; False when it did already.

    ``anew``: certificates have changed, so a running fleet has to start again.
    """
    text = yaml.safe_dump(configuration(state, settings, network), sort_keys=False)
    same = state.fleet_config.is_file() and state.fleet_config.read_text(encoding="utf-8") == text
    if same and not anew and processes.find(NAME) is not None:
        return False
    processes.stop(NAME)
    write_private(state.fleet_config, text)
    start_fleet(processes, state)
    return True


def start_fleet(processes: Processes, state: StateFolder) -> Running:
    """Starts the fleet with the configuration that is there."""
    command = [sys.executable, "-m", "evswap_edge", "fleet", "--config", str(state.fleet_config)]
    return processes.start(NAME, command, environment=own_environment())


def demand_alive(processes: Processes) -> None:
    """Raises DidNotStart with the fleet's last words when it has ended."""
    if processes.find(NAME) is None:
        log = processes.log_of(NAME)
        raise DidNotStart(NAME, _last_words(log), log)


def configuration(state: StateFolder, settings: Settings, network: Network) -> Mapping[str, Any]:
    """fleet.yaml, as ``evswap-edge fleet`` reads it."""
    return {
        "stations": list(settings.station_ids()),
        "certificates_dir": str(state.certificates),
        "data_dir": str(state.stations),
        "area": AREA,
        "driver": {
            "name": "simulated",
            "bays": settings.bays,
            "speed": settings.speed,
            "customers": CustomersAre.PRESENT_TOKENS.value,
        },
        "swaps": {
            "enabled": True,
            "batteries": SERIAL_NUMBERS,
            "token_key_file": str(state.token_key),
            "authorisation_keys": {network.signing_key.key_id: str(state.authorisation_public_key)},
        },
        "sampling": {"interval_s": settings.interval_s},
        "reporting": {"mode": settings.reporting.value, "batch_age_s": settings.batch_age_s},
        "transport": {
            "name": "aws-iot",
            "host": "127.0.0.1",
            "port": settings.mqtt_port,
            "ca_file": str(state.ca),
            "reconnect_max_s": RECONNECT_MAX_S,
        },
    }


def _last_words(log: Path) -> str:
    lines: Sequence[str] = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if not lines:
        return "it ended without a word"
    try:
        return str(json.loads(lines[-1])["message"])
    except (ValueError, KeyError, TypeError):
        return lines[-1]
