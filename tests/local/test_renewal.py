"""A station's certificate is replaced on the real local AWS: by itself, by nobody else, and at no cost."""

import asyncio
import json
import shutil
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from evswap_edge.app import run_station
from evswap_edge.certificates import Validity
from evswap_edge.clock import SystemTime
from evswap_edge.config import read_station
from evswap_edge.keys import certificate_path, key_path
from evswap_edge.provisioning import NotReached, StationRefused, renewal
from evswap_edge.provisioning.attempt import Done, Renewal
from evswap_edge.provisioning.claim import Claim, ClaimConnection
from evswap_edge.provisioning.obtain import registered_certificate
from evswap_edge.provisioning.renew import renew
from evswap_edge.transports.credentials import certificate_validity
from evswap_hil.deadline import wait_until
from evswap_local import emulator as local_aws
from evswap_local.certificates import State, certificate_state, keep_certificates
from evswap_local.clients import Clients
from evswap_local.stack.change import Change
from evswap_local.stack.provisioning import template_name
from evswap_local.stack.source import Source
from evswap_schema import Channel, Clock, aws_topic
from tests.local.real import Emulator


@pytest.fixture(scope="module")
def ca(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    local_aws.fetch_trust_anchor(emulator.settings, path)
    return path


MakeStation = Callable[[str], Renewal]


@pytest.fixture
def make_station(
    applied: list[Change],
    clients: Clients,
    source: Source,
    emulator: Emulator,
    ca: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> MakeStation:
    """A station with its certificate, of a name that no other test has, and what would renew it."""

    def make(name: str) -> Renewal:
        station_id = f"{name}-{zlib.crc32(request.node.name.encode()):08x}"
        list(keep_certificates(clients, source, tmp_path, [station_id]))
        return Renewal(
            station_id=station_id,
            host="127.0.0.1",
            port=emulator.settings.mqtt_port,
            certificate_file=certificate_path(tmp_path, station_id),
            key_file=key_path(tmp_path, station_id),
            ca_file=ca,
            template=template_name(source),
        )

    return make


def status(clients: Clients, pem: bytes) -> str:
    certificate_id = sha256(load_pem_x509_certificate(pem).public_bytes(Encoding.DER)).hexdigest()
    described = clients.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    return str(described["status"])


def shown(station: Renewal, **changes: Any) -> Claim:
    claim = Claim(
        host=station.host,
        port=station.port,
        certificate_file=station.certificate_file,
        key_file=station.key_file,
        ca_file=station.ca_file,
        kind="station",
        timeout_s=10,
    )
    return msgspec.structs.replace(claim, **changes)


def test_the_new_certificate_works_and_the_former_one_is_revoked(
    make_station: MakeStation, clients: Clients
) -> None:
    station = make_station("renewed")
    former, former_key = station.certificate_file.read_bytes(), station.key_file.read_bytes()
    assert renew(station) is Done.RENEWED
    assert station.key_file.read_bytes() != former_key
    folder, station_id = station.certificate_file.parent, station.station_id
    assert certificate_state(clients, folder, station_id) is State.GOOD
    wait_until(lambda: status(clients, former) == "REVOKED", what="the former certificate's end", within=120)
    with ClaimConnection(shown(station), station_id):
        pass
    assert renew(station) is Done.RENEWED, "and again"


def test_a_revoked_certificate_is_refused_and_what_is_said_tells_what_to_do(
    make_station: MakeStation, clients: Clients, tmp_path: Path
) -> None:
    station = make_station("revoked")
    copy = {name: tmp_path / f"former.{name}" for name in ("certificate_file", "key_file")}
    for name, path in copy.items():
        shutil.copy(getattr(station, name), path)
    former = station.certificate_file.read_bytes()
    renew(station)
    wait_until(lambda: status(clients, former) == "REVOKED", what="the former certificate's end", within=120)
    with (
        pytest.raises(NotReached, match="that the station certificate is still active"),
        ClaimConnection(shown(station, **copy), station.station_id),
    ):
        pass


def test_a_station_obtains_no_certificate_in_another_name(
    make_station: MakeStation, clients: Clients, tmp_path: Path
) -> None:
    thief, victim = make_station("thief"), make_station("victim")
    before = victim.certificate_file.read_bytes()
    for wanted in (victim.station_id, "nobody-has-this-name"):
        with (
            ClaimConnection(shown(thief), thief.station_id) as link,
            pytest.raises(StationRefused),
        ):
            registered_certificate(link, wanted, tmp_path / f"{wanted}.stolen.pem", thief.template)
    assert status(clients, before) == "ACTIVE"
    principals = clients.iot.list_thing_principals(thingName=victim.station_id)["principals"]
    assert len(principals) == 1


def test_a_station_cannot_have_another_s_certificate_revoked(make_station: MakeStation) -> None:
    thief, victim = make_station("thief"), make_station("victim")
    with ClaimConnection(shown(thief), thief.station_id) as link, pytest.raises(Exception, match="may not"):
        link.tell(aws_topic(Channel.CERTIFICATE, victim.station_id), {"station_id": victim.station_id})


# --- a running station ---


class SetClock(SystemTime):
    """One that is believed, whatever becomes of this machine's own."""

    def state(self) -> Clock:
        return Clock.SYNCHRONIZED


@pytest.mark.timeout(400)
def test_a_running_station_has_its_certificate_replaced_and_loses_no_sample(
    make_station: MakeStation,
    clients: Clients,
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    station = make_station("running")
    former = station.certificate_file.read_bytes()
    (tmp_path / "station.yaml").write_text(
        json.dumps(
            {
                "station_id": station.station_id,
                "driver": {"name": "simulated", "bays": 2},
                "outbox": {"path": str(tmp_path / "outbox.sqlite")},
                "sampling": {"interval_s": 0.2},
                "reporting": {"mode": "every-sample"},
                "transport": {
                    "name": "aws-iot",
                    "host": station.host,
                    "port": station.port,
                    "certificate_file": str(station.certificate_file),
                    "key_file": str(station.key_file),
                    "ca_file": str(station.ca_file),
                },
            }
        )
    )
    begun = certificate_validity(station.certificate_file)

    def due_at(times: Validity, *_: Any, **__: Any) -> Any:
        return times.begins if times == begun else times.ends

    monkeypatch.setattr(renewal, "renewal_due_at", due_at)
    monkeypatch.setattr(renewal, "FIRST_LOOK_WITHIN_S", 4.0)

    async def scenario() -> None:
        [config] = read_station(tmp_path / "station.yaml").stations
        stop = asyncio.Event()
        running = asyncio.create_task(run_station(config, SetClock(), stop))
        async with asyncio.timeout(90):
            while await asyncio.to_thread(status, clients, former) != "REVOKED":
                await asyncio.sleep(0.2)
            assert not running.done()
            before = max(await asyncio.to_thread(sequences, clients, source, station.station_id))
            after = 0
            while after < before + 10:
                after = max(await asyncio.to_thread(sequences, clients, source, station.station_id))
        stop.set()
        await running

    def is_complete() -> bool:
        """A message that ingest could not take at once comes again after its visibility time-out."""
        found = sequences(clients, source, station.station_id)
        return found == set(range(max(found) + 1))

    asyncio.run(scenario())
    assert station.certificate_file.read_bytes() != former
    wait_until(is_complete, what="every sample in the archive", within=180, every=1)
    last = max(sequences(clients, source, station.station_id))
    print(f"{last} samples over the replacement of a certificate, none lost")


def sequences(clients: Clients, source: Source, station_id: str) -> set[int]:
    """The numbers of the samples that are archived; 0 is always among them."""
    bucket = source.yaml("names.yaml")["archive_bucket"]
    pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="telemetry/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    bodies = (
        clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in keys
        if f"/{station_id}" in key
    )
    return {0, *(json.loads(body)["sequence"] for body in bodies)}
