"""What has happened at a station, for a CSMS: swaps as BatterySwap, everything else as NotifyEvent.

OCPP has no message of its own for a customer who was turned away, nor for what a station found in its bays;
they are events of its device model, under variables of ours where the standard has none.
"""

from typing import Final, NamedTuple

from evswap_edge.ocpp21.facts import EVENTS_A_MESSAGE, NOTIFY_EVENT, Fact, notify_event
from evswap_edge.ocpp21.frames import Document
from evswap_edge.ocpp21.naming import VENDOR, event_id_of, message_id_of
from evswap_edge.ocpp21.swaps import BATTERY_SWAP, battery_swap
from evswap_schema import (
    AlarmEvent,
    AlarmState,
    Event,
    InventoryEvent,
    Occupancy,
    RefusalEvent,
    Severity,
    SwapEvent,
    format_timestamp,
)

_LONGEST_NAME: Final = 50
_SEVERITIES: Final = {Severity.CRITICAL: 3, Severity.WARNING: 6, Severity.INFO: 8}
"""Of OCPP's 0 (danger) to 9 (debug): critical, warning, informational."""


class Request(NamedTuple):
    """A request whose id is the same whenever, and by whomever, it is sent again."""

    message_id: str
    action: str
    payload: Document


def requests_of(event: Event) -> list[Request]:
    """What a CSMS is told of ``event``, to be sent in this order."""
    if isinstance(event, SwapEvent):
        return [Request(_message_id(event, 0), BATTERY_SWAP, battery_swap(event))]
    data = _event_data(event)
    parts = [data[start : start + EVENTS_A_MESSAGE] for start in range(0, len(data), EVENTS_A_MESSAGE)]
    return [
        Request(
            _message_id(event, number),
            NOTIFY_EVENT,
            notify_event(part, event.timestamp, number=number, more=number < len(parts) - 1),
        )
        for number, part in enumerate(parts)
    ]


def _message_id(event: Event, number: int) -> str:
    return message_id_of(event.station_id, event.stream_id, event.sequence, number)


def _event_data(event: AlarmEvent | RefusalEvent | InventoryEvent) -> list[Document]:
    match event:
        case AlarmEvent():
            return [_alarm(event)]
        case RefusalEvent():
            return [_refusal(event)]
        case InventoryEvent():
            return _inventory(event)


def _alarm(event: AlarmEvent) -> Document:
    """A problem of the station or of a bay, named by the variable's instance."""
    component = "ChargingStation" if event.bay is None else "EVSE"
    fact = Fact(component, "Problem", event.bay, event.alarm[:_LONGEST_NAME])
    cleared = event.state is AlarmState.CLEARED
    told = {
        **_told(event, fact, "false" if cleared else "true", trigger="Alerting"),
        "cleared": cleared,
        "severity": _SEVERITIES[event.severity],
        "techCode": event.alarm[:_LONGEST_NAME],
    }
    info = [event.detail or "", "" if event.count is None else f"count {event.count}"]
    return _with_info(told, ", ".join(filter(None, info)))


def _refusal(event: RefusalEvent) -> Document:
    fact = Fact("BatterySwapCtrlr", "Refusal", event.bay)
    told = {
        **_told(event, fact, event.reason.value, trigger="Alerting"),
        "severity": _SEVERITIES[Severity.INFO],
        "techCode": event.reason.value,
    }
    known = {
        "requestId": event.request_id,
        "idToken": event.id_token,
        "serialNumber": None if event.battery is None else event.battery.serial_number,
    }
    told["customData"] |= {name: value for name, value in known.items() if value is not None}
    return _with_info(told, event.detail or "")


def _inventory(event: InventoryEvent) -> list[Document]:
    """What stands in each bay. Nothing is said of what is not known."""
    told: list[Document] = []
    for bay in event.bays:
        values = {
            "Present": {Occupancy.OCCUPIED: "true", Occupancy.EMPTY: "false"}.get(bay.occupancy),
            "SerialNumber": bay.serial_number,
            "SoC": None if bay.soc is None else f"{bay.soc:.0f}",
            "SoH": None if bay.soh is None else f"{bay.soh:.0f}",
        }
        told.extend(
            _told(event, Fact("BatteryCartridge", name, bay.bay), value, trigger="Delta")
            for name, value in values.items()
            if value is not None
        )
    return told


def _told(event: Event, fact: Fact, value: str, *, trigger: str) -> Document:
    return {
        "eventId": event_id_of(event.station_id, event.stream_id, event.sequence, *fact),
        "timestamp": format_timestamp(event.timestamp),
        "trigger": trigger,
        "actualValue": value,
        "eventNotificationType": "HardWiredNotification",
        "customData": {
            "vendorId": VENDOR,
            "streamId": event.stream_id,
            "sequence": event.sequence,
            "clock": event.clock.value,
        },
        **fact.document(),
    }


def _with_info(told: Document, info: str) -> Document:
    return {**told, "techInfo": info} if info else told
