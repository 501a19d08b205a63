"""Obtaining a certificate by the claim: what is kept, what is tried again, and what is said when it fails."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_csr

from evswap_edge import keys
from evswap_edge.clock import SystemTime
from evswap_edge.files import write_private
from evswap_edge.keys import KeyFileError
from evswap_edge.provisioning import (
    ClaimRefused,
    NotAnswered,
    NotOurCertificate,
    NotReached,
    ProvisioningError,
    RequestRejected,
    StationRefused,
    TemplateUnusable,
    obtain,
)
from evswap_edge.provisioning.claim import Claim
from evswap_edge.provisioning.obtain import Station, keep_certificate
from evswap_edge.transports import CredentialsError
from evswap_schema import provisioning
from tests.authority import Authority
from tests.edge.claim_desk import (
    HANGS_UP,
    REGISTER,
    SILENCE,
    Answer,
    Desk,
    open_desk,
    refusal,
)
from tests.mqtt_wire import NOT_AUTHORIZED


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Desk, Claim]]:
    folder = tmp_path / "cloud"
    folder.mkdir()
    with open_desk(folder) as opened:
        yield opened


@pytest.fixture
def desk(opened: tuple[Desk, Claim]) -> Desk:
    return opened[0]


@pytest.fixture
def claim(opened: tuple[Desk, Claim]) -> Claim:
    return opened[1]


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(station_id="s-1", directory=tmp_path / "device", template=provisioning.TEMPLATE)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obtain, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(obtain, "LONGEST_WAIT_S", 0.02)


def once(station: Station, claim: Claim) -> bool:
    return keep_certificate(station, claim, SystemTime(), within_s=0)


def patiently(station: Station, claim: Claim) -> bool:
    return keep_certificate(station, claim, SystemTime(), within_s=30)


def kept(station: Station) -> set[str]:
    return {path.name for path in station.directory.iterdir()} if station.directory.exists() else set()


BOTH = {"s-1.key.pem", "s-1.cert.pem"}


def test_key_and_certificate_fit_and_are_for_their_owner_alone(claim: Claim, station: Station) -> None:
    assert once(station, claim)
    assert kept(station) == BOTH
    certificate = (station.directory / "s-1.cert.pem").read_bytes()
    assert keys.certifies_key(certificate, keys.key_path(station.directory, "s-1"))
    assert {path.stat().st_mode & 0o777 for path in station.directory.iterdir()} == {0o600}


def test_what_is_asked_for(desk: Desk, claim: Claim, station: Station) -> None:
    once(station, claim)
    (sign, request), (register, body) = desk.requests
    assert sign == provisioning.CERTIFICATE_REQUEST_TOPIC
    assert load_pem_x509_csr(request["certificateSigningRequest"].encode()).is_signature_valid
    assert "PRIVATE" not in json.dumps(request)
    assert (register, body) == (
        REGISTER,
        {"certificateOwnershipToken": "token", "parameters": {"StationId": "s-1"}},
    )
    assert all(client.startswith("claim:s-1:") for client in desk.clients)


def test_with_a_certificate_for_its_key_a_station_asks_nobody(
    desk: Desk, claim: Claim, station: Station
) -> None:
    once(station, claim)
    claim.certificate_file.unlink()
    assert not once(station, claim)
    assert len(desk.requests) == 2


def test_each_attempt_has_a_name_of_its_own(desk: Desk, claim: Claim, station: Station) -> None:
    desk.registering.extend([HANGS_UP, HANGS_UP])
    assert patiently(station, claim)
    assert len(set(desk.clients)) == 3


def test_an_expired_certificate_is_replaced_for_the_same_key(
    desk: Desk, claim: Claim, station: Station
) -> None:
    once(station, claim)
    key = (station.directory / "s-1.key.pem").read_bytes()
    path = station.directory / "s-1.cert.pem"
    old = load_pem_x509_certificate(path.read_bytes())
    past = datetime.now(UTC) - timedelta(days=1)
    public_key = old.public_key()
    expired = desk.authority.sign(old.subject, public_key, begins=past - timedelta(days=1), ends=past)  # type: ignore[arg-type]
    path.write_bytes(expired)
    assert once(station, claim)
    assert (station.directory / "s-1.key.pem").read_bytes() == key
    assert path.read_bytes() != expired


def test_a_certificate_for_another_key_is_no_certificate(
    claim: Claim, station: Station, tmp_path: Path
) -> None:
    other = Station(station_id="s-1", directory=tmp_path / "other", template=station.template)
    once(other, claim)
    once(station, claim)
    foreign = (other.directory / "s-1.cert.pem").read_bytes()
    (station.directory / "s-1.cert.pem").write_bytes(foreign)
    assert once(station, claim)
    assert (station.directory / "s-1.cert.pem").read_bytes() != foreign


# --- what comes back is not believed ---


def test_a_certificate_for_another_key_is_neither_registered_nor_kept(
    desk: Desk, claim: Claim, station: Station
) -> None:
    desk.other_key = True
    with pytest.raises(NotOurCertificate):
        patiently(station, claim)
    assert kept(station) == {"s-1.key.pem"}
    assert [topic for topic, _ in desk.requests] == [provisioning.CERTIFICATE_REQUEST_TOPIC]


def test_nothing_is_written_before_it_is_registered(desk: Desk, claim: Claim, station: Station) -> None:
    seen: list[set[str]] = []
    desk.before_registration = lambda: seen.append(kept(station))
    once(station, claim)
    assert seen == [{"s-1.key.pem"}]


@pytest.mark.parametrize("answer", ["scribble", "[]", {}, {"certificatePem": "x"}, {"certificatePem": 7}])
def test_an_answer_without_certificate_and_token_is_refused(
    answer: Answer, desk: Desk, claim: Claim, station: Station
) -> None:
    desk.signing.append(answer)
    with pytest.raises(RequestRejected):
        patiently(station, claim)
    assert kept(station) == {"s-1.key.pem"}


@pytest.mark.parametrize("answer", [{}, {"thingName": "somebody-else"}])
def test_a_template_that_makes_another_thing_is_named(
    answer: Answer, desk: Desk, claim: Claim, station: Station
) -> None:
    desk.registering.append(answer)
    with pytest.raises(TemplateUnusable, match="evswap-station"):
        patiently(station, claim)
    assert kept(station) == {"s-1.key.pem"}


# --- refusals ---


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDenied", StationRefused),
        ("InvalidTemplate", TemplateUnusable),
        ("InvalidParameters", RequestRejected),
    ],
)
def test_a_refusal_is_told_apart_and_not_repeated(
    code: str, expected: type[ProvisioningError], desk: Desk, claim: Claim, station: Station
) -> None:
    desk.registering.append(refusal(code))
    with pytest.raises(expected) as caught:
        patiently(station, claim)
    assert not caught.value.temporary
    assert len(desk.requests) == 2


@pytest.mark.parametrize("what", ["connack", "suback"])
def test_a_claim_that_is_not_allowed_is_named(what: str, desk: Desk, claim: Claim, station: Station) -> None:
    setattr(desk, what, NOT_AUTHORIZED)
    with pytest.raises(ClaimRefused):
        patiently(station, claim)
    assert len(desk.clients) == 1


# --- what may pass ---


@pytest.mark.parametrize(
    "answer", [HANGS_UP, refusal("InvocationError"), refusal("ThrottlingException"), refusal("x", status=503)]
)
@pytest.mark.parametrize("step", ["signing", "registering"])
def test_what_may_pass_is_tried_again_with_the_same_key(
    answer: Answer, step: str, desk: Desk, claim: Claim, station: Station
) -> None:
    getattr(desk, step).append(answer)
    assert patiently(station, claim)
    asked = [body for topic, body in desk.requests if topic == provisioning.CERTIFICATE_REQUEST_TOPIC]
    public_keys = {
        load_pem_x509_csr(body["certificateSigningRequest"].encode()).public_key().public_numbers()  # type: ignore[union-attr]
        for body in asked
    }
    assert (len(asked), len(public_keys)) == (2, 1)


def test_silence_is_no_answer(desk: Desk, claim: Claim, station: Station) -> None:
    desk.registering.append(SILENCE)
    short = msgspec.structs.replace(claim, timeout_s=0.5)
    with pytest.raises(NotAnswered, match="provision/json"):
        once(station, short)
    assert patiently(station, claim)


def test_after_the_time_given_the_last_reason_is_said(claim: Claim, station: Station) -> None:
    nobody = msgspec.structs.replace(claim, port=1)
    with pytest.raises(NotReached, match=r"127.0.0.1:1 .*refused"):
        keep_certificate(station, nobody, SystemTime(), within_s=0.05)


def test_a_far_side_that_another_authority_vouches_for_is_not_trusted(
    claim: Claim, station: Station, tmp_path: Path
) -> None:
    other = msgspec.structs.replace(claim, ca_file=Authority(tmp_path, "stranger").certificate, timeout_s=1)
    with pytest.raises(NotReached, match="CA file"):
        once(station, other)


def test_a_claim_that_is_not_there_is_said_before_anything_is_tried(claim: Claim, station: Station) -> None:
    claim.key_file.unlink()
    with pytest.raises(CredentialsError, match=r"claim\.key\.pem"):
        once(station, claim)


# --- killed ---


KILLED_WHILE_IT_WRITES = """
import os, signal, sys
from pathlib import Path
from evswap_edge import files

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(files.os, "fsync", killed)
files.write_private(Path(sys.argv[1]), b"half of it", replace=True)
"""


def test_a_write_that_is_killed_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "s-1.cert.pem"
    path.write_bytes(b"before")
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_WRITES, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"


def test_a_file_that_is_there_is_replaced_only_when_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_private(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    write_private(path, b"third", replace=True)
    assert path.read_bytes() == b"third"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_key(claim: Claim, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    station = Station(station_id="s-1", directory=tmp_path / "file" / "x", template=provisioning.TEMPLATE)
    with pytest.raises(KeyFileError, match="cannot be read"):
        once(station, claim)
