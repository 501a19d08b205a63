"""Each row of the failure table, rehearsed: the failure provoked, nothing lost, the alarm's condition met,
and the command of its runbook bringing everything back. docs/runbooks.md names these tests.

The functions are the real ones; what fails is AWS, where the SDK calls it. What CloudWatch would count is
counted here from what happened, and held against the conditions of cloud/stack/alarms.yaml.
"""

import time
from datetime import timedelta
from typing import Any

import pytest

from evswap_cloud import wiring
from evswap_cloud.archive import readings_in
from evswap_cloud.handlers import api
from evswap_cloud.operations.redrive import AT_FAULT_ELSEWHERE
from evswap_schema import Reading, decode_reading, encode_reading
from tests.cloud.api_client import EVENT
from tests.cloud.messages import NOW, delivered, delivered_batches, reading
from tests.cloud.station_events import alarm, delivered_event
from tests.integration.alarm_conditions import is_raised
from tests.integration.aws import TABLE, Aws
from tests.integration.plant import CONTEXT, Plant
from tests.integration.test_operations import empty, items, rebuild, redrive, rule_error

RTO_S = 300.0
"""The bar: five minutes from the operator's command to the whole service."""


class Killed(BaseException):
    """Lambda ends a function that takes too long: nothing in it can catch that."""


@pytest.fixture
def plant(cloud: Aws) -> Plant:
    return Plant(cloud)


def fleet(count: int = 4, sequence: int = 1) -> list[Reading]:
    """One reading each of ``count`` stations."""
    return [
        reading(
            station_id=f"station-{number:02}",
            stream_id="s",
            sequence=sequence,
            timestamp=NOW - timedelta(seconds=100 - sequence),
        )
        for number in range(count)
    ]


def send(plant: Plant, readings: list[Reading]) -> None:
    """As the rule puts batches into their queue."""
    for one in readings:
        plant.put("batch", *(batch.body for batch in delivered_batches([one])))


def archived(plant: Plant) -> list[Reading]:
    """Every reading of the archive's batches, as often as it is there."""
    return [
        decode_reading(line)
        for key in plant.cloud.keys("bulk/")
        for line in readings_in(key, plant.cloud.body(key))
    ]


def identities(readings: list[Reading]) -> set[tuple[str, int | None]]:
    return {(one.station_id, one.sequence) for one in readings}


def shown(plant: Plant) -> dict[str, int]:
    return {item["station_id"]["S"]: int(item["sequence"]["N"]) for item in items(plant.cloud, TABLE)}


def given_up(plant: Plant, queue: str = "batch-dlq") -> bool:
    """The alarm on what nobody could process."""
    return is_raised("left-over", messages=plant.waiting(queue))


# --- Lambda time-out ---


def test_a_function_that_times_out_between_its_writes_loses_nothing(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, calls, killed = fleet(), 0, 0

    def end(*_: Any) -> Any:
        raise Killed

    send(plant, sent)
    ingest = wiring.bulk_ingest()
    monkeypatch.setattr(ingest._latest, "offer", end)
    with pytest.raises(Killed):
        plant.work()
    calls, killed = calls + 1, killed + 1
    monkeypatch.undo()
    assert is_raised("function-errors", errors=killed, invocations=calls)
    assert identities(archived(plant)) == identities(sent), "archive first"
    assert shown(plant) == {}
    assert plant.waiting("batch") == len(sent), "the queue delivers again"
    plant.work()
    assert shown(plant) == {one.station_id: 1 for one in sent}
    assert identities(archived(plant)) == identities(sent)


def test_a_slow_function_raises_its_alarm_before_it_times_out() -> None:
    assert is_raised("function-duration", duration=6_000.0)
    assert not is_raised("function-duration", duration=800.0)
    assert not is_raised("function-duration", duration=None)


# --- DynamoDB throttling ---


def test_throttled_states_end_in_dead_letters_and_a_redrive_brings_them_back(plant: Plant) -> None:
    sent = fleet()
    throttled: list[Any] = []
    plant.cloud.observe("dynamodb.UpdateItem", throttled.append)
    repair = plant.cloud.refuse("dynamodb.UpdateItem", "ProvisionedThroughputExceededException")
    send(plant, sent)
    plant.work()
    assert is_raised("table-throttles", reads=None, writes=len(throttled))
    assert given_up(plant)
    assert identities(archived(plant)) == identities(sent), "archive first"
    repair()
    tallies = redrive(plant, AT_FAULT_ELSEWHERE)
    assert tallies["evswap-batch-dlq"].moved == len(sent)
    plant.work()
    assert shown(plant) == {one.station_id: 1 for one in sent}
    assert not given_up(plant)


def test_throttled_events_are_all_in_their_table_after_a_redrive(plant: Plant) -> None:
    repair = plant.cloud.refuse("dynamodb.PutItem", "ThrottlingException")
    plant.put("event", *(delivered_event(alarm(number)).body for number in range(1, 6)))
    plant.work()
    assert given_up(plant, "event-dlq")
    repair()
    redrive(plant, AT_FAULT_ELSEWHERE)
    plant.work()
    found = {item["event_id"]["S"] for item in items(plant.cloud, "evswap-events")}
    assert len(found) == 5


# --- IoT connection drop ---


def test_silent_stations_raise_their_alarms() -> None:
    """What stations do meanwhile is the edge's: it keeps everything (tests/e2e/test_nothing_lost.py)."""
    assert is_raised("stations-offline", offline=60.0, stations=1_000.0)
    assert not is_raised("stations-offline", offline=1.0, stations=1_000.0)
    assert is_raised("stations-stale", stale=11.0, stations=1_000.0)
    assert not is_raised("stations-stale", stale=0.0, stations=0.0)
    assert is_raised("push-age", age=31_000.0)


# --- S3 write failure ---


def test_where_s3_takes_nothing_nothing_is_shown_and_a_redrive_brings_all_of_it(plant: Plant) -> None:
    """The seed loses the archive and keeps the state; here the state waits for the archive."""
    sent = fleet()
    repair = plant.cloud.refuse("s3.PutObject", "SlowDown")
    send(plant, sent)
    plant.put("telemetry", delivered(reading()).body)
    plant.work()
    assert given_up(plant)
    assert given_up(plant, "telemetry-dlq")
    assert is_raised("queue-age", age=601.0)
    assert (archived(plant), shown(plant)) == ([], {})
    repair()
    redrive(plant, AT_FAULT_ELSEWHERE)
    plant.work()
    assert identities(archived(plant)) == identities(sent)
    assert len(plant.cloud.keys("telemetry/")) == 1
    assert not given_up(plant)


def test_a_lost_answer_of_s3_doubles_nothing(plant: Plant) -> None:
    repair = plant.cloud.lose_answer("s3.PutObject", where="bulk/")
    send(plant, fleet(1))
    plant.work()
    repair()
    redrive(plant, AT_FAULT_ELSEWHERE)
    plant.work()
    assert len(archived(plant)) == 1


# --- API Gateway 5xx ---


def test_an_api_without_its_table_answers_500_with_a_problem_and_recovers_by_itself(plant: Plant) -> None:
    repair = plant.cloud.refuse("dynamodb.GetItem", "InternalServerError")
    path = EVENT | {"path": "/stations/station-01"}
    answers = [api.handler(path, CONTEXT) for _ in range(6)]  # type: ignore[arg-type]
    failures = sum(answer["statusCode"] >= 500 for answer in answers)
    assert failures == 6
    assert all("problem+json" in str(answer) for answer in answers)
    assert is_raised("api-5xx", failures=failures)
    assert not is_raised("api-5xx", failures=5)
    repair()
    assert api.handler(path, CONTEXT)["statusCode"] == 404  # type: ignore[arg-type]


def test_a_slow_api_raises_its_alarm() -> None:
    assert is_raised("api-latency", latency=1_200.0)
    assert not is_raised("api-latency", latency=None)


# --- a rule that cannot hand on, a change that is not taken ---


def test_what_a_rule_could_not_hand_on_is_brought_back(plant: Plant) -> None:

    plant.put("rule-errors", rule_error(encode_reading(reading()), "ev/station/station-01/telemetry"))
    assert given_up(plant, "rule-errors")
    redrive(plant, AT_FAULT_ELSEWHERE)
    plant.work()
    assert len(plant.cloud.keys("telemetry/")) == 1


def test_a_missing_rule_is_an_alarm_as_nothing_else_tells_of_it() -> None:
    assert is_raised("rule-failures", missing=1, unparsed=None, throttled=None)
    assert is_raised("function-drops", dropped=1)
    assert is_raised("function-delay", age=5_001.0)
    assert is_raised("function-throttles", throttles=1)


# --- data lost, code broken ---


def test_the_latest_states_are_rebuilt_within_the_recovery_time(plant: Plant) -> None:
    """Recovery point: what was acknowledged, which a station hears when the archive has it."""
    sent = [one for sequence in range(1, 6) for one in fleet(10, sequence)]
    send(plant, sent)
    plant.work()
    before = items(plant.cloud, TABLE)
    empty(plant.cloud, TABLE, "station_id")
    began = time.monotonic()
    rebuilt = rebuild(plant)
    seconds = time.monotonic() - began
    lost = len(identities(sent) - identities(archived(plant)))
    print(
        f"\nlatest states: {len(rebuilt.stations)} stations of {len(sent)} acknowledged readings rebuilt in "
        f"{seconds:.2f} s (RTO, bar {RTO_S:.0f} s); lost {lost} (RPO, bar 0)"
    )
    assert items(plant.cloud, TABLE) == before
    assert lost == 0
    assert seconds < RTO_S
