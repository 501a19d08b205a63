"""What events say about batteries, bays, swaps and authorisations. The one place that reads events for the
ledger."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from evswap_cloud.events import StationEvent
from evswap_cloud.ledger.batteries import Seen, Sighting
from evswap_cloud.ledger.slots import Statement
from evswap_cloud.ledger.stamps import Stamp, stamp_of
from evswap_cloud.ledger.swaps import Step, SwapKey
from evswap_schema import InventoryEvent, Occupancy, RefusalEvent, SwapEvent, SwapStep

_SEEN: Final = {
    SwapStep.BATTERY_IN: Seen.IN,
    SwapStep.BATTERY_OUT: Seen.OUT,
    SwapStep.BATTERY_OUT_TIMEOUT: Seen.NOT_TAKEN,
}


@dataclass
class Facts:
    """What was said, by what it is said about."""

    sightings: dict[str, list[Sighting]] = field(default_factory=lambda: defaultdict(list))
    statements: dict[tuple[str, int], list[Statement]] = field(default_factory=lambda: defaultdict(list))
    steps: dict[SwapKey, list[Step]] = field(default_factory=lambda: defaultdict(list))
    spent: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def see(self, serial_number: str, sighting: Sighting) -> None:
        """A battery was seen, and with it what its bay holds."""
        self.sightings[serial_number].append(sighting)
        went = sighting.seen is Seen.OUT
        statement = Statement(
            stamp=sighting.stamp,
            seen=sighting.seen,
            holds=None if went else serial_number,
            freed=serial_number if went else None,
            request_id=sighting.request_id,
        )
        self.statements[sighting.slot].append(statement)


def facts_of(events: Iterable[StationEvent]) -> Facts:
    """All that ``events`` say."""
    facts = Facts()
    for event in events:
        stamp = stamp_of(event)
        match event.event:
            case SwapEvent() as swap:
                _add_swap(facts, swap, stamp, event.received_at)
            case InventoryEvent() as inventory:
                _add_inventory(facts, inventory, stamp)
            case RefusalEvent(battery=battery) if battery is not None:
                seen = Sighting(Seen.REFUSED, stamp, battery.bay, battery.soc, battery.soh)
                facts.see(battery.serial_number, seen)
            case _:
                pass
    return facts


def _add_swap(facts: Facts, swap: SwapEvent, stamp: Stamp, received_at: datetime) -> None:
    seen = _SEEN[swap.step]
    for battery in swap.batteries:
        sighting = Sighting(
            seen, stamp, battery.bay, battery.soc, battery.soh, swap.request_id,
            swap.id_token if seen is Seen.OUT else None,
        )  # fmt: skip
        facts.see(battery.serial_number, sighting)
    serial_numbers = tuple(battery.serial_number for battery in swap.batteries)
    key = SwapKey(swap.station_id, swap.request_id, swap.id_token)
    facts.steps[key].append(Step(swap.step, stamp, serial_numbers, received_at, swap.authorisation_id))
    if swap.authorisation_id is not None:
        facts.spent[swap.authorisation_id].add(f"{swap.station_id}/{swap.request_id}")


def _add_inventory(facts: Facts, inventory: InventoryEvent, stamp: Stamp) -> None:
    """An occupied bay whose battery does not say who it is says nothing of any battery."""
    for bay in inventory.bays:
        if bay.serial_number is not None:
            facts.see(bay.serial_number, Sighting(Seen.LISTED, stamp, bay.bay, bay.soc, bay.soh))
        elif bay.occupancy is Occupancy.EMPTY:
            empty = Statement(stamp=stamp, seen=Seen.LISTED, holds=None)
            facts.statements[inventory.station_id, bay.bay].append(empty)
