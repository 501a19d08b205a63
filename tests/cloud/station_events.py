"""Events as stations send them, for every test of the cloud."""

from datetime import datetime, timedelta
from typing import Any

from evswap_cloud.events import StationEvent
from evswap_cloud.ingest import Delivery
from evswap_schema import (
    AlarmEvent,
    AlarmState,
    Channel,
    Clock,
    Event,
    InventoryBay,
    InventoryEvent,
    InventoryReason,
    Occupancy,
    RefusalEvent,
    RefusalReason,
    Severity,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    encode_event,
)
from tests.cloud.messages import NOW, delivery, envelope


def alarm(sequence: int = 1, **changes: Any) -> AlarmEvent:
    """Samples were dropped at station-01, one second before ``NOW``."""
    fields: dict[str, Any] = {
        "station_id": "station-01",
        "stream_id": "e",
        "sequence": sequence,
        "timestamp": NOW - timedelta(seconds=1),
        "clock": Clock.SYNCHRONIZED,
        "alarm": "samples_dropped",
        "state": AlarmState.RAISED,
        "severity": Severity.WARNING,
        "count": 17,
    }
    return AlarmEvent(**(fields | changes))


def swap(sequence: int = 1, **changes: Any) -> SwapEvent:
    """A battery came in at station-01, one second before ``NOW``."""
    battery = SwappedBattery(bay=3, serial_number="B-1", soc=12.5, soh=97.0)
    fields: dict[str, Any] = {
        "station_id": "station-01",
        "stream_id": "e",
        "sequence": sequence,
        "timestamp": NOW - timedelta(seconds=1),
        "clock": Clock.SYNCHRONIZED,
        "step": SwapStep.BATTERY_IN,
        "request_id": 7,
        "id_token": "0" * 64,
        "batteries": (battery,),
    }
    return SwapEvent(**(fields | changes))


def refusal(sequence: int = 1, **changes: Any) -> RefusalEvent:
    """A customer of station-01 was turned away, one second before ``NOW``."""
    fields: dict[str, Any] = {
        "station_id": "station-01",
        "stream_id": "e",
        "sequence": sequence,
        "timestamp": NOW - timedelta(seconds=1),
        "clock": Clock.SYNCHRONIZED,
        "reason": RefusalReason.NO_BATTERY,
    }
    return RefusalEvent(**(fields | changes))


def inventory(sequence: int = 1, *bays: InventoryBay, **changes: Any) -> InventoryEvent:
    """What stands in ``bays`` of station-01, one second before ``NOW``."""
    fields: dict[str, Any] = {
        "station_id": "station-01",
        "stream_id": "e",
        "sequence": sequence,
        "timestamp": NOW - timedelta(seconds=1),
        "clock": Clock.SYNCHRONIZED,
        "reason": InventoryReason.START,
        "bays": bays or (holds(1, "B-1"),),
    }
    return InventoryEvent(**(fields | changes))


def holds(bay: int, serial_number: str | None) -> InventoryBay:
    """A bay with this battery, or an empty one."""
    if serial_number is None:
        return InventoryBay(bay=bay, occupancy=Occupancy.EMPTY)
    return InventoryBay(
        bay=bay, occupancy=Occupancy.OCCUPIED, serial_number=serial_number, soc=90.0, soh=98.0
    )


def delivered_event(event: Event, record_id: str = "record-1", received_at: datetime = NOW) -> Delivery:
    """``event`` as its own station sent it."""
    return delivery(event_envelope(encode_event(event), event.station_id, received_at), record_id)


def event_envelope(payload: bytes, station_id: str = "station-01", received_at: datetime = NOW) -> str:
    return envelope(payload, station_id=station_id, channel=Channel.EVENT, received_at=received_at)


def station_event(event: Event) -> StationEvent:
    """``event`` as it is kept."""
    return StationEvent(event=event, occurred_at=event.timestamp, received_at=NOW)
