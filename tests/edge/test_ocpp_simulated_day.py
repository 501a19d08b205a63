"""A simulated day, told in OCPP: every message of it is one that the official schemas allow."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count

from evswap_edge.ocpp21.happenings import requests_of
from evswap_edge.ocpp21.swaps import swap_event
from evswap_edge.simulation.customers import What
from evswap_edge.simulation.pack import Pack
from evswap_edge.simulation.world import Happening, Story, World
from evswap_schema import Clock, SwapEvent, SwappedBattery, SwapStep
from tests.edge.test_ocpp_messages import HASH, RECEIPT, over_the_wire

START = datetime(2026, 6, 1, tzinfo=UTC)
DAY_S = 86_400
STEPS = {What.PUTS: SwapStep.BATTERY_IN, What.TAKES: SwapStep.BATTERY_OUT}


def swaps_of_a_day() -> list[SwapEvent]:
    """Each half of each exchange, as the station would tell it."""
    told: list[SwapEvent] = []
    numbers = count(1)

    def witness(happening: Happening) -> None:
        if happening.what in STEPS:
            bay, serial_number = happening.particulars.split()
            pack = next(each for each in world.packs if each.serial_number == serial_number)
            told.append(swap_of(happening, next(numbers), int(bay), pack))

    world = World(Story(seed="7", bays=35, start=START), witness)
    while world.seconds < DAY_S:
        world.step()
    return told


def swap_of(happening: Happening, number: int, bay: int, pack: Pack) -> SwapEvent:
    exchanged = SwappedBattery(
        bay=bay,
        serial_number=pack.serial_number,
        soc=round(min(1.0, pack.soc) * 100, 1),
        soh=round(min(1.0, pack.soh) * 100, 1),
    )
    return SwapEvent(
        station_id=RECEIPT.station_id,
        stream_id="stream-1",
        sequence=number,
        timestamp=START + timedelta(seconds=happening.seconds),
        clock=Clock.SYNCHRONIZED,
        step=STEPS[happening.what],
        request_id=(number + 1) // 2,
        id_token=HASH,
        batteries=(exchanged,),
    )


def test_every_swap_of_a_simulated_day_is_told_by_the_official_schemas_and_read_back() -> None:
    events = swaps_of_a_day()
    steps = Counter(event.step for event in events)
    assert min(steps[SwapStep.BATTERY_IN], steps[SwapStep.BATTERY_OUT]) > 100
    ids = set()
    for event in events:
        (request,) = requests_of(event)
        assert swap_event(over_the_wire(request.action, request.payload), RECEIPT) == event
        ids.add(request.message_id)
    assert len(ids) == len(events)
