import json
from datetime import timedelta

import pytest
from msgspec.structs import replace

from evswap_schema import (
    AlarmEvent,
    AlarmState,
    Authorisation,
    Authority,
    CacheAuthorisations,
    Clock,
    Command,
    CommandResult,
    Event,
    InvalidField,
    InvalidMessage,
    InventoryBay,
    InventoryEvent,
    InventoryReason,
    Occupancy,
    Outcome,
    ReadNow,
    RefusalEvent,
    RefusalReason,
    RequestSwap,
    Reserve,
    SetCharging,
    SetConfiguration,
    Severity,
    SignedAuthorisation,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    Unlock,
    decode_authorisation,
    decode_command,
    decode_event,
    decode_result,
    encode_authorisation,
    encode_command,
    encode_event,
    encode_result,
    token_hash,
)
from evswap_schema.commands import Action
from evswap_schema.limits import MAX_AUTHORISATIONS, MAX_BAYS, MAX_COMMAND_BYTES, MAX_EVENT_BYTES
from tests.shared.cabinets import START

TOKEN = "0f" * 32
SWAP = SwapEvent(
    station_id="station-01",
    stream_id="stream-a",
    sequence=7,
    timestamp=START,
    clock=Clock.SYNCHRONIZED,
    step=SwapStep.BATTERY_IN,
    request_id=41,
    id_token=TOKEN,
    batteries=(SwappedBattery(bay=3, serial_number="EVS-1", soc=12.5, soh=96.0),),
)
ALARM = AlarmEvent(
    station_id="station-01",
    stream_id="stream-a",
    sequence=8,
    timestamp=START,
    clock=Clock.ESTIMATED,
    alarm="bay_over_temperature",
    state=AlarmState.RAISED,
    severity=Severity.CRITICAL,
    bay=3,
)
REFUSAL = RefusalEvent(
    station_id="station-01",
    stream_id="stream-a",
    sequence=9,
    timestamp=START,
    clock=Clock.SYNCHRONIZED,
    reason=RefusalReason.NO_BATTERY,
)
INVENTORY = InventoryEvent(
    station_id="station-01",
    stream_id="stream-a",
    sequence=10,
    timestamp=START,
    clock=Clock.SYNCHRONIZED,
    reason=InventoryReason.CONTRADICTED,
    bays=(InventoryBay(bay=1, occupancy=Occupancy.OCCUPIED, serial_number="EVS-1", soc=20.0, soh=98.0),),
)
AUTHORISATION = Authorisation(
    authorisation_id="auth-1",
    id_token=TOKEN,
    valid_from=START,
    expires_at=START + timedelta(days=1),
    max_swaps=2,
)
SIGNED = SignedAuthorisation(
    payload=encode_authorisation(AUTHORISATION), key_id="network-1", signature=bytes(64)
)
ACTIONS: list[Action] = [
    Reserve(bay=1, until=START, id_token=TOKEN),
    Unlock(bay=1),
    SetCharging(bay=1, enabled=False),
    RequestSwap(request_id=41, id_token=TOKEN, tier="plus"),
    CacheAuthorisations(authorisations=(SIGNED,), withdrawn=("auth-0",)),
    ReadNow(),
    SetConfiguration(configuration={"sampling": {"interval_s": 1}}),
]


def command(action: Action) -> Command:
    return Command(
        command_id="c-1",
        station_id="station-01",
        issued_at=START,
        expires_at=START + timedelta(minutes=1),
        action=action,
    )


@pytest.mark.parametrize(
    "event",
    [
        SWAP,
        replace(SWAP, authority=Authority.OFFLINE, authorisation_id="auth-1"),
        ALARM,
        REFUSAL,
        replace(REFUSAL, id_token=TOKEN, request_id=41, bay=3, battery=SWAP.batteries[0]),
        INVENTORY,
    ],
)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_a_command_is_read_as_it_was_written(action: Action) -> None:
    assert decode_command(encode_command(command(action))) == command(action)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_result_is_read_as_it_was_written(outcome: Outcome) -> None:
    result = CommandResult(
        command_id="c-1", station_id="s", outcome=outcome, timestamp=START, reason="door open"
    )
    assert decode_result(encode_result(result)) == result


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id_token": "1234 5678 customer card"}, "id_token"),
        ({"batteries": []}, "batteries"),
        ({"kind": "party"}, "kind"),
        ({"request_id": -1}, "request_id"),
        ({"timestamp": "2026-11-23 08:00:00Z"}, "timestamp"),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused(changes: dict[str, object], field: str) -> None:
    raw = json.dumps({**json.loads(encode_event(SWAP)), **changes}).encode()
    with pytest.raises(InvalidField) as caught:
        decode_event(raw)
    assert caught.value.field == field


def test_a_command_that_expires_before_it_is_issued_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="expires_at"):
        replace(command(ReadNow()), expires_at=START)


def test_a_command_with_an_unknown_action_is_refused() -> None:
    raw = encode_command(command(ReadNow())).replace(b"read_now", b"self_destruct")
    with pytest.raises(InvalidField) as caught:
        decode_command(raw)
    assert caught.value.field == "action.action"


@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")], ids=["list", "object"])
def test_no_depth_of_nesting_is_more_than_an_invalid_message(opening: str, closing: str) -> None:
    """Also close to the interpreter's limit, where it can still be read and not be shown any more."""
    for depth in (10, 500, *range(800, 1_050)):
        raw = f'{{"command_id": {opening * depth}1{closing * depth}}}'.encode()
        with pytest.raises(InvalidMessage):
            decode_command(raw)


@pytest.mark.parametrize(
    ("authority", "authorisation_id"), [(Authority.OFFLINE, None), (Authority.ONLINE, "auth-1")]
)
def test_a_swap_names_its_authorisation_when_the_station_gave_it_and_only_then(
    authority: Authority, authorisation_id: str | None
) -> None:
    with pytest.raises(ValueError, match="authorisation_id"):
        replace(SWAP, authority=authority, authorisation_id=authorisation_id)


def test_an_inventory_contradicts_neither_itself_nor_reason() -> None:
    with pytest.raises(ValueError, match="once"):
        replace(INVENTORY, bays=INVENTORY.bays * 2)
    with pytest.raises(ValueError, match="empty"):
        replace(INVENTORY.bays[0], occupancy=Occupancy.EMPTY)


def test_the_inventory_of_the_largest_station_is_still_one_message_that_is_read() -> None:
    bays = tuple(replace(INVENTORY.bays[0], bay=number) for number in range(1, MAX_BAYS + 1))
    raw = encode_event(replace(INVENTORY, bays=bays))
    assert len(raw) < MAX_EVENT_BYTES
    assert decode_event(raw) == replace(INVENTORY, bays=bays)


def test_an_authorisation_is_read_as_it_was_written_and_signed_as_it_is_written() -> None:
    payload = encode_authorisation(AUTHORISATION)
    assert decode_authorisation(payload) == AUTHORISATION
    assert payload == json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":")).encode()


def test_another_signed_document_is_no_authorisation() -> None:
    with pytest.raises(InvalidField):
        decode_authorisation(encode_authorisation(AUTHORISATION).replace(b'"authorisation"', b'"receipt"'))


def test_an_authorisation_that_never_holds_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="expires_at"):
        replace(AUTHORISATION, expires_at=START)


def test_as_many_authorisations_as_a_command_may_hold_fit_into_it() -> None:
    long = replace(
        AUTHORISATION, authorisation_id="a" * 64, stations=("s" * 64,), tier="t" * 64, max_swaps=1_000
    )
    signed = replace(SIGNED, payload=encode_authorisation(long), key_id="k" * 64)
    raw = encode_command(command(CacheAuthorisations(authorisations=(signed,) * MAX_AUTHORISATIONS)))
    assert len(raw) <= MAX_COMMAND_BYTES


def test_to_cache_nothing_is_no_command() -> None:
    with pytest.raises(ValueError, match="name one"):
        CacheAuthorisations()


def test_a_token_is_hashed_with_the_key_of_its_network() -> None:
    """RFC 4231, test case 2, with its key brought to a length that is allowed: HMAC pads with zeros."""
    key = b"Jefe".ljust(32, b"\0")
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert token_hash(key, "what do ya want for nothing?") == expected
    with pytest.raises(ValueError, match="32 bytes"):
        token_hash(b"Jefe", "what do ya want for nothing?")
