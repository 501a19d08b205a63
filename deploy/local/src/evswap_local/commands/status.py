"""``evswap status``: what runs, where, and how fresh it is."""

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from evswap_local import emulator, fleet
from evswap_local.api import stations
from evswap_local.context import Context
from evswap_local.errors import NotRunning
from evswap_local.outboxes import depths
from evswap_local.settings import VISITOR
from evswap_schema import parse_timestamp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Text for people, JSON for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(context: Context, options: argparse.Namespace) -> int:
    """Prints the status; 0 when both processes run, 1 otherwise."""
    status = collect(context)
    if options.json:
        sys.stdout.write(json.dumps(status, indent=2) + "\n")
    else:
        sys.stdout.write(_for_people(status))
    return 0 if all(process["running"] for process in status["processes"].values()) else 1


def collect(context: Context) -> dict[str, Any]:
    """The status as plain data; what cannot be found out is null."""
    status: dict[str, Any] = {
        "state_dir": str(context.state.path),
        "processes": {name: _process(context, name) for name in (emulator.NAME, fleet.NAME)},
        "stations": None,
        "outboxes": depths(context.state.stations),
    }
    try:
        settings, described = context.demand_running()
    except NotRunning:
        return status
    status["settings"] = {
        "stations": settings.stations,
        "interval_s": settings.interval_s,
        "reporting": settings.reporting.value,
    }
    status["addresses"] = {
        "api_url": described.api_url,
        "live_page_url": described.live_page_url,
        "live_url": described.live_url,
        "aws_endpoint_url": described.aws_endpoint_url,
        "mqtt": f"{described.mqtt_host}:{described.mqtt_port}",
        "stack_file": str(context.state.stack_file),
    }
    status["stations"] = _stations(described.api_url)
    return status


def _process(context: Context, name: str) -> dict[str, Any]:
    running = context.processes.find(name)
    return {
        "running": running is not None,
        "pid": running.pid if running else None,
        "since": datetime.fromtimestamp(running.created, UTC).isoformat() if running else None,
        "log": str(context.processes.log_of(name)),
    }


def _stations(api_url: str) -> dict[str, Any] | None:
    try:
        received = [
            parse_timestamp(station["received_at"])
            for station in stations(api_url)
            if station["station_id"] != VISITOR
        ]
    except (OSError, ValueError):
        return None
    now = datetime.now(UTC)
    ages = [round((now - moment).total_seconds(), 1) for moment in received]
    return {
        "seen": len(ages),
        "newest_age_s": min(ages, default=None),
        "oldest_age_s": max(ages, default=None),
    }


def _for_people(status: dict[str, Any]) -> str:
    lines = [
        f"{name:<18}{'runs, process ' + str(process['pid']) if process['running'] else 'does not run'}"
        for name, process in status["processes"].items()
    ]
    if "addresses" in status:
        lines += [f"{name:<18}{address}" for name, address in status["addresses"].items()]
        seen = status["stations"]
        lines.append(f"{'stations':<18}{_stations_for_people(seen, status['settings']['stations'])}")
    waiting = {name: depth for name, depth in status["outboxes"].items() if depth}
    lines.append(
        f"{'outboxes':<18}{sum(waiting.values())} samples wait at {len(waiting)} of "
        f"{len(status['outboxes'])} stations"
    )
    return "\n".join(lines) + "\n"


def _stations_for_people(seen: dict[str, Any] | None, wanted: int) -> str:
    if seen is None:
        return "the API does not answer"
    if not seen["seen"]:
        return f"none of {wanted} seen yet"
    return (
        f"{seen['seen']} seen, {wanted} run; newest state {seen['newest_age_s']} s old, "
        f"oldest {seen['oldest_age_s']} s"
    )
