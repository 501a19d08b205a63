"""An operator's commands on a running stack: a broken deployment and back, left-overs, lost states."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from evswap_hil.deadline import wait_until
from tests.cloud.messages import envelope
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message

RTO_S = 300.0
API = "evswap-api"
BROKEN = "def handler(event, context):\n    raise RuntimeError('a bad day')\n"


def said(stack: LocalStack, *command: str, code: int = 0) -> str:
    """What the command prints; it has to end with `code`."""
    answer = stack.run(*command)
    assert answer.returncode == code, answer.stdout + answer.stderr
    print(answer.stdout)
    return answer.stdout


def status(stack: LocalStack) -> int:
    try:
        with urlopen(f"{stack.described.api_url}/stations?limit=1", timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_a_reading_goes_through_the_deployment_and_every_step_is_told(stack: LocalStack) -> None:
    steps = said(stack, "smoke").splitlines()
    assert len(steps) == 4
    assert all(step.startswith("ok ") for step in steps)


def test_where_nobody_answers_the_step_is_named(stack: LocalStack) -> None:
    described = stack.described_as_json
    where = (
        "--host",
        "127.0.0.1",
        "--station-id",
        "visitor",
        "--certificates",
        described["certificates_dir"],
    )
    told = said(stack, "smoke", "--api-url", "http://127.0.0.1:1", *where, code=1)
    assert told.startswith("fail  the API answers: http://127.0.0.1:1/stations")


@contextmanager
def broken_deployment(stack: LocalStack) -> Iterator[None]:
    """Another version of the API's function, which fails: as a deployment of bad code makes it."""
    functions = stack.aws("lambda")
    before = functions.get_alias(FunctionName=API, Name="live")["FunctionVersion"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        for part in ("evswap_cloud/__init__.py", "evswap_cloud/handlers/__init__.py"):
            archive.writestr(part, "")
        archive.writestr("evswap_cloud/handlers/api.py", BROKEN)
    functions.update_function_code(FunctionName=API, ZipFile=code.getvalue())
    functions.get_waiter("function_updated_v2").wait(FunctionName=API)
    version = functions.publish_version(FunctionName=API)["Version"]
    functions.update_alias(FunctionName=API, Name="live", FunctionVersion=version)
    try:
        yield
    finally:
        functions.update_alias(FunctionName=API, Name="live", FunctionVersion=before)


def test_a_broken_deployment_is_rolled_back_within_the_recovery_time(stack: LocalStack) -> None:
    with broken_deployment(stack):
        wait_until(lambda: status(stack) >= 500, what="the API fails", within=30)
        assert "fail  the API answers" in said(stack, "smoke", code=1)
        began = time.monotonic()
        told = said(stack, "rollback", "--function", API)
        wait_until(lambda: status(stack) == 200, what="the API answers again", within=RTO_S)
        print(f"rollback: {time.monotonic() - began:.1f} s to the first answer (RTO, bar {RTO_S:.0f} s)")
        assert f"{API}: live " in told
        assert " -> " in told
        assert "  <- live" in said(stack, "rollback", "--list", "--function", API)


def test_what_lies_in_each_place_is_brought_back_to_the_archive(stack: LocalStack) -> None:
    """By the functions themselves; the emulator, unlike AWS, moves no dead letters by itself."""
    sqs, station = stack.aws("sqs"), "redriven"
    # Another test has left there what no function leaves: that would be kept.
    sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName="evswap-change-failures")["QueueUrl"])
    bodies = [seed_message(station, battery_available=number) for number in range(2)]
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName="evswap-telemetry-dlq")["QueueUrl"],
        MessageBody=envelope(bodies[0], station_id=station, received_at=datetime.now(UTC)),
    )
    record = json.loads(envelope(bodies[1], station_id=station))
    error: dict[str, Any] = {
        "ruleName": "evswap_telemetry",
        "topic": record["topic"],
        "clientId": station,
        "base64OriginalPayload": record["payload"],
        "failures": [],
    }
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName="evswap-rule-errors")["QueueUrl"], MessageBody=json.dumps(error)
    )
    assert "evswap-telemetry-dlq: 1 found, 0 moved" in said(stack, "redrive")
    assert "evswap-telemetry-dlq: 1 found, 1 moved, 0 kept" in said(stack, "redrive", "--execute")
    wait_until(
        lambda: len(stack.keys("telemetry/", of=station)) == len(bodies),
        what="both are archived",
        within=IN_TIME_S,
    )


def test_the_latest_states_are_rebuilt_into_an_empty_table(stack: LocalStack) -> None:
    dynamodb, described = stack.aws("dynamodb"), stack.described
    keys = dynamodb.describe_table(TableName=described.stations_table)["Table"]
    used = {key["AttributeName"] for key in keys["KeySchema"]}
    dynamodb.create_table(
        TableName="rebuilt-stations",
        KeySchema=keys["KeySchema"],
        AttributeDefinitions=[one for one in keys["AttributeDefinitions"] if one["AttributeName"] in used],
        BillingMode="PAY_PER_REQUEST",
    )
    try:
        told = said(stack, "restore", "latest", "--hours", "1", "--into", "rebuilt-stations")
        assert " 0 failed, 0 unreadable" in told
        stations = {
            item["station_id"]["S"] for item in dynamodb.scan(TableName=described.stations_table)["Items"]
        }
        rebuilt = {item["station_id"]["S"] for item in dynamodb.scan(TableName="rebuilt-stations")["Items"]}
        assert rebuilt <= stations
        assert {"station-01", "station-02", "station-03"} <= rebuilt
    finally:
        dynamodb.delete_table(TableName="rebuilt-stations")


def test_a_table_comes_back_as_it_was_with_its_settings(stack: LocalStack) -> None:
    """The drill's own figure is the emulator's: on AWS a restore takes its time (docs/runbooks.md)."""
    dynamodb = stack.aws("dynamodb")
    try:
        told = said(stack, "restore", "table", "evswap-history", "--name", "history-restored")
        assert "evswap-history is restored as history-restored" in told
        assert "expiry by expires_at, point-in-time recovery" in told
        expiry = dynamodb.describe_time_to_live(TableName="history-restored")["TimeToLiveDescription"]
        assert expiry["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
    finally:
        dynamodb.delete_table(TableName="history-restored")


@pytest.mark.parametrize(
    "wrong", [["restore", "table"], ["restore", "copy", "one"], ["rollback", "--to", "1"]]
)
def test_wrong_use_is_told_before_anything_is_done(stack: LocalStack, wrong: list[str]) -> None:
    assert stack.run(*wrong).returncode == 2
