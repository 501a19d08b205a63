"""A station that swaps, with everything around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from evswap_edge.alarms import Alarms, book_beside
from evswap_edge.clock import TimeSource
from evswap_edge.config import StationConfig
from evswap_edge.outbox import Outbox
from evswap_edge.swaps.controller import Surroundings, Swaps
from evswap_edge.swaps.journal import SwapJournal


@asynccontextmanager
async def swapping(config: StationConfig, cabinet: Any, time: TimeSource) -> AsyncIterator[Swaps]:
    """The swaps of a station at work, over the files that the process before it left."""
    outbox = await Outbox.open(config.outbox_path, station_id=config.station_id, time=time)
    try:
        async with swaps_over(config, cabinet, time, outbox) as swaps:
            yield swaps
    finally:
        await outbox.aclose()


@asynccontextmanager
async def swaps_over(
    config: StationConfig, cabinet: Any, time: TimeSource, outbox: Outbox, **changed: Any
) -> AsyncIterator[Swaps]:
    """The same over an ``outbox`` that is open."""
    alarms = Alarms(
        station_id=config.station_id, outbox=outbox, time=time, book=book_beside(config.outbox_path)
    )
    around = {
        "station_id": config.station_id,
        "cabinet": cabinet,
        "outbox": outbox,
        "alarms": alarms,
        "time": time,
        "answer_timeout_s": config.commands.answer_timeout_s,
        "veto": lambda bay: None,
        "on_event": lambda: None,
    }
    journal = SwapJournal(config.outbox_path, station_id=config.station_id)
    swaps = Swaps(config.swaps, journal, Surroundings(**{**around, **changed}))
    stop = asyncio.Event()
    working = asyncio.create_task(swaps.run(stop))
    try:
        yield swaps
    finally:
        stop.set()
        await working
        swaps.close()
