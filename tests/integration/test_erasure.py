"""Erasing a person: no trace in any store afterwards, and all that is not about the person stays."""

import gzip
import json
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evswap_cloud import wiring
from evswap_cloud.__main__ import main
from evswap_cloud.audit import audit
from evswap_cloud.erasure import FORGOTTEN
from evswap_cloud.events import StationEvent
from evswap_cloud.handlers import events as handler
from evswap_cloud.ledger import Place
from evswap_cloud.ledger.authorisations import Grant, granted
from evswap_cloud.lines import lines_of_bucket
from evswap_cloud.remote.records import opened
from evswap_schema import (
    Action,
    Authorisation,
    CacheAuthorisations,
    Command,
    RequestSwap,
    Reserve,
    SignedAuthorisation,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    Unlock,
    encode_authorisation,
)
from tests.cloud.messages import NOW, delivery, sqs_event
from tests.cloud.station_events import delivered_event, event_envelope, refusal, swap
from tests.cloud.story import deliveries, story
from tests.integration.aws import BUCKET, Aws

PERSON, SOMEBODY_ELSE = "a" * 64, "b" * 64


def everything(cloud: Aws) -> str:
    """All items of all tables, and every version of every object with what stands beside it."""
    found = []
    for table in cloud.dynamodb.list_tables()["TableNames"]:
        found.append(json.dumps(cloud.dynamodb.scan(TableName=table)["Items"]))
    versions = cloud.s3.list_object_versions(Bucket=BUCKET).get("Versions", [])
    for version in versions:
        at = {"Bucket": BUCKET, "Key": version["Key"], "VersionId": version["VersionId"]}
        answer = cloud.s3.get_object(**at)
        body = answer["Body"].read()
        text = gzip.decompress(body) if version["Key"].endswith(".gz") else body
        found.append(f"{version['Key']} {answer['Metadata']} {text!r}")
    return "\n".join(found)


def ingest(records: list[Any]) -> None:
    assert handler.handler(sqs_event(records), None) == {"batchItemFailures": []}


@pytest.fixture
def lived_in(cloud: Aws) -> Aws:
    """A network in which the person has swapped, was turned away, was refused a message, and has a battery
    and an authorisation."""
    battery = SwappedBattery(bay=4, serial_number="B-2", soc=99.0, soh=98.0)
    foreign = (SwappedBattery(bay=1, serial_number="B-9", soc=1.0, soh=98.0),)
    taken: dict[str, Any] = {"step": SwapStep.BATTERY_OUT, "batteries": (battery,)}
    ingest(
        [
            delivered_event(swap(1, id_token=PERSON, request_id=1), "in"),
            delivered_event(swap(2, id_token=PERSON, request_id=1, **taken), "out"),
            delivered_event(
                swap(3, id_token=SOMEBODY_ELSE, station_id="station-02", batteries=foreign), "other"
            ),
            delivered_event(refusal(4, id_token=PERSON), "refusal"),
            delivery(event_envelope(b'{"id_token": "%s"}' % PERSON.encode()), "invalid"),
        ]
    )
    for person in (PERSON, SOMEBODY_ELSE):
        name, grant = f"A-{person[0]}", Grant(person, 3, NOW)
        enter_grant = partial(granted, authorisation_id=name, grant=grant)
        wiring.ledger().accounts.change(name, enter_grant)
    [key] = cloud.keys("events/")
    again = cloud.s3.get_object(Bucket=BUCKET, Key=key)
    cloud.s3.put_object(Bucket=BUCKET, Key=key, Body=again["Body"].read(), Metadata=again["Metadata"])
    assert everything(cloud).count(PERSON) >= 8
    return cloud


def test_a_person_is_removed_from_every_store_and_nobody_else_is(
    lived_in: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = everything(lived_in).count(SOMEBODY_ELSE)
    (tmp_path / "token").write_text(PERSON + "\n")
    assert main(["erase", "--token-file", str(tmp_path / "token")]) == 0
    assert capsys.readouterr().out == (
        "forgotten: 3 events, 1 swaps and 1 batteries of the ledger, 1 authorisations, 0 commands, 1 objects "
        "of the archive rewritten, 1 older versions and 1 refused messages removed\n"
    )
    left = everything(lived_in)
    assert PERSON not in left
    assert left.count(SOMEBODY_ELSE) == others - 1, "an older version of the archive's object is gone"


def test_a_second_time_finds_nothing(lived_in: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    main(["erase", "--token", PERSON])
    before = everything(lived_in)
    capsys.readouterr()
    assert main(["erase", "--token", PERSON]) == 0
    assert capsys.readouterr().out.startswith("forgotten: 0 events, 0 swaps and 0 batteries")
    assert everything(lived_in) == before


def test_where_the_batteries_are_is_still_known_and_the_archive_can_still_be_audited(lived_in: Aws) -> None:
    before = audit(lines_of_bucket(lived_in.s3, BUCKET, "events/"))
    main(["erase", "--token", PERSON])
    answer = wiring.battery_reader().find("B-2", NOW)
    assert answer is not None
    assert answer.whereabouts.place is Place.CUSTOMER
    assert answer.whereabouts.id_token is None
    result = audit(lines_of_bucket(lived_in.s3, BUCKET, "events/"))
    assert (result.events, result.refusals, result.violations) == (4, 1, before.violations)
    page = wiring.event_reader().page("station-01", limit=9, before=None)
    assert {getattr(kept.event, "id_token", None) for kept in page.events} == {FORGOTTEN}


def test_what_was_cut_off_half_way_is_finished_by_doing_it_again(lived_in: Aws) -> None:
    repair = lived_in.refuse("s3.DeleteObject", "SlowDown")
    assert main(["erase", "--token", PERSON]) == 1
    assert PERSON in everything(lived_in)
    repair()
    assert main(["erase", "--token", PERSON]) == 0
    assert PERSON not in everything(lived_in)


def test_the_persons_events_that_come_again_are_known_and_bring_nobody_back_into_the_table(
    lived_in: Aws,
) -> None:
    """The archive gets no second object of the same lines; the ledger may get the journey again: then it is
    erased again."""
    main(["erase", "--token", PERSON])
    ingest([delivered_event(swap(1, id_token=PERSON, request_id=1), "in")])
    assert main(["erase", "--token", PERSON]) == 0
    assert PERSON not in everything(lived_in)


def test_one_of_many_is_forgotten_and_the_month_is_as_consistent_as_before(cloud: Aws) -> None:
    events: list[StationEvent] = list(story(5, stations=2, days=1, swaps_a_day=40))
    records = deliveries(events)
    for start in range(0, len(records), 50):
        ingest(records[start : start + 50])
    token = next(event.event.id_token for event in events if isinstance(event.event, SwapEvent))
    before = audit(lines_of_bucket(cloud.s3, BUCKET, "events/"))
    assert main(["erase", "--token", token]) == 0
    after = audit(lines_of_bucket(cloud.s3, BUCKET, "events/"))
    assert token not in everything(cloud)
    assert (after.events, after.swaps, after.batteries) == (before.events, before.swaps, before.batteries)
    assert after.violations == before.violations == ()


@pytest.mark.parametrize("text", ["", "a" * 63, "A" * 64, FORGOTTEN, "a" * 65])
def test_what_cannot_be_a_person_is_wrong_use(
    cloud: Aws, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["erase", "--token", text]) == 2
    assert "64 hexadecimal digits" in capsys.readouterr().err


def test_a_person_is_removed_from_commands_and_those_of_others_go_on(cloud: Aws) -> None:
    def signed(person: str) -> SignedAuthorisation:
        one = Authorisation(
            authorisation_id=f"A-{person[0]}",
            id_token=person,
            valid_from=NOW,
            expires_at=NOW + timedelta(days=1),
            max_swaps=1,
        )
        return SignedAuthorisation(payload=encode_authorisation(one), key_id="k", signature=b"s" * 64)

    store = wiring.command_store()
    actions: dict[str, Action] = {
        "swap": RequestSwap(request_id=1, id_token=PERSON),
        "reserve": Reserve(bay=1, until=NOW, id_token=PERSON),
        "alone": CacheAuthorisations(authorisations=(signed(PERSON),)),
        "together": CacheAuthorisations(authorisations=(signed(PERSON), signed(SOMEBODY_ELSE))),
        "other": RequestSwap(request_id=2, id_token=SOMEBODY_ELSE),
        "nobody": Unlock(bay=1),
    }
    for name, action in actions.items():
        times = {"issued_at": NOW, "expires_at": NOW + timedelta(hours=1)}
        command = Command(command_id=name, station_id="station-01", action=action, **times)
        store.add(opened(command, "clerk"))
    assert main(["erase", "--token", PERSON]) == 0
    left = {one.command.command_id: one.command.action for one in store.waiting("station-01", limit=9)}
    assert left == {
        "together": CacheAuthorisations(authorisations=(signed(SOMEBODY_ELSE),)),
        "other": actions["other"],
        "nobody": actions["nobody"],
    }
