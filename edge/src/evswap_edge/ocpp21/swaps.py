"""Block S, battery swapping: BatterySwap to and from our events, RequestBatterySwap to our command.

BatterySwapRequest has no time of its own, and a station that was offline sends it hours later. What only we
know of a step (when it was, and its identity) goes along in ``customData``; a CSMS may ignore it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from evswap_edge.ocpp21.checking import InvalidPayload, checked_request, checked_response
from evswap_edge.ocpp21.frames import Document
from evswap_edge.ocpp21.naming import VENDOR, Hashed, token_hash_in
from evswap_schema import (
    Authority,
    Clock,
    CommandResult,
    InvalidField,
    Outcome,
    RefusalReason,
    RequestSwap,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    codec,
    format_timestamp,
)

KindT = TypeVar("KindT", SwapEvent, RequestSwap)

BATTERY_SWAP: Final = "BatterySwap"
REQUEST_BATTERY_SWAP: Final = "RequestBatterySwap"

_STEPS: Final = {
    SwapStep.BATTERY_IN: "BatteryIn",
    SwapStep.BATTERY_OUT: "BatteryOut",
    SwapStep.BATTERY_OUT_TIMEOUT: "BatteryOutTimeout",
}
_STEP_OF: Final = {name: step for step, name in _STEPS.items()}
_TOKEN_TYPES: Final = {Authority.ONLINE: "Central", Authority.OFFLINE: "Local"}
_AUTHORITY_OF: Final = {name: authority for authority, name in _TOKEN_TYPES.items()}
_AUTHORISATION: Final = "AuthorisationId"
"""Type of the additional token that names the authorisation by which the station let a customer swap."""

_BATTERY_FIELDS: Final = {
    "evseId": "bay",
    "serialNumber": "serial_number",
    "soC": "soc",
    "soH": "soh",
    "productionDate": "production_date",
    "vendorInfo": "vendor_info",
}
_IDENTITY_FIELDS: Final = {
    "streamId": "stream_id",
    "sequence": "sequence",
    "timestamp": "timestamp",
    "clock": "clock",
}
_THEIR_NAMES: Final = {
    **{ours: theirs for theirs, ours in _BATTERY_FIELDS.items()},
    **{ours: f"customData.{theirs}" for theirs, ours in _IDENTITY_FIELDS.items()},
    "batteries": "batteryData",
    "request_id": "requestId",
    "id_token": "idToken.idToken",
    "authorisation_id": "idToken.additionalInfo",
}
_WORD: Final = re.compile(r"[a-z_]+")

_REASON_CODES: Final = {
    RefusalReason.NO_BATTERY: "NoBatteryAvailable",
    RefusalReason.NO_EMPTY_BAY: "NoEmptyBay",
    RefusalReason.UNAUTHORISED: "InvalidIdToken",
    RefusalReason.BUSY: "TxInProgress",
    RefusalReason.UNAVAILABLE: "NotEnabled",
}
_UNSPECIFIED: Final = "Unspecified"
_LONGEST_INFO: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a CSMS knows of a BatterySwap that its payload may not say. ``sequence`` is one of its own for the
    stream ``stream_id``; it and ``timestamp`` count where the sender is not one of our stations. Without
    ``hashed`` a token in clear is refused."""

    station_id: str
    stream_id: str
    sequence: int
    timestamp: datetime
    hashed: Hashed | None = None


def battery_swap(event: SwapEvent) -> Document:
    """BatterySwapRequest for ``event``. The token in it is a keyed hash: of type ``Central`` where the swap
    was authorised from afar, ``Local`` where the station did it."""
    return checked_request(
        BATTERY_SWAP,
        {
            "eventType": _STEPS[event.step],
            "requestId": event.request_id,
            "idToken": _id_token(event),
            "batteryData": [_battery_data(battery) for battery in event.batteries],
            "customData": {
                "vendorId": VENDOR,
                "streamId": event.stream_id,
                "sequence": event.sequence,
                "timestamp": format_timestamp(event.timestamp),
                "clock": event.clock.value,
            },
        },
    )


def swap_event(payload: Document, receipt: Receipt) -> SwapEvent:
    """The event that a BatterySwapRequest tells of. Raises ``InvalidPayload``."""
    checked_request(BATTERY_SWAP, payload)
    authorisation_id = _authorisation_id(payload["idToken"])
    told = {
        "kind": "swap",
        "station_id": receipt.station_id,
        **_identity(payload, receipt),
        "step": _STEP_OF[payload["eventType"]].value,
        "request_id": payload["requestId"],
        "id_token": token_hash_in(payload["idToken"], action=BATTERY_SWAP, hashed=receipt.hashed),
        "batteries": [_battery(data) for data in payload["batteryData"]],
        "authority": (Authority.OFFLINE if authorisation_id else Authority.ONLINE).value,
        "authorisation_id": authorisation_id,
    }
    return _converted(BATTERY_SWAP, told, SwapEvent)


def requested_swap(payload: Document, *, hashed: Hashed | None) -> RequestSwap:
    """The action that a RequestBatterySwapRequest asks for. Raises ``InvalidPayload``."""
    checked_request(REQUEST_BATTERY_SWAP, payload)
    told = {
        "action": "request_swap",
        "request_id": payload["requestId"],
        "id_token": token_hash_in(payload["idToken"], action=REQUEST_BATTERY_SWAP, hashed=hashed),
    }
    return _converted(REQUEST_BATTERY_SWAP, told, RequestSwap)


def request_battery_swap(request_id: int, token_hash: str) -> Document:
    """RequestBatterySwapRequest, for whoever asks a station."""
    id_token = {"idToken": token_hash, "type": _TOKEN_TYPES[Authority.ONLINE]}
    return checked_request(REQUEST_BATTERY_SWAP, {"requestId": request_id, "idToken": id_token})


def swap_answer(result: CommandResult) -> Document:
    """RequestBatterySwapResponse: the station decides about its stock, and says why it has none."""
    if result.outcome in {Outcome.ACCEPTED, Outcome.DONE}:
        answer: Document = {"status": "Accepted"}
    else:
        answer = {"status": "Rejected", "statusInfo": info_of(result)}
    return checked_response(REQUEST_BATTERY_SWAP, answer)


def info_of(result: CommandResult) -> Document:
    """Why a command was not done, as ``StatusInfoType``."""
    named = (result.reason or "").partition(":")[0]
    code = _REASON_CODES[RefusalReason(named)] if named in _REASON_CODES else _UNSPECIFIED
    return status_info(code, result.reason or result.outcome.value)


def status_info(reason_code: str, text: str) -> Document:
    """``StatusInfoType``: a word for machines, and a text for people."""
    return {"reasonCode": reason_code, "additionalInfo": text[:_LONGEST_INFO]}


def _id_token(event: SwapEvent) -> Document:
    told: Document = {"idToken": event.id_token, "type": _TOKEN_TYPES[event.authority]}
    if event.authorisation_id is not None:
        named = {"additionalIdToken": event.authorisation_id, "type": _AUTHORISATION}
        told["additionalInfo"] = [named]
    return told


def _authorisation_id(id_token: Document) -> str | None:
    if _AUTHORITY_OF.get(id_token["type"]) is not Authority.OFFLINE:
        return None
    named = (info for info in id_token.get("additionalInfo", ()) if info["type"] == _AUTHORISATION)
    return next((info["additionalIdToken"] for info in named), None)


def _battery_data(battery: SwappedBattery) -> Document:
    told: Document = {
        "evseId": battery.bay,
        "serialNumber": battery.serial_number,
        "soC": battery.soc,
        "soH": battery.soh,
    }
    if battery.production_date is not None:
        told["productionDate"] = format_timestamp(battery.production_date)
    if battery.vendor_info is not None:
        told["vendorInfo"] = battery.vendor_info
    return told


def _battery(data: Document) -> Document:
    return {ours: data[theirs] for theirs, ours in _BATTERY_FIELDS.items() if theirs in data}


def _identity(payload: Document, receipt: Receipt) -> Document:
    custom = payload.get("customData", {})
    if custom.get("vendorId") == VENDOR:
        return {ours: custom[theirs] for theirs, ours in _IDENTITY_FIELDS.items() if theirs in custom}
    return {
        "stream_id": receipt.stream_id,
        "sequence": receipt.sequence,
        "timestamp": format_timestamp(receipt.timestamp),
        "clock": Clock.ESTIMATED.value,
    }


def _converted(action: str, told: Document, kind: type[KindT]) -> KindT:
    """``told`` as ours; what our contract refuses is named as OCPP names it."""
    try:
        return codec.convert(told, kind)
    except InvalidField as error:
        field = _WORD.sub(lambda word: _THEIR_NAMES.get(word[0], word[0]), error.field)
        raise InvalidPayload(action, field=field, rule=error.rule, value=error.value) from error
