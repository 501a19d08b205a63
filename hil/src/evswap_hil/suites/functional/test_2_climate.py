"""What the sensor measures is what the API shows: each quantity by itself, the other one held."""

from collections.abc import Callable, Iterator

import pytest

from evswap_hil.bench.facade import Bench, State
from evswap_hil.bench.measuring import Measured
from evswap_hil.report.record import NEVER

TEMPERATURES = (35.5, -12.3, 21.0)
HUMIDITIES = (78.9, 5.1, 45.0)
"""None of one is near to one of the other: a reading of the wrong register is off by more than any limit."""


@pytest.mark.requirement("REQ-CLIMATE-1")
def test_temperature(online: Bench, measured: Measured) -> None:
    follow(online, "temperature", online.climate.temperature, TEMPERATURES, measured)


@pytest.mark.requirement("REQ-CLIMATE-2")
def test_humidity(online: Bench, measured: Measured) -> None:
    follow(online, "humidity", online.climate.humidity, HUMIDITIES, measured)


def follow(
    bench: Bench,
    field: str,
    stimulate: Callable[[float], None],
    values: tuple[float, ...],
    measured: Measured,
) -> None:
    """Measure the worst of all values; the first that never arrives is the last one tried."""
    answers = list(_answers(bench, field, stimulate, values, measured))
    deviations, delays = zip(*answers, strict=True)
    measured({"deviation": max(deviations), "delay": max(delays)})


def _answers(
    bench: Bench,
    field: str,
    stimulate: Callable[[float], None],
    values: tuple[float, ...],
    measured: Measured,
) -> Iterator[tuple[float, float]]:
    tolerance, delay = measured.required.limit("deviation"), measured.required.limit("delay")
    for value in values:
        stimulate(value)

        def shown(state: State, value: float = value) -> bool:
            return tolerance.holds(deviation(state.get(field), value))

        looked = bench.look(shown, allowed=delay.at_most or 0.0)
        yield deviation(looked.state.get(field), value), looked.seconds
        if looked.seconds == NEVER:
            return


def deviation(shown: float | None, value: float) -> float:
    """How far off; NEVER where nothing is shown. A decimal fraction is not quite itself in binary."""
    return NEVER if shown is None else round(abs(shown - value), 6)
