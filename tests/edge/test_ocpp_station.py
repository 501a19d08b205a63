"""A whole station at a CSMS: asked for a swap, it opens its doors, and tells what came of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from ocpp.v21 import call  # type: ignore[import-untyped]
from ocpp.v21.datatypes import IdTokenType  # type: ignore[import-untyped]

from evswap_edge.app import run_station
from evswap_edge.clock import SystemTime
from evswap_edge.config import Chosen, StationConfig, read_fleet, read_station
from evswap_edge.transports import load_transport
from evswap_schema import Clock
from tests.edge.conftest import Eventually
from tests.edge.csms import Csms, credentials, management
from tests.edge.swapping import Mechanics, battery, configured
from tests.edge.test_ocpp_transport import settings_for

CUSTOMER = "1" * 64
OLD = battery("EVS-OLD", soc=9.0)
SOON = (
    "confirm_s: 0.05",
    "watch_s: 0.05\nsampling: {interval_s: 0.2}\nreporting: {batch_age_s: 1}",
)


class SetTime(SystemTime):
    """The machine's clock, vouched for: a command is refused where its age cannot be judged."""

    def state(self) -> Clock:
        return Clock.SYNCHRONIZED


@pytest.fixture
def cabinet() -> Mechanics:
    return Mechanics({1: None, 2: battery("EVS-2"), 3: battery("EVS-3")})


def wired(config: StationConfig, cabinet: Mechanics, csms: Csms, folder: Path) -> StationConfig:
    async def open_cabinet(*_: object) -> Mechanics:
        return cabinet

    driver = replace(config.driver, kind=replace(config.driver.kind, open=open_cabinet))
    transport = Chosen(name="ocpp", kind=load_transport("ocpp"), settings=settings_for(csms, folder))
    return replace(config, driver=driver, transport=transport)


@asynccontextmanager
async def at_work(
    folder: Path, cabinet: Mechanics, eventually: Eventually, *rules: str
) -> AsyncIterator[Csms]:
    """A station that has told its CSMS of all its bays."""
    async with management(folder) as csms:
        config = wired(configured(folder, *rules, *SOON), cabinet, csms, folder)
        stop = asyncio.Event()
        running = asyncio.create_task(run_station(config, SetTime(), stop))
        try:
            await eventually(lambda: len(csms.of("StatusNotification")) >= 3 or running.done())
            yield csms
        finally:
            stop.set()
            await running


def swap_request(request_id: int) -> call.RequestBatterySwap:
    return call.RequestBatterySwap(
        request_id=request_id, id_token=IdTokenType(id_token=CUSTOMER, type="Central")
    )


def steps(csms: Csms) -> list[tuple[int, str, str]]:
    """What the CSMS has heard of swaps, each message once."""
    return [
        (told["requestId"], told["eventType"], told["batteryData"][0]["serialNumber"])
        for told in (heard.payload for heard in csms.once("BatterySwap"))
    ]


@pytest.mark.parametrize("order", ["in_first", "out_first"])
async def test_a_swap_that_the_csms_asks_for(
    order: str, cabinet: Mechanics, tmp_path: Path, eventually: Eventually
) -> None:
    async with at_work(tmp_path, cabinet, eventually, f"order: {order}") as csms:
        told = {heard.payload["evseId"]: heard.payload for heard in csms.of("StatusNotification")}
        assert {bay: one["connectorStatus"] for bay, one in told.items()} == {
            1: "Available",
            2: "Occupied",
            3: "Occupied",
        }
        assert (await csms.point.call(swap_request(41))).status == "Accepted"
        answer = await csms.point.call(swap_request(41))
        assert (answer.status, answer.status_info["reason_code"]) == ("Rejected", "TxInProgress")
        parts = [(41, "BatteryIn", "EVS-OLD"), (41, "BatteryOut", "EVS-2")]
        if order == "in_first":
            await eventually(lambda: 1 in cabinet.open)
            cabinet.put(1, OLD)
            await eventually(lambda: 2 in cabinet.open)
            cabinet.take(2)
        else:
            parts.reverse()
            await eventually(lambda: 2 in cabinet.open)
            cabinet.take(2)
            await eventually(lambda: cabinet.open)
            cabinet.put(min(cabinet.open), OLD)
        await eventually(lambda: len(steps(csms)) == 2)
        assert steps(csms) == parts
        (tokens,) = {heard.payload["idToken"]["idToken"] for heard in csms.of("BatterySwap")}
        assert tokens == CUSTOMER


async def test_a_station_without_a_battery_says_so(
    cabinet: Mechanics, tmp_path: Path, eventually: Eventually
) -> None:
    for number in (2, 3):
        cabinet.inside[number] = battery(f"EVS-{number}", soc=50.0)
    async with at_work(tmp_path, cabinet, eventually) as csms:
        answer = await csms.point.call(swap_request(41))
        assert (answer.status, answer.status_info["reason_code"]) == ("Rejected", "NoBatteryAvailable")
        assert cabinet.orders == []


async def test_a_swap_that_goes_on_through_an_outage_is_told_once(
    cabinet: Mechanics, tmp_path: Path, eventually: Eventually
) -> None:
    async with at_work(tmp_path, cabinet, eventually) as csms:
        csms.hangs_up_at["BatterySwap"].add(0)
        assert (await csms.point.call(swap_request(41))).status == "Accepted"
        await eventually(lambda: 1 in cabinet.open)
        cabinet.put(1, OLD)
        await eventually(lambda: csms.of("BatterySwap"))
        await csms.down()
        await eventually(lambda: 2 in cabinet.open)
        cabinet.take(2)
        await csms.up()
        await eventually(lambda: len(steps(csms)) == 2)
        assert steps(csms) == [(41, "BatteryIn", "EVS-OLD"), (41, "BatteryOut", "EVS-2")]
        again = [heard for heard in csms.of("BatterySwap") if heard.payload["eventType"] == "BatteryIn"]
        assert len(again) >= 2, "it was not answered the first time"
        assert len({heard.message_id for heard in again}) == 1


async def test_a_door_is_opened_and_a_battery_reserved(
    cabinet: Mechanics, tmp_path: Path, eventually: Eventually
) -> None:
    async with at_work(tmp_path, cabinet, eventually) as csms:
        answer = await csms.point.call(call.UnlockConnector(evse_id=7, connector_id=1))
        assert answer.status == "UnknownConnector"
        wanted = call.ReserveNow(
            id=1,
            expiry_date_time="2099-01-01T00:00:00Z",
            id_token=IdTokenType(id_token=CUSTOMER, type="Central"),
        )
        assert (await csms.point.call(wanted)).status == "Accepted"
        await eventually(lambda: csms.of("StatusNotification")[-1].payload["connectorStatus"] == "Reserved")


def test_a_file_chooses_it(tmp_path: Path) -> None:
    csms = Csms(tmp_path)
    credentials(csms, tmp_path)
    file = tmp_path / "station.yaml"
    file.write_text(
        "station_id: station-01\ndriver: {name: simulated}\noutbox: {path: outbox.sqlite}\n"
        "transport:\n  name: ocpp\n  url: wss://csms.example.org/ocpp\n"
        "  password_file: station.password\n  ca_file: csms-ca.pem\n"
    )
    (config,) = read_station(file).stations
    assert config.transport.settings.password_file == tmp_path / "station.password"
    config.transport.kind.check(config.transport.settings, SystemTime())


def test_a_fleet_has_the_files_of_each_station(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "stations: {count: 2}\ncertificates_dir: certificates\ndata_dir: data\ndriver: {name: simulated}\n"
        "transport: {name: ocpp, url: wss://csms.example.org/ocpp}\n"
    )
    first, second = (station.transport.settings for station in read_fleet(file).stations)
    assert first.password_file == tmp_path / "certificates" / "station-01.password"
    assert second.key_file == tmp_path / "certificates" / "station-02.key.pem"
