"""The compacted history in S3: the contract of its buckets, the commands, and what they print."""

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from evswap_cloud.__main__ import main
from evswap_cloud.archive import S3Archive
from evswap_cloud.compaction import Objects, S3Objects
from evswap_cloud.compaction.memory import MemoryObjects
from evswap_cloud.errors import HistoryError, Overtaken
from evswap_cloud.handlers import compact
from tests.cloud.compaction.history import run
from tests.cloud.messages import NOW, delivered, delivered_batches, reading
from tests.cloud.station_events import alarm, delivered_event, swap
from tests.cloud.stores import Stores
from tests.integration.aws import BUCKET, Aws

COMPACTED = "evswap-compacted"


@pytest.fixture(params=["memory", "s3"])
def objects(request: pytest.FixtureRequest) -> Objects:
    if request.param == "memory":
        return MemoryObjects()
    cloud: Aws = request.getfixturevalue("cloud")
    cloud.s3.create_bucket(Bucket=COMPACTED)
    return S3Objects(cloud.s3, COMPACTED)


def test_what_is_put_is_listed_in_order_and_fetched(objects: Objects, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    objects.put("data/b", file)
    objects.write("data/a", b"1")
    objects.write("other", b"1")
    assert [(entry.key, entry.size) for entry in objects.every("data/")] == [("data/a", 1), ("data/b", 5)]
    objects.fetch("data/b", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"12345"


def test_what_is_not_there_is_none_or_an_error(objects: Objects, tmp_path: Path) -> None:
    assert objects.read("missing") is None
    with pytest.raises(HistoryError):
        objects.fetch("missing", tmp_path / "copy")
    objects.remove(["missing"])
    objects.remove([])


def test_a_replacement_wants_what_was_read(objects: Objects) -> None:
    objects.replace("manifest", b"1", expected=None)
    with pytest.raises(Overtaken):
        objects.replace("manifest", b"2", expected=None)
    first = objects.read("manifest")
    assert first is not None
    objects.replace("manifest", b"2", expected=first.etag)
    with pytest.raises(Overtaken):
        objects.replace("manifest", b"3", expected=first.etag)
    second = objects.read("manifest")
    assert second is not None
    assert second.body == b"2"


def test_many_are_removed_at_once(objects: Objects) -> None:
    keys = [f"data/{number:04}" for number in range(1_005)]
    for key in keys:
        objects.write(key, b"")
    objects.remove(keys[1:])
    assert [entry.key for entry in objects.every("")] == keys[:1]


@pytest.mark.parametrize("operation", ["ListObjectsV2", "GetObject", "PutObject", "DeleteObjects"])
def test_what_s3_refuses_is_an_error_with_its_code(cloud: Aws, tmp_path: Path, operation: str) -> None:
    cloud.s3.create_bucket(Bucket=COMPACTED)
    cloud.refuse(f"s3.{operation}", "AccessDenied")
    objects = S3Objects(boto3.client("s3"), COMPACTED)
    calls: dict[str, Callable[[], Any]] = {
        "ListObjectsV2": lambda: list(objects.every("")),
        "GetObject": lambda: objects.fetch("x", tmp_path / "x"),
        "PutObject": lambda: objects.write("x", b""),
        "DeleteObjects": lambda: objects.remove(["x"]),
    }
    with pytest.raises(HistoryError) as caught:
        calls[operation]()
    assert caught.value.code == "AccessDenied"


# --- the commands ---


@pytest.fixture
def archived(cloud: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aws:
    """Twelve readings of a batch, three of them also by themselves, a seed message, and two events."""
    monkeypatch.setenv("EVSWAP_COMPACTED_BUCKET", COMPACTED)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cloud.s3.create_bucket(Bucket=COMPACTED)
    stores = Stores()
    stores.bulk.process(delivered_batches(run()))
    for one in [*run()[:3], reading()]:
        stores.live.process([delivered(one, received_at=NOW + timedelta(seconds=1))])
    stores.events.process([delivered_event(swap(1), "1"), delivered_event(alarm(2), "2")])
    archive = S3Archive(cloud.s3, BUCKET)
    for item in stores.archive.objects.values():
        archive.add(item)
    return cloud


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["query", *arguments]) == 0
    return capsys.readouterr().out


def test_compact_and_query_on_s3(archived: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    count = "SELECT count(*) AS n FROM readings"
    assert ask(capsys, "--format", "csv", count).split() == ["n", "13"]
    assert main(["compact"]) == 0
    said = capsys.readouterr()
    assert "readings: 16 rows of 5 objects, 1 days written, 0 objects left, 0 unreadable" in said.out
    assert "events: 2 rows of 1 objects" in said.out
    assert "readings: 5 of 5 objects taken" in said.err
    assert ask(capsys, "--format", "csv", count).split() == ["n", "13"]
    assert main(["compact", "--keep-days", "0"]) == 0
    assert "5 originals deleted" in capsys.readouterr().out
    assert archived.keys("bulk/") == archived.keys("telemetry/") == []
    assert len(archived.keys("events/")) == 1
    assert ask(capsys, "--format", "csv", count).split() == ["n", "13"]


def test_the_same_answer_in_every_format(archived: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT sequence, timestamp, kind, batteries, bay FROM events ORDER BY sequence"
    rows = json.loads(ask(capsys, "--format", "json", sql))
    assert rows[0]["timestamp"] == "2026-11-23T08:15:29.250000Z"
    assert rows[0]["batteries"][0]["serial_number"] == "B-1"
    assert rows[1] | {"timestamp": None} == {
        "sequence": 2,
        "timestamp": None,
        "kind": "alarm",
        "batteries": None,
        "bay": None,
    }
    table = list(csv.DictReader(io.StringIO(ask(capsys, "--format", "csv", sql))))
    assert json.loads(table[0]["batteries"]) == rows[0]["batteries"]
    shown = ask(capsys, sql).splitlines()
    assert shown[0].split() == ["sequence", "timestamp", "kind", "batteries", "bay"]
    assert shown[3].split() == ["2", "2026-11-23T08:15:29.250000Z", "alarm"]


def test_a_long_table_says_that_there_is_more(archived: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "SELECT * FROM range(1001)"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1_002
    assert "the first 1000 rows" in said.err


def test_a_wrong_question_is_one_sentence(archived: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "DROP TABLE readings"]) == 1
    assert capsys.readouterr().err == "evswap-cloud: the history is read only: ask by one SELECT\n"


class Call:
    """What Lambda tells of a call that has just begun."""

    memory_limit_in_mb = "1536"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def test_the_function_compacts_what_there_is_time_for(archived: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVSWAP_KEEP_DAYS", "7")
    readings, events = compact.handler({}, Call())
    assert (readings["kind"], readings["objects"], readings["left"]) == ("readings", 5, 0)
    assert (events["kind"], events["rows"]) == ("events", 2)


@pytest.mark.parametrize("command", ["compact", "query"])
def test_help_has_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["query", "--from", "yesterday", "SELECT 1"], "is no day such as 2026-11-23"),
        (["compact", "--objects", "-1"], "is no whole number"),
    ],
)
def test_wrong_use_says_what_to_write(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_bucket_that_nobody_named_is_asked_for(
    cloud: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EVSWAP_COMPACTED_BUCKET", raising=False)
    assert main(["compact"]) == 1
    assert "EVSWAP_COMPACTED_BUCKET is not set" in capsys.readouterr().err
