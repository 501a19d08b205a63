"""The recipe's own lifecycle, in an empty folder, under a nucleus that speaks the real wire."""

from collections.abc import Callable
from typing import Any

from tests.greengrass.device import ComponentProcess, Device, NucleusProcess

RESTART = 4
STATION: dict[str, Any] = {
    "driver": {"name": "simulated", "bays": 8},
    "sampling": {"interval_s": 0.1},
    "reporting": {"mode": "every-sample", "batch_age_s": 1},
    "publishing": {"retry_max_s": 1, "backlog_per_s": 0, "backlog_jitter_s": 0, "confirmation_timeout_s": 5},
}

StartNucleus = Callable[[], NucleusProcess]
Start = Callable[[NucleusProcess], ComponentProcess]


def without_gap(sequences: list[int]) -> bool:
    return set(sequences) == set(range(1, max(sequences) + 1))


def test_it_publishes_follows_its_configuration_and_stops_when_told(
    device: Device, start_nucleus: StartNucleus, start: Start
) -> None:
    nucleus = start_nucleus()
    nucleus.configure(STATION)
    component = start(nucleus)
    nucleus.until(lambda: nucleus.states() == ["RUNNING"])
    nucleus.until(lambda: len(nucleus.sequences()) >= 5)
    assert nucleus.batches() == 0

    nucleus.configure({"sampling": {"interval_s": "never"}})
    nucleus.until(lambda: component.said("new configuration refused, the one before stays"))
    seen = len(nucleus.sequences())
    nucleus.until(lambda: len(nucleus.sequences()) > seen + 3)

    nucleus.configure({"sampling": {"interval_s": "0.1"}, "reporting": {"mode": "on-change"}})
    nucleus.until(lambda: nucleus.batches() >= 2)
    assert component.said("new configuration applied")

    assert component.stop() == 0
    assert device.waiting() == 0
    assert nucleus.sequences() == list(range(1, len(nucleus.sequences()) + 1))
    assert nucleus.status()["refused"] == {}
    assert nucleus.stop() == 0


def test_a_nucleus_that_goes_costs_a_restart_and_no_sample(
    device: Device, start_nucleus: StartNucleus, start: Start
) -> None:
    """Restarted and killed with messages under way; the component is started anew, as systemd does."""
    nucleus = start_nucleus()
    nucleus.configure(STATION)
    component = start(nucleus)
    arrived: list[int] = []
    for end in ("restart", "kill", "restart"):
        seen = len(nucleus.sequences())
        nucleus.until(lambda: len(nucleus.sequences()) > seen + 3)  # noqa: B023
        nucleus.obey("answers hold")
        nucleus.until(lambda: nucleus.status()["waiting_for_an_answer"] >= 2)  # noqa: B023
        if end == "kill":
            nucleus.kill()
            arrived += nucleus.sequences()
            assert component.ended() == RESTART
            nucleus = start_nucleus()
            nucleus.configure(STATION)
        else:
            nucleus.restart()
            assert component.ended() == RESTART
            nucleus.obey("answers release")
        component = start(nucleus)
    seen = len(nucleus.sequences())
    nucleus.until(lambda: len(nucleus.sequences()) > seen + 3)
    assert component.stop() == 0
    assert device.waiting() == 0
    assert without_gap(arrived + nucleus.sequences())


def test_ten_publishes_are_under_way_at_most_and_a_broker_that_is_away_is_waited_for(
    device: Device, start_nucleus: StartNucleus, start: Start
) -> None:
    nucleus = start_nucleus()
    nucleus.configure(STATION)
    component = start(nucleus)
    nucleus.until(lambda: len(nucleus.sequences()) >= 3)

    nucleus.obey("answers hold")
    nucleus.until(lambda: nucleus.status()["waiting_for_an_answer"] == 10)
    nucleus.until(lambda: device.waiting() >= 15)
    status = nucleus.status()
    assert (status["waiting_for_an_answer"], status["most_under_way"], status["refused"]) == (10, 10, {})
    nucleus.obey("answers release")

    nucleus.obey("broker down")
    nucleus.until(lambda: component.said("way to AWS IoT Core"))
    nucleus.until(lambda: device.waiting() >= 5)
    nucleus.obey("broker up")
    nucleus.until(lambda: device.waiting() <= 1)
    assert component.stop() == 0
    assert device.waiting() == 0
    assert without_gap(nucleus.sequences())


def test_what_the_nucleus_loses_with_success_and_a_kill_between_cost_nothing(
    device: Device, start_nucleus: StartNucleus, start: Start
) -> None:
    nucleus = start_nucleus()
    nucleus.configure(STATION)
    component = start(nucleus)
    nucleus.until(lambda: len(nucleus.sequences()) >= 3)
    nucleus.obey("broker losing")
    nucleus.until(lambda: nucleus.status()["lost"] >= 10)
    component.kill()
    component = start(nucleus)
    lost = nucleus.status()["lost"]
    nucleus.until(lambda: nucleus.status()["lost"] >= lost + 10)
    nucleus.obey("broker up")
    nucleus.until(lambda: len(set(nucleus.sequences())) >= 30 and without_gap(nucleus.sequences()))
    assert component.stop() == 0
    assert device.waiting() == 0
    assert without_gap(nucleus.sequences())


def test_without_a_driver_it_ends_and_says_what_to_deploy(
    device: Device, start_nucleus: StartNucleus, start: Start
) -> None:
    """A cabinet that nobody described must not report simulated batteries."""
    nucleus = start_nucleus()
    component = start(nucleus)
    assert component.ended() == 2
    assert component.said("driver: is missing: deploy one")
    assert nucleus.states() == ["ERRORED"]
    assert not (device.work / "outbox.sqlite").exists()
