"""Events before the outbox has given them their place: what is told, and when it was, but not its number."""

from collections.abc import Iterable, Iterator
from itertools import starmap
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from evswap_edge.clock import Stamp
from evswap_edge.swaps.bay import BayState
from evswap_edge.swaps.swap import Report, Swap
from evswap_schema import (
    Bay,
    InventoryBay,
    InventoryEvent,
    InventoryReason,
    Occupancy,
    RefusalEvent,
    RefusalReason,
    SwapEvent,
    encode_event,
)

Draft = SwapEvent | RefusalEvent | InventoryEvent

MAX_INVENTORY_BYTES: Final = 5_000
"""Largest inventory that is sent: AWS meters in 5 KB steps, and Greengrass nucleus lite loses what is
larger."""
_ROOM_FOR_BAYS: Final = MAX_INVENTORY_BYTES - 600
"""The rest is for the longest header and the longest topic: station_id twice, stream_id, and words."""

_NOBODY: Final = "draft"


def swap_step(swap: Swap, report: Report, now: Stamp) -> SwapEvent:
    """A step of ``swap``."""
    return SwapEvent(
        **_at(now),
        step=report.step,
        request_id=swap.request_id,
        id_token=swap.id_token,
        batteries=(report.battery,),
        authority=swap.authority,
        authorisation_id=swap.authorisation_id,
    )


def refusal(reason: RefusalReason, now: Stamp, **known: Any) -> RefusalEvent:
    """A customer was turned away; ``known`` is what ``RefusalEvent`` may say beside."""
    return RefusalEvent(**_at(now), reason=reason, **known)


def inventory_of(
    bays: Iterable[tuple[BayState, Bay]], reason: InventoryReason, now: Stamp
) -> Iterator[InventoryEvent]:
    """What is believed to stand in ``bays``, in as few events as they fit into."""
    group: list[InventoryBay] = []
    size = 0
    for told in starmap(_standing, bays):
        needs = len(msgspec.json.encode(told)) + 1
        if group and size + needs > _ROOM_FOR_BAYS:
            yield InventoryEvent(**_at(now), reason=reason, bays=tuple(group))
            group, size = [], 0
        group.append(told)
        size += needs
    if group:
        yield InventoryEvent(**_at(now), reason=reason, bays=tuple(group))


def placed(draft: Draft, *, station_id: str, stream_id: str, sequence: int) -> bytes:
    """The event as it is stored, at its place."""
    return encode_event(replace(draft, station_id=station_id, stream_id=stream_id, sequence=sequence))


def _standing(state: BayState, bay: Bay) -> InventoryBay:
    """A battery that is silent at the moment is still the one that it was."""
    content = state.content
    if content is None:
        return InventoryBay(bay=bay.bay, occupancy=Occupancy.UNKNOWN)
    if not content.occupied:
        return InventoryBay(bay=bay.bay, occupancy=Occupancy.EMPTY)
    battery = bay.battery
    return InventoryBay(
        bay=bay.bay,
        occupancy=Occupancy.OCCUPIED,
        serial_number=content.serial_number,
        soc=None if battery is None else battery.soc,
        soh=None if battery is None else battery.soh,
    )


def _at(now: Stamp) -> dict[str, Any]:
    return {
        "station_id": _NOBODY,
        "stream_id": _NOBODY,
        "sequence": 0,
        "timestamp": now.wall_clock,
        "clock": now.clock,
    }
