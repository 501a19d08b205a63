"""The end that is asked for."""

import pytest

from evswap_hil.bench.facade import Bench, now, sampled
from evswap_hil.bench.measuring import Measured
from evswap_hil.deadline import NotInTime, wait_until
from evswap_hil.report.record import NEVER


@pytest.mark.requirement("REQ-STOP-1")
def test_a_graceful_stop(online: Bench, measured: Measured) -> None:
    told = now()
    seconds = online.go("booted")
    allowed = measured.required.limit("age of its last sample")
    age = age_of_the_last_sample(online, told.timestamp(), allowed.at_most or 0.0)
    measured({"time to stop": seconds, "exit status": online.exit_status, "age of its last sample": age})


def age_of_the_last_sample(bench: Bench, told: float, allowed: float) -> float:
    """How old the newest sample in the cloud was when the station was told to stop; never less than 0."""
    found = [NEVER]

    def young_enough() -> bool:
        found[:] = [max(0.0, told - sampled(bench.state()).timestamp())]
        return found[0] <= allowed

    try:
        wait_until(young_enough, what="the last sample", within=10.0)
    except NotInTime:
        return found[0]
    return found[0]
