"""The history by `evswap query` is what the archive holds, each reading once, compacted or not."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message, telemetry_topic

STRAGGLERS = timedelta(seconds=10)


def archived(stack: LocalStack, until: datetime) -> set[tuple[str, str]]:
    """The identities of what was sampled before `until`: station, and place in its stream or time."""
    readings = [json.loads(line) for line in stack.run("archive", "list").stdout.splitlines()]
    return {
        (reading["station_id"], _place(reading))
        for reading in readings
        if datetime.fromisoformat(reading["timestamp"]) < until
    }


def _place(reading: dict[str, str]) -> str:
    if reading["stream_id"]:
        return f"{reading['stream_id']}/{reading['sequence']}"
    return reading["timestamp"]


def asked(stack: LocalStack, until: datetime) -> int:
    """How many readings were sampled before `until`, by the history."""
    moment = until.strftime("%Y-%m-%d %H:%M:%S.%f")
    answer = stack.run(
        "query",
        "--format",
        "json",
        f"SELECT count(*) AS n FROM readings WHERE timestamp < '{moment}'",  # noqa: S608 - our own moment
    )
    assert answer.returncode == 0, answer.stderr
    [row] = json.loads(answer.stdout)
    return int(row["n"])


@pytest.mark.release
def test_the_history_is_the_archive_each_reading_once(stack: LocalStack) -> None:
    visitor = stack.described.visitor_station_id
    message = seed_message(visitor)
    with stack.visitor() as connection:
        for _ in range(2):
            connection.publish(telemetry_topic(visitor), message)
    until = datetime.now(UTC)
    wait_until(
        lambda: datetime.now(UTC) > until + STRAGGLERS and len(stack.keys("telemetry/", since=until)) > 0,
        what="what was sampled until then is archived",
        within=IN_TIME_S * 4,
    )
    expected = archived(stack, until)
    assert len(expected) > 1
    assert asked(stack, until) == len(expected)

    compacted = stack.run("compact")
    assert compacted.returncode == 0, compacted.stderr
    assert "0 objects left, 0 unreadable, 0 originals deleted" in compacted.stdout
    assert asked(stack, until) == len(archived(stack, until))
    s3, bucket = stack.aws("s3"), stack.described.archive_bucket.replace("archive", "compacted")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert any(key.startswith("data/readings/year=") for key in keys)
    assert "manifest/readings.json" in keys
