"""A network that works as it should, as the events that its stations tell: one seed, one story.

Batteries circulate: customers bring one and take another, at any station, in both orders; some take nothing,
some are turned away, some swap while their station is offline. Stations begin with an inventory, and begin
anew now and then.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from evswap_cloud.events import StationEvent
from evswap_cloud.ingest import Delivery
from evswap_schema import (
    Authority,
    Clock,
    Event,
    InventoryBay,
    InventoryEvent,
    InventoryReason,
    Occupancy,
    RefusalEvent,
    RefusalReason,
    SwapEvent,
    SwappedBattery,
    SwapStep,
)
from tests.cloud.station_events import delivered_event

START = datetime(2026, 10, 1, tzinfo=UTC)
BAYS = 8
SWAPS_A_DAY = 148


class _Station:
    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.sequence = 0
        self.requests = 0
        self.bays: dict[int, str | None] = {bay: f"B-{number:03}-{bay}" for bay in range(1, BAYS)}
        self.bays[BAYS] = None

    def common(self, at: datetime) -> dict[str, Any]:
        self.sequence += 1
        return {
            "station_id": self.name,
            "stream_id": "events",
            "sequence": self.sequence,
            "timestamp": at,
            "clock": Clock.SYNCHRONIZED,
        }

    def inventory(self, at: datetime) -> InventoryEvent:
        bays = tuple(
            InventoryBay(
                bay=bay,
                occupancy=Occupancy.EMPTY if serial is None else Occupancy.OCCUPIED,
                serial_number=serial,
            )
            for bay, serial in self.bays.items()
        )
        return InventoryEvent(reason=InventoryReason.START, bays=bays, **self.common(at))

    def step(
        self, at: datetime, step: SwapStep, bay: int, serial: str, customer: dict[str, Any]
    ) -> SwapEvent:
        battery = SwappedBattery(bay=bay, serial_number=serial, soc=50.0, soh=97.0)
        return SwapEvent(
            step=step, request_id=self.requests, batteries=(battery,), **customer, **self.common(at)
        )


def story(seed: int, *, stations: int, days: float, swaps_a_day: int = SWAPS_A_DAY) -> Iterator[StationEvent]:
    """All events in the order in which they happen, each received a second later."""
    chance = random.Random(seed)
    network = [_Station(f"station-{number:02}", number) for number in range(1, stations + 1)]
    held = {f"{number:064x}": f"C-{number:04}" for number in range(1, 30 * stations)}
    for station in network:
        yield _received(station.inventory(START))
    at = START
    for _ in range(round(stations * days * swaps_a_day)):
        at += timedelta(days=1) / (stations * swaps_a_day)
        station = chance.choice(network)
        token = chance.choice(list(held))
        for event in _visit(chance, station, token, held, at):
            yield _received(event)


def _visit(
    chance: random.Random, station: _Station, token: str, held: dict[str, str], at: datetime
) -> Iterator[Event]:
    """One customer's, over within seconds: the next one comes after it."""
    if chance.random() < 0.01:
        yield station.inventory(at)
    if chance.random() < 0.01:
        yield RefusalEvent(reason=RefusalReason.NO_BATTERY, id_token=token, **station.common(at))
        return
    station.requests += 1
    customer: dict[str, Any] = {"id_token": token}
    if chance.random() < 0.1:
        customer |= {"authority": Authority.OFFLINE, "authorisation_id": f"A-{token[-8:]}"}
    [empty] = (bay for bay, serial in station.bays.items() if serial is None)
    offered = chance.choice([bay for bay, serial in station.bays.items() if serial is not None])
    serial = station.bays[offered]
    assert serial is not None
    moments = iter([at + timedelta(milliseconds=100), at + timedelta(milliseconds=200)])
    if chance.random() < 0.005:
        yield station.step(next(moments), SwapStep.BATTERY_OUT_TIMEOUT, offered, serial, customer)
        return
    came, went = (empty, held[token], SwapStep.BATTERY_IN), (offered, serial, SwapStep.BATTERY_OUT)
    for bay, battery, step in chance.choice([(came, went), (went, came)]):
        yield station.step(next(moments), step, bay, battery, customer)
    station.bays[empty], station.bays[offered], held[token] = held[token], None, serial


def _received(event: Event) -> StationEvent:
    return StationEvent(
        event=event, occurred_at=event.timestamp, received_at=event.timestamp + timedelta(seconds=1)
    )


def deliveries(events: list[StationEvent]) -> list[Delivery]:
    """As the rule puts them into the queue."""
    return [
        delivered_event(event.event, f"record-{number}", event.received_at)
        for number, event in enumerate(events)
    ]
