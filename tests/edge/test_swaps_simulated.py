"""A rush hour of simulated customers, with nobody to ask: they show tokens, and the station swaps."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evswap_edge.config import SwapOrder
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.simulated import CustomersAre, Faults, Settings, SimulatedCabinet
from evswap_edge.testing import ManualTime
from evswap_schema import CacheAuthorisations
from tests.edge.swapping import STATION, Shop, authorisation, ledger, signed

SWAPS = 8


class Customers(SimulatedCabinet):
    """A simulated station all of whose customers are customers of the network."""

    shop: Shop

    async def read_token(self) -> str:
        token = await super().read_token()
        now = self.shop.time.now()
        theirs = signed(authorisation(token, now, max_swaps=100))
        await self.shop.swaps.cache(CacheAuthorisations(authorisations=(theirs,)), as_of=now)
        return token


@pytest.mark.parametrize("order", SwapOrder)
async def test_simulated_customers_are_served_and_every_battery_is_accounted_for(
    tmp_path: Path, order: SwapOrder
) -> None:
    shop = Shop(tmp_path, "watch_s: 1", "at_once: 4", f"order: {order}")
    shop.time = ManualTime(now=datetime(2026, 5, 4, 17, 30, tzinfo=UTC))
    settings = Settings(bays=35, customers=CustomersAre.PRESENT_TOKENS, faults=Faults.NONE, seed=3)
    cabinet = Customers(settings, Surroundings(station_id=STATION, time=shop.time))
    cabinet.shop = shop
    shop.cabinet = cabinet  # type: ignore[assignment]
    async with shop.open():
        while await completed(shop) < SWAPS:
            await shop.goes_by(30.0)
        await shop.rests()
        assert [reason for reason, _ in await shop.inventories()] == ["start"], "nothing moves but by swaps"
        standing = {bay.bay: bay.battery and bay.battery.serial_number for bay in await cabinet.read_bays()}
        assert ledger(await shop.events()) == standing


async def completed(shop: Shop) -> int:
    """How many swaps both of whose halves were told."""
    steps = Counter(number for number, step, _ in await shop.steps() if step != "battery_out_timeout")
    return sum(times == 2 for times in steps.values())
