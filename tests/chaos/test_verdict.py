"""The judge itself, on evidence that is made up: what it must not let pass, and what it must not mind."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from evswap_schema import Clock, Reading, StationStatus, encode_reading
from tests.chaos.proxy import Connection
from tests.chaos.recorder import Arrival
from tests.chaos.truth import Accepted, Identity, arrived
from tests.chaos.verdict import Evidence, judge, longest_fall

START: Final = datetime(2026, 11, 23, 8, tzinfo=UTC)
TOPIC: Final = "ev/station/station-01/telemetry"


def body(sequence: int, *, temperature: float = 20.0) -> bytes:
    return encode_reading(
        Reading(
            station_id="station-01",
            battery_available=1,
            battery_charging=0,
            temperature=temperature,
            humidity=40.0,
            status=StationStatus.OPERATIONAL,
            timestamp=START + timedelta(seconds=sequence),
            stream_id="stream-a",
            sequence=sequence,
            clock=Clock.SYNCHRONIZED,
        )
    )


def accepted(*sequences: int, durable: bool = True) -> list[Accepted]:
    return [Accepted(Identity("stream-a", one), False, durable, float(one), body(one)) for one in sequences]


def sent(*sequences: int) -> list[Arrival]:
    return [Arrival(TOPIC, body(one), 100 + one) for one in sequences]


def evidence(taken: Sequence[Accepted], came: Sequence[Arrival], *wire: Sequence[Arrival]) -> Evidence:
    return Evidence(
        accepted=taken,
        arrived=list(arrived(came)),
        connections=[Connection(published=list(published)) for published in wire or [came]],
        window=2,
        kills=[],
        ends=[1_000.0],
        answer_s=3.0,
    )


def faults(case: Evidence) -> str:
    return "; ".join(judge(case).faults)


def test_all_is_well() -> None:
    assert faults(evidence(accepted(1, 2, 3), sent(1, 2, 3))) == ""


def test_a_loss_is_seen() -> None:
    assert "1 lost: stream-a/2" in faults(evidence(accepted(1, 2, 3), sent(1, 3)))


def test_what_memory_held_is_excused_when_its_process_ended() -> None:
    case = evidence([*accepted(1), *accepted(2, durable=False)], sent(1))
    assert "lost" in faults(case)
    assert faults(replace(case, ends=[500.0, 1_000.0])) == ""


def test_what_nobody_accepted_is_seen_but_for_a_kill() -> None:
    case = evidence(accepted(1), sent(1, 2))
    assert "arrived that nobody accepted" in faults(case)
    assert faults(replace(case, kills=[50.0])) == ""


def test_two_samples_of_one_name_are_seen() -> None:
    assert "one identity" in faults(evidence(accepted(1, 1), sent(1)))


def test_an_altered_value_is_seen() -> None:
    changed = Arrival(TOPIC, body(1, temperature=21.0), 101.0)
    assert "altered" in faults(evidence(accepted(1), [changed]))


def test_a_corrected_estimate_is_none() -> None:
    estimated = json.loads(body(1)) | {"clock": "estimated", "timestamp": "2026-11-20T08:00:01Z"}
    taken = [replace(accepted(1)[0], body=json.dumps(estimated).encode())]
    assert faults(evidence(taken, sent(1))) == ""


@pytest.mark.parametrize(("numbers", "length"), [([1, 2, 3], 1), ([4, 1, 5, 2], 2), ([3, 2, 1], 3), ([], 0)])
def test_the_longest_fall(numbers: list[int], length: int) -> None:
    assert longest_fall(numbers) == length


def test_live_and_backlog_may_mix_and_no_more() -> None:
    assert faults(evidence(accepted(1, 2, 3, 4), sent(3, 1, 4, 2))) == ""
    assert "order of sample" in faults(evidence(accepted(1, 2, 3, 4), sent(4, 3, 1, 2)))


def test_a_window_for_each_reconnection_may_be_repeated() -> None:
    taken, came = accepted(1, 2, 3), sent(1, 2, 3)
    assert faults(evidence(taken, came, sent(1, 2, 3), sent(2, 3))) == ""
    assert "3 sent again, 2 allowed" in faults(evidence(taken, came, sent(1, 2, 3), sent(1, 2, 3)))


def test_an_unanswered_message_may_be_asked_for_again_on_its_connection() -> None:
    late = [Arrival(TOPIC, body(1), 104.5)]
    assert faults(evidence(accepted(1), sent(1), [*sent(1), *late])) == ""
    assert "1 sent again" in faults(evidence(accepted(1), sent(1), [*sent(1), *sent(1)]))


def test_a_state_that_goes_back_is_seen() -> None:
    """The cloud goes by number and time; here the order of measuring was another."""
    first, second = accepted(1)[0], accepted(2)[0]
    case = evidence([second, first], sent(1, 2))
    assert "went back" in faults(case)
    assert faults(replace(case, states_compare=False)) == ""
