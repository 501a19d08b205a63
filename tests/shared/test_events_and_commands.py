import json
from datetime import timedelta

import pytest
from msgspec.structs import replace

from evswap_schema import (
    AlarmEvent,
    AlarmState,
    Clock,
    Command,
    CommandResult,
    Event,
    InvalidField,
    InvalidMessage,
    Outcome,
    ReadNow,
    RequestSwap,
    Reserve,
    SetCharging,
    SetConfiguration,
    Severity,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    Unlock,
    decode_command,
    decode_event,
    decode_result,
    encode_command,
    encode_event,
    encode_result,
)
from evswap_schema.commands import Action
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
ACTIONS: list[Action] = [
    Reserve(bay=1, until=START, id_token=TOKEN),
    Unlock(bay=1),
    SetCharging(bay=1, enabled=False),
    RequestSwap(request_id=41, id_token=TOKEN),
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


@pytest.mark.parametrize("event", [SWAP, ALARM])
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
