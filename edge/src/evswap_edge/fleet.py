"""Many stations in one process, each with its own certificate, connection and outbox.

They share nothing but the event loop: a station that fails is reported and begun again, and the others do
not notice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.config import StationConfig
from evswap_edge.hal import DriverError
from evswap_edge.logs import STATION
from evswap_edge.outbox import OutboxError
from evswap_edge.supervision import run_one_of_many
from evswap_edge.transports import TransportError

Run = Callable[..., Awaitable[None]]

_RESTART_MIN_S: Final = 1.0
_RESTART_MAX_S: Final = 60.0
_LONGEST_STAGGER_S: Final = 5.0

_log: Final = logging.getLogger(__name__)


async def run_fleet(
    stations: Sequence[StationConfig], time: TimeSource, stop: asyncio.Event, *, run: Run = run_one_of_many
) -> None:
    """Run all ``stations`` until ``stop`` is set.

    They begin one after another, and their samples are spread over the interval, so that a thousand of them
    make an even load.
    """
    async with asyncio.TaskGroup() as tasks:
        for index, config in enumerate(stations):
            share = index / len(stations)
            tasks.create_task(_keep_running(config, time, stop, share=share, run=run), name=config.station_id)


async def _keep_running(
    config: StationConfig, time: TimeSource, stop: asyncio.Event, *, share: float, run: Run
) -> None:
    """Run one station, again and again if need be. ``share`` (0 to 1) is its place in the order."""
    STATION.set(config.station_id)
    backoff = Backoff(base_s=_RESTART_MIN_S, cap_s=_RESTART_MAX_S)
    wait_s = share * min(config.sampling.interval_s, _LONGEST_STAGGER_S)
    phase_s = share * config.sampling.interval_s - wait_s
    while True:
        await time.wait_until(time.monotonic() + wait_s, unless=stop)
        if stop.is_set():
            return None
        try:
            return await run(config, time, stop, phase_s=phase_s)
        except (DriverError, OutboxError, TransportError) as error:
            wait_s = _RESTART_MIN_S + backoff.next_s()
            _log.error("station failed: %s; starts again in %.1f s", error, wait_s)
        except Exception:  # noqa: BLE001 - a station's outermost loop: the others go on
            wait_s = _RESTART_MIN_S + backoff.next_s()
            _log.exception("station failed; starts again in %.1f s", wait_s)
