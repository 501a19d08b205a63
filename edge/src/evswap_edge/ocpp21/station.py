"""What a CSMS asks of the station as a whole, or of one bay, and what it answers; and the boot.

What moves something at the station becomes a command of ours. Its result becomes the answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evswap_edge.ocpp21.checking import InvalidPayload, checked_request, checked_response
from evswap_edge.ocpp21.facts import CONNECTOR
from evswap_edge.ocpp21.frames import Document
from evswap_edge.ocpp21.naming import Hashed, token_hash_in
from evswap_edge.ocpp21.swaps import info_of, status_info
from evswap_schema import (
    Bay,
    Charge,
    CommandResult,
    Health,
    Outcome,
    Reservation,
    Reserve,
    Unlock,
    parse_timestamp,
)
from evswap_schema.limits import MAX_BAYS

BOOT_NOTIFICATION: Final = "BootNotification"
HEARTBEAT: Final = "Heartbeat"
RESERVE_NOW: Final = "ReserveNow"
CANCEL_RESERVATION: Final = "CancelReservation"
UNLOCK_CONNECTOR: Final = "UnlockConnector"
TRIGGER_MESSAGE: Final = "TriggerMessage"
RESET: Final = "Reset"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a CSMS answers to a BootNotification. ``interval_s`` is until the next heartbeat once
    ``status`` is Accepted, and until the next try before."""

    status: str
    interval_s: int
    now: datetime


def boot_notification(*, model: str, vendor: str, firmware: str, reason: str) -> Document:
    """BootNotificationRequest."""
    station = {"model": model, "vendorName": vendor, "firmwareVersion": firmware}
    return checked_request(BOOT_NOTIFICATION, {"reason": reason, "chargingStation": station})


def registration(payload: Document) -> Registration:
    """What a BootNotificationResponse says. Raises ``InvalidPayload``."""
    checked_response(BOOT_NOTIFICATION, payload)
    now = _moment(payload["currentTime"], BOOT_NOTIFICATION, "currentTime")
    return Registration(payload["status"], max(0, payload["interval"]), now)


def time_of(payload: Document) -> datetime:
    """The CSMS's time in a HeartbeatResponse. Raises ``InvalidPayload``."""
    checked_response(HEARTBEAT, payload)
    return _moment(payload["currentTime"], HEARTBEAT, "currentTime")


def wanted_unlock(payload: Document) -> Unlock | None:
    """What an UnlockConnectorRequest asks for; None: there is no such connector. Raises
    ``InvalidPayload``."""
    checked_request(UNLOCK_CONNECTOR, payload)
    if payload["connectorId"] != CONNECTOR or not 1 <= payload["evseId"] <= MAX_BAYS:
        return None
    return Unlock(bay=payload["evseId"])


def unlock_answer(result: CommandResult | None) -> Document:
    """UnlockConnectorResponse; without a result there is no such connector."""
    if result is None:
        return checked_response(UNLOCK_CONNECTOR, {"status": "UnknownConnector"})
    if result.outcome is Outcome.DONE:
        return checked_response(UNLOCK_CONNECTOR, {"status": "Unlocked"})
    return checked_response(UNLOCK_CONNECTOR, {"status": "UnlockFailed", "statusInfo": info_of(result)})


def wanted_reservation(payload: Document, bays: Iterable[Bay], *, hashed: Hashed | None) -> Reserve | None:
    """What a ReserveNowRequest asks for; where it names no EVSE, the bay with the fullest of the batteries
    that may be given away. None: there is no such bay. Raises ``InvalidPayload``."""
    checked_request(RESERVE_NOW, payload)
    until = _moment(payload["expiryDateTime"], RESERVE_NOW, "expiryDateTime")
    id_token = token_hash_in(payload["idToken"], action=RESERVE_NOW, hashed=hashed)
    bay = payload["evseId"] if "evseId" in payload else _best(bays)
    if bay is None or not 1 <= bay <= MAX_BAYS:
        return None
    return Reserve(bay=bay, until=until, id_token=id_token)


def reservation_answer(result: CommandResult | None) -> Document:
    """ReserveNowResponse; without a result there is no bay to reserve."""
    if result is None:
        info = status_info("NoBatteryAvailable", "no bay holds a battery that could be reserved")
        return checked_response(RESERVE_NOW, {"status": "Unavailable", "statusInfo": info})
    if result.outcome is Outcome.DONE:
        return checked_response(RESERVE_NOW, {"status": "Accepted"})
    return checked_response(RESERVE_NOW, {"status": "Rejected", "statusInfo": info_of(result)})


def refusal_of(action: str, text: str) -> Document:
    """The response to ``action`` of a station that does no such thing."""
    info = status_info("UnsupportedRequest", text)
    return checked_response(action, {"status": "Rejected", "statusInfo": info})


def trigger_answer(status: str) -> Document:
    """TriggerMessageResponse."""
    return checked_response(TRIGGER_MESSAGE, {"status": status})


def _best(bays: Iterable[Bay]) -> int | None:
    may_go = [
        (bay.battery.soc, -bay.bay)
        for bay in bays
        if bay.battery is not None
        and bay.charge is Charge.CHARGED
        and bay.health is Health.HEALTHY
        and bay.reservation is Reservation.FREE
    ]
    return -max(may_go)[1] if may_go else None


def _moment(text: str, action: str, field: str) -> datetime:
    """The schemas say ``date-time``, which JSON Schema takes for a remark."""
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise InvalidPayload(action, field=field, rule=str(error), value=text) from error
