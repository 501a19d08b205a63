"""What an operator does, on the real handlers and stores: redrive, restore, roll back, try."""

import argparse
import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from evswap_cloud.latest import DynamoLatestStates
from evswap_cloud.operations.command_line import operations
from evswap_cloud.operations.errors import NotOperated
from evswap_cloud.operations.rebuild import rebuild_latest
from evswap_cloud.operations.redrive import AT_FAULT_ELSEWHERE, Origin, Redrive, Tally
from evswap_cloud.operations.tables import copy_items, put_back, restore_table
from evswap_schema import Channel, encode_reading
from tests.cloud.messages import NOW, bay, delivered_batches, envelope, reading
from tests.integration.aws import BUCKET, HISTORY, TABLE, Aws
from tests.integration.plant import Plant


@pytest.fixture
def plant(cloud: Aws) -> Plant:
    return Plant(cloud)


def silent(_line: str) -> None:
    """Tells nobody."""


def redrive(
    plant: Plant, origins: Sequence[Origin], *, execute: bool = True, reason: str | None = None
) -> dict[str, Tally]:
    work = Redrive(plant.deployment(), execute=execute, rate=None, tell=silent)
    return {tally.place: tally for tally in work.run(origins, reason=reason)}


def operate(plant: Plant, command: str, *arguments: str) -> int:
    """The command as it is given."""
    _text, add_arguments, report = operations()[command]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return report(parser.parse_args(arguments), plant.deployment())


def seed(**changes: Any) -> str:
    return envelope(encode_reading(reading(**changes)))


def change_of(sequence: int) -> str:
    body = encode_reading(reading(stream_id="s", sequence=sequence))
    return envelope(body, channel=Channel.CHANGE)


def failed_call(sequence: int) -> str:
    """Lambda's record of a call that failed to the last."""
    return json.dumps(
        {
            "version": "1.0",
            "timestamp": "2026-11-23T08:16:00.000Z",
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 2},
            "requestPayload": json.loads(change_of(sequence)),
            "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
        }
    )


def rule_error(payload: bytes, topic: str, client: str = "station-01") -> str:
    """AWS IoT's record of an action that failed."""
    return json.dumps(
        {
            "ruleName": "evswap_telemetry",
            "topic": topic,
            "cloudwatchTraceId": "trace",
            "clientId": client,
            "base64OriginalPayload": base64.b64encode(payload).decode(),
            "failures": [{"failedAction": "SqsAction", "errorMessage": "made up"}],
        }
    )


# --- redrive ---


def test_all_four_envelopes_are_brought_back_and_a_second_time_finds_nothing(plant: Plant) -> None:
    moments = [NOW - timedelta(seconds=number) for number in range(1, 4)]
    plant.put("telemetry-dlq", seed(timestamp=moments[0]))
    plant.put("change-failures", failed_call(7))
    plant.put(
        "rule-errors",
        rule_error(encode_reading(reading(timestamp=moments[1])), "ev/station/station-01/telemetry"),
    )
    plant.cloud.s3.put_object(
        Bucket=BUCKET,
        Key="quarantine/year=2026/month=11/day=23/station-01_x.bin",
        Body=encode_reading(reading(timestamp=moments[2])),
        Metadata={
            "reason": "wrong-client",
            "topic": "ev/station/station-01/telemetry",
            "client-id": "station-01",
            "received-at": "2026-11-23T08%3A15%3A30.250000Z",
        },
    )
    tallies = redrive(plant, list(Origin))
    assert [tally.moved for tally in tallies.values() if tally.found] == [1, 1, 1, 1]
    plant.work()
    assert len(plant.cloud.keys("telemetry/")) == 3
    assert plant.cloud.keys("quarantine/") == []
    item = plant.cloud.item("station-01")
    assert item is not None
    assert item["sequence"] == {"N": "7"}, "the change has been applied"
    assert [tally.found for tally in redrive(plant, list(Origin)).values()] == [0] * len(tallies)


def test_without_execute_everything_is_counted_and_stays(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    plant.put("batch-dlq", "x", "y")
    plant.put("rule-errors", "z")
    assert operate(plant, "redrive") == 0
    said = capsys.readouterr().out
    assert "dead-letters: evswap-batch-dlq: 2 found, 0 moved, 0 kept" in said
    assert "Add --execute" in said
    assert (plant.waiting("batch-dlq"), plant.waiting("rule-errors"), plant.waiting("batch")) == (2, 1, 0)


def test_what_cannot_go_on_stays_with_its_reason(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    plant.put(
        "rule-errors",
        "no record",
        rule_error(b"{}", "ev/station/station-01/elsewhere"),
        rule_error(b"{}", "x"),
    )
    assert operate(plant, "redrive", "--from", "rule-errors", "--execute") == 1
    said = capsys.readouterr().out
    assert "3 found, 0 moved, 3 kept" in said
    assert "1 x no rule takes ev/station/station-01/elsewhere" in said
    assert plant.waiting("rule-errors") == 3


def test_a_call_that_fails_again_stays(plant: Plant) -> None:
    plant.put("change-failures", failed_call(1))
    repair = plant.cloud.refuse("dynamodb.UpdateItem", "ThrottlingException")
    [tally] = redrive(plant, [Origin.FAILED_CALLS]).values()
    assert (tally.moved, tally.kept) == (0, 1)
    assert tally.problems == {"evswap-change:live has failed again": 1}
    repair()
    [tally] = redrive(plant, [Origin.FAILED_CALLS]).values()
    assert (tally.moved, plant.waiting("change-failures")) == (1, 0)


def test_basic_ingests_topic_is_the_rules(plant: Plant) -> None:
    body = encode_reading(reading(stream_id="s", sequence=1))
    topic = "$aws/rules/evswap_change/ev/station/station-01/telemetry/change"
    plant.put("rule-errors", rule_error(body, topic))
    [tally] = redrive(plant, [Origin.RULE_ERRORS]).values()
    assert tally.moved == 1
    assert plant.cloud.item("station-01") is not None


def test_what_is_refused_again_is_in_quarantine_again_and_not_lost(plant: Plant) -> None:
    """Its name is the same, so only the version that was read may go."""
    plant.put("telemetry", envelope(b"not json"))
    plant.work()
    [key] = plant.cloud.keys("quarantine/")
    [tally] = redrive(plant, [Origin.QUARANTINE]).values()
    assert tally.moved == 1
    plant.work()
    assert plant.cloud.keys("quarantine/") == [key]
    assert plant.cloud.body(key) == b"not json"


def test_only_what_was_refused_for_the_reason_comes_back(plant: Plant) -> None:
    plant.put("telemetry", envelope(b"not json"), seed(station_id="station-02"))
    plant.work()
    [tally] = redrive(plant, [Origin.QUARANTINE], reason="wrong-station").values()
    assert (tally.found, tally.moved) == (1, 1)


def test_quarantine_is_left_alone_unless_it_is_named() -> None:
    assert Origin.QUARANTINE not in AT_FAULT_ELSEWHERE


def test_where_aws_moves_dead_letters_itself_it_is_let_and_watched() -> None:
    """moto and ministack have no message move tasks: what is asked of AWS, and what its answers mean."""
    states = [
        {"Status": "RUNNING", "ApproximateNumberOfMessagesMoved": 1},
        {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 2},
    ]
    deployment = _moving(states)
    [tally] = Redrive(deployment, execute=True, rate=50, tell=silent).run([Origin.DEAD_LETTERS])
    assert (tally.found, tally.moved) == (2, 2)
    assert deployment.asked == [{"SourceArn": "arn:dlq", "MaxNumberOfMessagesPerSecond": 50}]
    failing = _moving([{"Status": "FAILED", "FailureReason": "AccessDenied"}])
    with pytest.raises(NotOperated, match="AccessDenied"):
        Redrive(failing, execute=True, rate=None, tell=silent).run([Origin.DEAD_LETTERS])


def _moving(states: list[dict[str, Any]]) -> Any:
    from types import SimpleNamespace

    from evswap_cloud.operations.deployment import DeadLetters

    asked: list[dict[str, Any]] = []
    sqs = SimpleNamespace(
        get_queue_attributes=lambda **_: {"Attributes": {"ApproximateNumberOfMessages": "2"}},
        start_message_move_task=lambda **arguments: asked.append(arguments),
        list_message_move_tasks=lambda **_: {"Results": [states.pop(0)]},
    )
    letters = DeadLetters(
        url="https://sqs/evswap-batch-dlq", arn="arn:dlq", source_url="https://sqs/evswap-batch"
    )
    return SimpleNamespace(clients=SimpleNamespace(sqs=sqs), dead_letters=lambda: [letters], asked=asked)


# --- restore ---


def recent(sequence: int, station_id: str = "station-01") -> Any:
    return reading(
        station_id=station_id,
        stream_id="s",
        sequence=sequence,
        timestamp=NOW - timedelta(seconds=60 - sequence),
        battery_available=sequence,
        bays=(bay(1), bay(2)) if sequence % 2 else None,
    )


COUNTED = {"version", "news", "shown"}
"""What an item counts of its own writes."""


def items(cloud: Aws, table: str) -> list[Any]:
    """What was told, in an order of its own."""
    found = cloud.dynamodb.scan(TableName=table)["Items"]
    told = ({name: value for name, value in item.items() if name not in COUNTED} for item in found)
    return sorted(told, key=lambda item: str(item["station_id"]))


def empty(cloud: Aws, table: str, *key: str) -> None:
    for item in items(cloud, table):
        cloud.dynamodb.delete_item(TableName=table, Key={name: item[name] for name in key})


def test_the_latest_states_are_rebuilt_from_the_archive_as_they_were(plant: Plant) -> None:
    for sequence in range(4):
        plant.put("batch", *(one.body for one in delivered_batches([recent(sequence)])))
    plant.put("batch", *(one.body for one in delivered_batches([recent(1, "station-02")])))
    plant.put("telemetry", seed(station_id="station-03").replace("station-01", "station-03"))
    plant.work()
    before = items(plant.cloud, TABLE)
    assert len(before) == 3
    empty(plant.cloud, TABLE, "station_id")
    rebuilt = rebuild(plant)
    assert items(plant.cloud, TABLE) == before
    assert ["bays" in item for item in before] == [True, True, False]
    assert (rebuilt.stations, rebuilt.failed) == (("station-01", "station-02", "station-03"), 0)
    again = rebuild(plant)
    assert (again.moved, again.bays) == (0, 0)


def rebuild(plant: Plant, *, hours: float = 1) -> Any:
    dynamodb = boto3.client("dynamodb")
    return rebuild_latest(
        plant.cloud.s3,
        BUCKET,
        DynamoLatestStates(dynamodb, TABLE),
        since=NOW - timedelta(hours=hours),
        now=NOW,
        tell=silent,
    )


def test_a_station_that_has_sent_meanwhile_keeps_what_is_newer(plant: Plant) -> None:
    plant.put("batch", *(one.body for one in delivered_batches([recent(1)])))
    plant.work()
    empty(plant.cloud, TABLE, "station_id")
    plant.put("batch", *(one.body for one in delivered_batches([recent(3)])))
    plant.work()
    rebuild(plant)
    item = plant.cloud.item("station-01")
    assert item is not None
    assert item["sequence"] == {"N": "3"}


def test_what_a_table_refuses_is_counted_and_the_next_time_repairs_it(plant: Plant) -> None:
    plant.put("batch", *(one.body for one in delivered_batches([recent(2)])))
    plant.work()
    empty(plant.cloud, TABLE, "station_id")
    repair = plant.cloud.refuse("dynamodb.UpdateItem", "ThrottlingException")
    assert rebuild(plant).failed == 1
    repair()
    assert rebuild(plant).moved == 1


def test_stations_are_asked_for_a_reading(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    fresh = reading(timestamp=now)
    plant.put("telemetry", envelope(encode_reading(fresh), received_at=now))
    plant.work()
    empty(plant.cloud, TABLE, "station_id")
    assert operate(plant, "restore", "latest", "--read-now") == 0
    assert "1 stations asked for a reading" in capsys.readouterr().out
    [topic] = plant.published
    assert topic.startswith("ev/station/station-01/commands/")
    assert plant.cloud.item("station-01") is not None


def test_a_restored_table_gets_back_the_settings_that_aws_leaves_out(plant: Plant) -> None:
    dynamodb = plant.cloud.dynamodb
    recovery = {"PointInTimeRecoveryEnabled": True}
    dynamodb.update_continuous_backups(TableName=HISTORY, PointInTimeRecoverySpecification=recovery)
    expiry = {"Enabled": True, "AttributeName": "expires_at"}
    dynamodb.update_time_to_live(TableName=HISTORY, TimeToLiveSpecification=expiry)
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    dynamodb.update_table(TableName=HISTORY, StreamSpecification=stream)
    dynamodb.update_table(TableName=HISTORY, DeletionProtectionEnabled=True)
    arn = dynamodb.describe_table(TableName=HISTORY)["Table"]["TableArn"]
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "project", "Value": "evswap"}])
    dynamodb.put_item(TableName=HISTORY, Item={"station_id": {"S": "a"}, "quarter": {"N": "1"}})
    done = restore_table(dynamodb, HISTORY, "restored", moment=None, tell=silent)
    made = dynamodb.describe_table(TableName="restored")["Table"]
    assert dynamodb.scan(TableName="restored")["Count"] == 1
    assert made["StreamSpecification"] == stream
    assert made["DeletionProtectionEnabled"] is True
    assert (
        dynamodb.describe_time_to_live(TableName="restored")["TimeToLiveDescription"]["AttributeName"]
        == "expires_at"
    )
    assert dynamodb.list_tags_of_resource(ResourceArn=made["TableArn"])["Tags"]
    assert len(done.settings) == 5
    assert put_back(dynamodb, HISTORY, "restored") == done.settings, "again is harmless"
    with pytest.raises(NotOperated, match="restore evswap-history"):
        restore_table(dynamodb, HISTORY, "restored", moment=None, tell=silent)


def test_items_are_copied_where_they_are_missing_or_wherever_they_are_wanted(plant: Plant) -> None:
    dynamodb = plant.cloud.dynamodb
    dynamodb.put_item(TableName=TABLE, Item={"station_id": {"S": "a"}, "status": {"S": "old"}})
    dynamodb.put_item(TableName=TABLE, Item={"station_id": {"S": "b"}, "status": {"S": "old"}})
    restore_table(dynamodb, TABLE, "restored", moment=None, tell=silent)
    empty(plant.cloud, TABLE, "station_id")
    dynamodb.put_item(TableName=TABLE, Item={"station_id": {"S": "a"}, "status": {"S": "new"}})
    done = copy_items(dynamodb, "restored", TABLE, overwrite=False, tell=silent)
    assert (done.written, done.kept) == (1, 1)
    assert [item["status"]["S"] for item in items(plant.cloud, TABLE)] == ["new", "old"]
    assert operate(plant, "restore", "copy", "restored", TABLE, "--overwrite") == 0
    assert [item["status"]["S"] for item in items(plant.cloud, TABLE)] == ["old", "old"]
