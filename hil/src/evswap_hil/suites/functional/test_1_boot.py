"""From nothing to the cloud."""

import pytest

from evswap_hil.bench.facade import Bench
from evswap_hil.bench.measuring import Measured
from evswap_hil.observers.rest import SEED_FIELDS


@pytest.mark.requirement("REQ-BOOT-1")
def test_a_booted_station_comes_online(bench: Bench, measured: Measured) -> None:
    bench.go("off")
    bench.go("booted")
    measured({"time to online": bench.go("online")})


@pytest.mark.requirement("REQ-STATE-1")
def test_the_api_shows_the_seven_fields(online: Bench, measured: Measured) -> None:
    measured({"fields missing": len(set(SEED_FIELDS) - online.state().keys())})
