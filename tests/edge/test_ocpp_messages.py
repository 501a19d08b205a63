"""Our messages in the words of OCPP 2.1 and back: each is held to the official schemas, and a malformed one
is refused with its field.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from ocpp.messages import Call as LibraryCall  # type: ignore[import-untyped]
from ocpp.messages import _validate_payload
from ocpp.v21 import call as library_calls  # type: ignore[import-untyped]
from ocpp.v21.datatypes import BatteryDataType, IdTokenType  # type: ignore[import-untyped]

from evswap_edge.ocpp21 import frames, station, swaps, variables
from evswap_edge.ocpp21.checking import InvalidPayload, UnknownAction, checked_request, checked_response
from evswap_edge.ocpp21.facts import Outlook, connector_status
from evswap_edge.ocpp21.happenings import requests_of
from evswap_edge.ocpp21.swaps import Receipt, battery_swap, request_battery_swap, requested_swap, swap_event
from evswap_edge.testing import charged_bay
from evswap_schema import (
    AlarmEvent,
    AlarmState,
    Authority,
    Battery,
    Bay,
    Clock,
    CommandResult,
    Event,
    Health,
    InventoryBay,
    InventoryEvent,
    InventoryReason,
    Occupancy,
    Outcome,
    Reading,
    RefusalEvent,
    RefusalReason,
    Reservation,
    Reserve,
    Severity,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    Unlock,
    token_hash,
)
from tests.shared.strategies import bays, moments, percents, readings, short_texts, station_ids

HASH = "5f" * 32
KEY = bytes(range(32))
RECEIPT = Receipt(
    station_id="station-01",
    stream_id="from-afar",
    sequence=7,
    timestamp=datetime(2026, 3, 1, 6, tzinfo=UTC),
    hashed=lambda token: token_hash(KEY, token),
)
RULES = {"target_soc": 95.0, "in_timeout_s": 60.0, "out_timeout_s": 90.0, "order": "in_first"}


# --- what an event may be ---------------------------------------------------------------------------------

characters = st.characters(codec="utf-8", exclude_categories=["Cs"])
serial_numbers = st.text(characters, min_size=1, max_size=50)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
swapped = st.builds(
    SwappedBattery,
    bay=st.integers(1, 250),
    serial_number=serial_numbers,
    soc=percents,
    soh=percents,
    production_date=st.none() | moments,
    vendor_info=st.none() | st.text(characters, max_size=500),
)
places: dict[str, Any] = {
    "station_id": st.just("station-01"),
    "stream_id": station_ids,
    "sequence": st.integers(0, 2**53 - 1),
    "timestamp": moments,
    "clock": st.sampled_from(Clock),
}


@st.composite
def swap_events(draw: st.DrawFn) -> SwapEvent:
    authorisation_id = draw(st.none() | station_ids)
    authority = Authority.ONLINE if authorisation_id is None else Authority.OFFLINE
    return draw(
        st.builds(
            SwapEvent,
            **places,
            step=st.sampled_from(SwapStep),
            request_id=st.integers(0, 2**31 - 1),
            id_token=hashes,
            batteries=st.lists(swapped, min_size=1, max_size=4).map(tuple),
            authority=st.just(authority),
            authorisation_id=st.just(authorisation_id),
        )
    )


@st.composite
def inventories(draw: st.DrawFn) -> InventoryEvent:
    found = []
    for number in draw(st.lists(st.integers(1, 250), min_size=1, max_size=60, unique=True)):
        occupancy = draw(st.sampled_from(Occupancy))
        serial_number = None if occupancy is Occupancy.EMPTY else draw(st.none() | serial_numbers)
        soc = draw(st.none() | percents)
        found.append(InventoryBay(bay=number, occupancy=occupancy, serial_number=serial_number, soc=soc))
    return draw(
        st.builds(
            InventoryEvent, **places, reason=st.sampled_from(InventoryReason), bays=st.just(tuple(found))
        )
    )


bay_numbers = st.none() | st.integers(1, 250)
events: st.SearchStrategy[Event] = st.one_of(
    swap_events(),
    inventories(),
    st.builds(
        AlarmEvent,
        **places,
        alarm=st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True),
        state=st.sampled_from(AlarmState),
        severity=st.sampled_from(Severity),
        bay=bay_numbers,
        detail=st.none() | short_texts,
        count=st.none() | st.integers(0, 10**9),
    ),
    st.builds(
        RefusalEvent,
        **places,
        reason=st.sampled_from(RefusalReason),
        id_token=st.none() | hashes,
        request_id=st.none() | st.integers(0, 2**31 - 1),
        bay=bay_numbers,
        battery=st.none() | swapped,
        detail=st.none() | short_texts,
    ),
)


def full_bay(number: int) -> Bay:
    battery = Battery(
        serial_number=f"BAT-{number}", soc=99, soh=97, voltage=52, current=0, temperature=25, cycles=12
    )
    return replace(charged_bay(number), battery=battery)


def over_the_wire(action: str, payload: frames.Document) -> frames.Document:
    """What the far side reads, which has passed the library's own check, too."""
    frame = frames.decode_frame(frames.encode_frame(frames.Call("1", action, payload)))
    assert isinstance(frame, frames.Call)
    _validate_payload(LibraryCall("1", action, frame.payload), "2.1")
    return frame.payload


def swap(**changes: Any) -> SwapEvent:
    event = SwapEvent(
        station_id="station-01",
        stream_id="stream-1",
        sequence=4,
        timestamp=datetime(2026, 3, 1, 5, 59, tzinfo=UTC),
        clock=Clock.SYNCHRONIZED,
        step=SwapStep.BATTERY_IN,
        request_id=12,
        id_token=HASH,
        batteries=(SwappedBattery(bay=3, serial_number="BAT-1", soc=12.5, soh=97),),
    )
    return replace(event, **changes)


# --- swaps ------------------------------------------------------------------------------------------------


@given(swap_events())
def test_a_swap_comes_back_as_it_went(event: SwapEvent) -> None:
    assert swap_event(over_the_wire("BatterySwap", battery_swap(event)), RECEIPT) == event


@given(events)
def test_whatever_has_happened_is_told_in_messages_that_the_official_schemas_allow(event: Event) -> None:
    requests = requests_of(event)
    for request in requests:
        over_the_wire(request.action, request.payload)
    assert len({request.message_id for request in requests}) == len(requests)
    assert requests == requests_of(event), "what is sent again has the same message id"
    parts = [request.payload for request in requests if request.action == "NotifyEvent"]
    assert [part["seqNo"] for part in parts] == list(range(len(parts)))
    assert [part.get("tbc", False) for part in parts] == [True] * (len(parts) - 1) + [False] * bool(parts)


@given(swap_events())
def test_no_two_steps_share_a_message_id(event: SwapEvent) -> None:
    other = replace(event, sequence=(event.sequence + 1) % 2**53)
    assert requests_of(event)[0].message_id != requests_of(other)[0].message_id


def test_a_swap_is_spelled_as_ocpp_spells_it() -> None:
    payload = battery_swap(swap())
    assert payload["batteryData"] == [{"evseId": 3, "serialNumber": "BAT-1", "soC": 12.5, "soH": 97}]
    assert payload["idToken"] == {"idToken": HASH, "type": "Central"}
    assert payload["eventType"] == "BatteryIn"
    offline = swap(authority=Authority.OFFLINE, authorisation_id="auth-9")
    assert battery_swap(offline)["idToken"] == {
        "idToken": HASH,
        "type": "Local",
        "additionalInfo": [{"additionalIdToken": "auth-9", "type": "AuthorisationId"}],
    }


def test_a_station_that_is_not_ours_is_understood_and_its_customer_is_hashed_at_once() -> None:
    payload = {
        "eventType": "BatteryOut",
        "requestId": 9,
        "idToken": {"idToken": "RFID-0001", "type": "ISO14443"},
        "batteryData": [{"evseId": 1, "serialNumber": "X", "soC": 99, "soH": 100}],
        "customData": {"vendorId": "somebody else", "sequence": "none of ours"},
    }
    event = swap_event(payload, RECEIPT)
    assert event.id_token == token_hash(KEY, "RFID-0001")
    assert (event.stream_id, event.sequence, event.timestamp) == ("from-afar", 7, RECEIPT.timestamp)
    assert event.clock is Clock.ESTIMATED
    with pytest.raises(InvalidPayload, match=r"idToken\.idToken") as caught:
        swap_event(payload, Receipt(station_id="s", stream_id="t", sequence=1, timestamp=RECEIPT.timestamp))
    assert "RFID-0001" not in str(caught.value)


ABSENT = object()


def changed(payload: frames.Document, field: str, value: object) -> frames.Document:
    """A copy of ``payload`` with ``value`` at ``field``, or without that."""
    copied: frames.Document = json.loads(json.dumps(payload))
    place: Any = copied
    *steps, last = field.replace("[0]", ".0").split(".")
    for step in steps:
        place = place[int(step)] if step.isdigit() else place[step]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return copied


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("requestId", ABSENT, "OccurrenceConstraintViolation"),
        ("requestId", "12", "TypeConstraintViolation"),
        ("requestId", -1, "PropertyConstraintViolation"),
        ("requestId", 2**31, "PropertyConstraintViolation"),
        ("eventType", "BatteryStuck", "PropertyConstraintViolation"),
        ("batteryData", [], "OccurrenceConstraintViolation"),
        ("batteryData[0].soC", 101, "PropertyConstraintViolation"),
        ("batteryData[0].SoC", 5, "FormatViolation"),
        ("batteryData[0].serialNumber", "x" * 51, "PropertyConstraintViolation"),
        ("batteryData[0].serialNumber", "", "PropertyConstraintViolation"),
        ("batteryData[0].evseId", 0, "PropertyConstraintViolation"),
        ("batteryData[0].productionDate", "March", "PropertyConstraintViolation"),
        ("customData.timestamp", "yesterday", "PropertyConstraintViolation"),
        ("customData.sequence", -4, "PropertyConstraintViolation"),
        ("customData.clock", ABSENT, "PropertyConstraintViolation"),
        ("idToken.idToken", "x" * 256, "PropertyConstraintViolation"),
        ("idtoken", "xxx", "FormatViolation"),
    ],
    ids=repr,
)
def test_a_malformed_swap_is_refused_with_its_field(field: str, value: object, code: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        swap_event(changed(battery_swap(swap()), field, value), RECEIPT)
    assert (caught.value.action, caught.value.field, caught.value.code) == ("BatterySwap", field, code)
    assert caught.value.rule
    if "token" in field.lower():
        assert "xxx" not in str(caught.value), "a customer's token is not repeated"


@given(st.integers(0, 2**31 - 1), hashes)
def test_a_request_for_a_swap_becomes_our_command(request_id: int, id_token: str) -> None:
    payload = over_the_wire("RequestBatterySwap", request_battery_swap(request_id, id_token))
    wanted = requested_swap(payload, hashed=None)
    assert (wanted.request_id, wanted.id_token) == (request_id, id_token)


@pytest.mark.parametrize(
    ("outcome", "reason", "answer"),
    [
        (Outcome.ACCEPTED, None, {"status": "Accepted"}),
        (Outcome.REJECTED, "no_battery: none is charged", "NoBatteryAvailable"),
        (Outcome.REJECTED, "busy: two swaps are under way", "TxInProgress"),
        (Outcome.REJECTED, "clock_unknown: nobody knows", "Unspecified"),
        (Outcome.EXPIRED, None, "Unspecified"),
        (Outcome.UNKNOWN, "x" * 200, "Unspecified"),
    ],
)
def test_the_station_answers_about_its_stock(outcome: Outcome, reason: str | None, answer: Any) -> None:
    told = swaps.swap_answer(result(outcome, reason))
    if isinstance(answer, str):
        assert (told["status"], told["statusInfo"]["reasonCode"]) == ("Rejected", answer)
    else:
        assert told == answer


def result(outcome: Outcome, reason: str | None = None) -> CommandResult:
    return CommandResult(
        command_id="c", station_id="station-01", outcome=outcome, timestamp=RECEIPT.timestamp, reason=reason
    )


def test_the_librarys_own_dataclass_is_refused_by_the_librarys_own_schemas() -> None:
    """Why we build the documents ourselves. When this fails, the library has been mended."""
    from ocpp.charge_point import (  # type: ignore[import-untyped]
        remove_nones,
        serialize_as_dict,
        snake_to_camel_case,
    )

    swapping = library_calls.BatterySwap(
        battery_data=[BatteryDataType(evse_id=1, serial_number="B", soc=50.0, soh=99.0)],
        event_type="BatteryIn",
        id_token=IdTokenType(id_token=HASH, type="Central"),
        request_id=1,
    )
    payload = remove_nones(snake_to_camel_case(serialize_as_dict(swapping)))
    with pytest.raises(InvalidPayload) as caught:
        checked_request("BatterySwap", payload)
    assert caught.value.field in {"batteryData[0].SoC", "batteryData[0].soh", "batteryData[0].soC"}


def test_what_a_large_station_found_is_told_in_parts() -> None:
    event = swap()
    found = InventoryEvent(
        station_id=event.station_id,
        stream_id=event.stream_id,
        sequence=event.sequence,
        timestamp=event.timestamp,
        clock=event.clock,
        reason=InventoryReason.START,
        bays=tuple(
            InventoryBay(bay=bay, occupancy=Occupancy.OCCUPIED, serial_number=f"B{bay}", soc=9.4, soh=98)
            for bay in range(1, 36)
        ),
    )
    parts = [over_the_wire(one.action, one.payload) for one in requests_of(found)]
    assert [(part["seqNo"], part.get("tbc", False)) for part in parts] == [
        (0, True),
        (1, True),
        (2, True),
        (3, False),
    ]
    told = [data for part in parts for data in part["eventData"]]
    assert len({data["eventId"] for data in told}) == len(told) == 4 * 35
    assert {data["actualValue"] for data in told if data["variable"]["name"] == "SoC"} == {"9"}


# --- the state --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "Occupied"),
        ({"occupancy": Occupancy.EMPTY, "battery": None}, "Available"),
        ({"occupancy": Occupancy.UNKNOWN, "battery": None}, "Unavailable"),
        ({"reservation": Reservation.RESERVED}, "Reserved"),
        ({"health": Health.QUARANTINED, "reservation": Reservation.RESERVED}, "Unavailable"),
        ({"health": Health.FAULT}, "Faulted"),
    ],
)
def test_available_means_empty_and_occupied_means_holds_a_battery(changes: Any, status: str) -> None:
    assert connector_status(replace(full_bay(1), **changes)) == status


@given(st.lists(st.integers(0, 4).flatmap(lambda count: readings(bay_count=count)), min_size=1, max_size=3))
def test_whatever_was_sampled_is_told_once_in_messages_that_the_schemas_allow(samples: list[Reading]) -> None:
    outlook = Outlook()
    for sample in samples:
        outlook.take(sample)
        told = outlook.news()
        for news in told:
            over_the_wire(news.action, news.payload)
            outlook.heard(news)
        assert outlook.news() == []
        over_the_wire_result("GetVariables", answer_about_everything(outlook))
    facts = outlook.facts
    outlook.tell_all_again()
    again = {fact: value for news in outlook.news() for fact, value in news.facts.items()}
    assert again == facts


def answer_about_everything(outlook: Outlook) -> frames.Document:
    payload = {"getVariableData": [fact.document() for fact in outlook.facts]}
    answer = variables.variables_answer(checked_request("GetVariables", payload), outlook.facts)
    assert {item["attributeStatus"] for item in answer["getVariableResult"]} == {"Accepted"}
    assert [item["attributeValue"] for item in answer["getVariableResult"]] == list(outlook.facts.values())
    return answer


def over_the_wire_result(action: str, payload: frames.Document) -> None:
    frame = frames.decode_frame(frames.encode_frame(frames.CallResult("1", payload)))
    assert isinstance(frame, frames.CallResult)
    checked_response(action, frame.payload)


@given(bays(1), bays(1))
def test_a_bay_that_is_seen_by_two_samples_is_as_the_newer_one_has_it(one: Bay, other: Bay) -> None:
    assume(one != other)
    first = reading(sequence=1, bays=(one,))
    second = reading(sequence=2, bays=(other,))
    forward, backward = Outlook(), Outlook()
    for sample in (first, second):
        forward.take(sample)
    for sample in (second, first):
        backward.take(sample)
    assert forward.facts == backward.facts
    assert forward.bays == backward.bays == (other,)


def reading(**changes: Any) -> Reading:
    told: dict[str, Any] = {
        "station_id": "station-01",
        "battery_available": 3,
        "battery_charging": 2,
        "temperature": 20.0,
        "humidity": 40.0,
        "status": "operational",
        "timestamp": RECEIPT.timestamp,
        "stream_id": "stream-1",
        "sequence": 1,
    }
    return Reading(**told | changes)


def test_bays_that_a_newer_sample_leaves_out_are_told_by_the_older_one() -> None:
    """The change of a large station has no bays; the batch behind it has."""
    outlook = Outlook()
    outlook.take(reading(sequence=9))
    outlook.take(reading(sequence=8, bays=(full_bay(1),), battery_available=0))
    assert outlook.bays == (full_bay(1),)
    assert "3" in {value for fact, value in outlook.facts.items() if fact.variable == "BatteriesAvailable"}


def test_only_what_has_changed_is_told() -> None:
    outlook = Outlook()
    outlook.take(reading(bays=(full_bay(1), full_bay(2))))
    for news in outlook.news():
        outlook.heard(news)
    gone = replace(full_bay(2), occupancy=Occupancy.EMPTY, battery=None)
    outlook.take(reading(sequence=2, bays=(full_bay(1), gone)))
    first, second = outlook.news()
    assert (first.payload["evseId"], first.payload["connectorStatus"]) == (2, "Available")
    assert [data["variable"]["name"] for data in second.payload["eventData"]] == ["Present"]
    assert second.payload["eventData"][0]["actualValue"] == "false"


def test_a_battery_that_comes_back_is_told_of_again() -> None:
    outlook = Outlook()
    for sequence, bay in enumerate([full_bay(1), empty(1)]):
        outlook.take(reading(sequence=sequence, bays=(bay,)))
        for news in outlook.news():
            outlook.heard(news)
    outlook.take(reading(sequence=2, bays=(full_bay(1),)))
    told = [data for news in outlook.news() for data in news.payload.get("eventData", ())]
    assert {data["variable"]["name"] for data in told} == {"Present", "SerialNumber", "SoC", "SoH"}


def empty(number: int) -> Bay:
    return replace(full_bay(number), occupancy=Occupancy.EMPTY, battery=None)


# --- the device model -------------------------------------------------------------------------------------

FACTS = variables.configured("station-01", RULES, 300)


def named(variable: str, instance: str | None = None, component: str = "BatterySwapCtrlr") -> dict[str, Any]:
    told: dict[str, Any] = {"component": {"name": component}, "variable": {"name": variable}}
    if instance:
        told["variable"]["instance"] = instance
    return told


@pytest.mark.parametrize(
    ("item", "status", "value"),
    [
        (named("Available"), "Accepted", "true"),
        (named("TargetSoC"), "Accepted", "95"),
        (named("targetsoc", component="batteryswapctrlr"), "Accepted", "95"),
        (named("MaxSoc"), "Accepted", "100"),
        (named("IdToken"), "Accepted", "station-01"),
        (named("Timeout", "In"), "Accepted", "60"),
        (named("Timeout", "Out"), "Accepted", "90"),
        (named("SwapOrder"), "Accepted", "In-Out"),
        (named("Timeout"), "UnknownVariable", None),
        (named("Colour"), "UnknownVariable", None),
        (named("Available", component="TariffCtrlr"), "UnknownComponent", None),
        ({**named("TargetSoC"), "attributeType": "MaxSet"}, "NotSupportedAttributeType", None),
    ],
)
def test_variables_are_read(item: Any, status: str, value: str | None) -> None:
    answer = variables.variables_answer({"getVariableData": [item]}, FACTS)["getVariableResult"][0]
    assert (answer["attributeStatus"], answer.get("attributeValue")) == (status, value)


@pytest.mark.parametrize(
    ("item", "value", "change"),
    [
        (named("TargetSoC"), "80.5", ("target_soc", 80.5)),
        (named("Timeout", "Out"), "120", ("out_timeout_s", 120)),
        (named("SwapOrder"), "Out-In", ("order", "out_first")),
        (named("SwapOrder"), "sideways", "InvalidValue"),
        (named("TargetSoC"), "101", "InvalidValue"),
        (named("TargetSoC"), "nan", "InvalidValue"),
        (named("Timeout", "In"), "soon", "InvalidValue"),
        (named("MaxSoc"), "90", "ReadOnly"),
        (named("Colour"), "red", None),
        (named("HeartbeatInterval", component="OCPPCommCtrlr"), "60", (None, 60)),
    ],
)
def test_variables_are_changed(item: Any, value: str, change: Any) -> None:
    (wanted,) = variables.wanted_changes({"setVariableData": [{**item, "attributeValue": value}]}, FACTS)
    if isinstance(change, tuple):
        assert (wanted.status, wanted.key, wanted.value) == (None, *change)
    elif change is None:
        assert wanted.status == "UnknownVariable"
    else:
        assert wanted.info is not None
        assert (wanted.status, wanted.info["reasonCode"]) == ("Rejected", change)
    refused = swaps.status_info("Unspecified", "not today")
    for verdict in (None, refused):
        over_the_wire_result("SetVariables", variables.changes_answer([wanted], verdict))


@pytest.mark.parametrize("base", ["ConfigurationInventory", "FullInventory"])
def test_a_report_holds_every_variable_once(base: str) -> None:
    outlook = Outlook()
    outlook.take(reading(bays=tuple(full_bay(number) for number in range(1, 36))))
    facts = FACTS | outlook.facts
    payload = {"requestId": 5, "reportBase": base}
    parts = variables.base_report(payload, facts, RECEIPT.timestamp)
    for part in parts:
        over_the_wire("NotifyReport", part)
    told = [json.dumps([one["component"], one["variable"]]) for part in parts for one in part["reportData"]]
    assert len(told) == len(set(told)) == (len(facts) if base == "FullInventory" else 5)
    assert [part["tbc"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert variables.report_answer({"requestId": 5, "reportBase": "SummaryInventory"}) == {
        "status": "NotSupported"
    }


# --- the station ------------------------------------------------------------------------------------------


def test_a_connector_is_unlocked_as_a_bay() -> None:
    assert station.wanted_unlock({"evseId": 3, "connectorId": 1}) == Unlock(bay=3)
    assert station.wanted_unlock({"evseId": 3, "connectorId": 2}) is None
    assert station.wanted_unlock({"evseId": 0, "connectorId": 1}) is None
    assert station.unlock_answer(None) == {"status": "UnknownConnector"}
    assert station.unlock_answer(result(Outcome.DONE)) == {"status": "Unlocked"}
    assert station.unlock_answer(result(Outcome.UNKNOWN, "nothing was seen"))["status"] == "UnlockFailed"


def test_a_reservation_that_names_no_bay_gets_the_fullest() -> None:
    until = RECEIPT.timestamp + timedelta(hours=1)
    payload = {
        "id": 1,
        "expiryDateTime": "2026-03-01T07:00:00Z",
        "idToken": {"idToken": HASH.upper(), "type": "Central"},
    }
    battery = full_bay(2).battery
    assert battery is not None
    less = replace(full_bay(2), battery=replace(battery, soc=battery.soc - 1))
    known = [less, full_bay(3), replace(full_bay(4), reservation=Reservation.RESERVED)]
    assert station.wanted_reservation(payload, known, hashed=None) == Reserve(
        bay=3, until=until, id_token=HASH
    )
    assert station.wanted_reservation({**payload, "evseId": 2}, known, hashed=None) == Reserve(
        bay=2, until=until, id_token=HASH
    )
    assert station.wanted_reservation(payload, [], hashed=None) is None
    with pytest.raises(InvalidPayload) as caught:
        station.wanted_reservation({**payload, "expiryDateTime": "tomorrow"}, known, hashed=None)
    assert caught.value.field == "expiryDateTime"


def test_a_registration_says_when_it_is_not_what_it_should_be() -> None:
    told = {"status": "Pending", "interval": 30, "currentTime": "2026-03-01T06:00:00Z"}
    assert station.registration(told) == station.Registration("Pending", 30, RECEIPT.timestamp)
    with pytest.raises(InvalidPayload) as caught:
        station.registration({**told, "status": "Perhaps"})
    assert caught.value.field == "status"
    with pytest.raises(InvalidPayload) as caught:
        station.registration({**told, "currentTime": "now"})
    assert caught.value.field == "currentTime"


# --- frames -----------------------------------------------------------------------------------------------

documents = st.dictionaries(st.text(characters, max_size=8), st.integers() | st.text(characters), max_size=4)
ids = st.text(characters, min_size=1, max_size=36)
texts = st.text(characters, max_size=255)


@given(
    st.one_of(
        st.builds(frames.Call, ids, texts, documents),
        st.builds(frames.CallResult, ids, documents),
        st.builds(frames.CallError, ids, texts, texts, documents),
        st.builds(frames.CallResultError, ids, texts, texts, documents),
        st.builds(frames.Send, ids, texts, documents),
    )
)
def test_a_frame_comes_back_as_it_went(frame: frames.Frame) -> None:
    assert frames.decode_frame(frames.encode_frame(frame)) == frame


@pytest.mark.parametrize(
    ("raw", "message_id"),
    [
        ("", "-1"),
        ("{}", "-1"),
        ("[]", "-1"),
        ("[true]", "-1"),
        ('[9,"7",{}]', "-1"),
        ("[2]", "-1"),
        ('[2,"7"]', "7"),
        ('[2,"7","Heartbeat",[]]', "7"),
        ('[3,"7",{"a":NaN}]', "-1"),
        ('[3,"7",{"a":1,"a":2}]', "-1"),
        (b"\xff", "-1"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_id_if_that_can_be_read(raw: Any, message_id: str) -> None:
    with pytest.raises(frames.InvalidFrame) as caught:
        frames.decode_frame(raw)
    assert caught.value.message_id == message_id


@given(st.text())
def test_any_text_is_a_frame_or_refused(text: str) -> None:
    try:
        frames.decode_frame(text)
    except frames.InvalidFrame as error:
        assert error.rule  # noqa: PT017 - either is right


@pytest.mark.parametrize("action", ["Dance", "../../etc/passwd", "BatterySwapRequest.json", "", "x" * 300])
def test_an_action_that_nobody_knows_is_no_file(action: str) -> None:
    with pytest.raises(UnknownAction):
        checked_request(action, {})


def test_a_large_station_is_told_in_messages_of_moderate_size() -> None:
    outlook = Outlook()
    outlook.take(reading(bays=tuple(full_bay(number) for number in range(1, 121))))
    assert (
        max(len(frames.encode_frame(frames.Call("1", news.action, news.payload))) for news in outlook.news())
        < 20_000
    )
