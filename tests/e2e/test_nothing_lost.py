"""The power goes while the cloud is away: what was committed at a station arrives."""

import json
from collections import Counter

import psutil
import pytest

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import LocalStack
from tests.e2e.outboxes import last_sequences, numbers, sent_again_by_all_at_most, waiting

pytestmark = pytest.mark.any_maker(each=True)

READINGS = 1_000
PILE_UP = ("--stations", "10", "--interval", "0.2")
DRAIN = ("--stations", "10", "--interval", "5")


def test_every_committed_reading_is_archived(own_stack: LocalStack) -> None:
    own_stack.up(*PILE_UP)
    stop(own_stack.process("ministack"))
    wait_until(lambda: waiting(own_stack) >= READINGS, what="readings pile up at the stations", within=300)
    own_stack.process("fleet").kill()
    committed = numbers(last_sequences(own_stack))
    assert len(committed) >= READINGS

    own_stack.up(*DRAIN)
    wait_until(
        lambda: len(own_stack.keys("telemetry/")) >= len(committed), what="as many archived", within=120
    )
    archive = Archive(own_stack)
    copies = wait_until(
        lambda: (found := archive.copies()).keys() >= committed and found, what="all archived", within=120
    ).found
    assert copies.keys() <= numbers(last_sequences(own_stack)), "what no station has committed"
    raw = sum(copies[reading] for reading in committed)
    assert raw - len(committed) <= sent_again_by_all_at_most(own_stack)
    print(f"{len(committed)} readings committed, all archived; {raw - len(committed)} raw duplicates")


class Archive:
    """What the archive holds of the fleet; each version of an object is read once, however often one asks."""

    def __init__(self, stack: LocalStack) -> None:
        self._s3, self._bucket = stack.aws("s3"), stack.described.archive_bucket
        self._readings: dict[tuple[str, str], tuple[str, int]] = {}

    def copies(self) -> Counter[tuple[str, int]]:
        """How often each reading of a stream is there."""
        pages = self._s3.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix="telemetry/"
        )
        for version in (version for page in pages for version in page.get("Versions", ())):
            found = (version["Key"], version["VersionId"])
            if "/station-" in version["Key"] and found not in self._readings:
                self._readings[found] = self._reading(*found)
        return Counter(self._readings.values())

    def _reading(self, key: str, version_id: str) -> tuple[str, int]:
        answer = self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=version_id)
        reading = json.loads(answer["Body"].read())
        return reading["stream_id"], reading["sequence"]


def stop(process: psutil.Process) -> None:
    process.terminate()
    process.wait(60)


def alive(stack: LocalStack, name: str) -> bool:
    try:
        return stack.process(name).is_running()
    except (FileNotFoundError, psutil.NoSuchProcess):
        return False
