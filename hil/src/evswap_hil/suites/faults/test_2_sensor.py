"""The climate sensor fails, in each of its ways."""

from datetime import datetime

import pytest

from evswap_hil.bench.facade import Bench, State, now
from evswap_hil.bench.measuring import Measured
from evswap_hil.emulator import Fault

FIELDS = ("temperature", "humidity")
FAILED = "failed"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.SILENT, marks=pytest.mark.requirement("REQ-SENSOR-1")),
        pytest.param(Fault.CRC, marks=pytest.mark.requirement("REQ-SENSOR-2")),
        pytest.param(Fault.WRONG_LENGTH, marks=pytest.mark.requirement("REQ-SENSOR-3")),
        pytest.param(Fault.OUT_OF_RANGE, marks=pytest.mark.requirement("REQ-SENSOR-4")),
    ],
)
def test_a_failing_sensor_is_told_and_forgiven(online: Bench, measured: Measured, fault: Fault) -> None:
    began = now()
    online.climate.fail(fault)
    failed = online.look(nothing_is_shown, allowed=allowed(measured, "shown as null"))
    marked = fields_marked(online, began, failed.state) if nothing_is_shown(failed.state) else 0
    online.climate.heal()
    again = online.look(all_is_shown, allowed=allowed(measured, "shown again"))
    measured(
        {
            "shown as null": failed.seconds,
            "fields marked failed": marked,
            "shown again": again.seconds,
        }
    )


def allowed(measured: Measured, name: str) -> float:
    return measured.required.limit(name).at_most or 0.0


def fields_marked(bench: Bench, began: datetime, state: State) -> int:
    """How many fields the archive's copy of that reading calls failed: the API shows the value alone."""
    number = int(state["sequence"])
    readings = bench.account(began, first=number, last=number).readings
    quality = next((each.quality or {} for each in readings if each.sequence == number), {})
    return sum(quality.get(field) == FAILED for field in FIELDS)


def nothing_is_shown(state: State) -> bool:
    return all(field in state and state[field] is None for field in FIELDS)


def all_is_shown(state: State) -> bool:
    return all(state.get(field) is not None for field in FIELDS)
