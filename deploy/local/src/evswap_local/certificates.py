"""Each station's certificate: the key is made on the station's side, the cloud signs a request for it.

The key never passes through here; ``evswap_edge.keys`` makes it, as ``evswap-edge csr`` does on a station.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from evswap_edge.keys import certificate_path, key_path, request_certificate
from evswap_local.clients import Clients
from evswap_local.errors import CertificateUnusable
from evswap_local.files import write_private
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.source import Source
from evswap_local.stack.things import policy_names, thing_type

KIND = "certificate"


class State(StrEnum):
    """What the certificate of a station is good for."""

    GOOD = "good"
    MISSING = "missing"
    """There is none, or the cloud does not know it, or it belongs to another key."""
    REVOKED = "revoked"
    EXPIRED = "expired"


def keep_certificates(
    clients: Clients, source: Source, folder: Path, station_ids: Sequence[str]
) -> Iterator[Change]:
    """Issues what is missing; raises CertificateUnusable for what is revoked or has expired."""
    for station_id in station_ids:
        state = certificate_state(clients, folder, station_id)
        if state in (State.REVOKED, State.EXPIRED):
            raise CertificateUnusable(station_id, state.value)
        if state is State.MISSING:
            issue_certificate(clients, folder, station_id, policies=policy_names(source))
        registered = _keep_thing(clients, source, folder, station_id)
        changed = state is State.MISSING or registered
        yield Change(KIND, station_id, Outcome.CREATED if changed else Outcome.UNCHANGED)


def renew_certificate(clients: Clients, source: Source, folder: Path, station_id: str) -> None:
    """Issues another certificate for the same key, and revokes the one before when the cloud knows it."""
    before = _certificate(folder, station_id)
    issue_certificate(clients, folder, station_id, policies=policy_names(source))
    _keep_thing(clients, source, folder, station_id)
    if before is not None and _status(clients, before) is not None:
        clients.iot.update_certificate(certificateId=_certificate_id(before), newStatus="REVOKED")


def issue_certificate(clients: Clients, folder: Path, name: str, *, policies: Sequence[str]) -> None:
    """Has a request for the key called ``name`` signed (the key is made when there is none), and lets the
    certificate do what ``policies`` say."""
    request = request_certificate(name, folder)
    try:
        answer = clients.iot.create_certificate_from_csr(
            certificateSigningRequest=request.read_text(encoding="ascii"), setAsActive=True
        )
    finally:
        request.unlink()
    for policy in policies:
        clients.iot.attach_policy(policyName=policy, target=answer["certificateArn"])
    write_private(certificate_path(folder, name), answer["certificatePem"])


def certificate_state(clients: Clients, folder: Path, station_id: str) -> State:
    """Whether ``station_id`` (or the claim) can connect with the certificate that lies in ``folder``."""
    certificate = _certificate(folder, station_id)
    if certificate is None or not _fits(certificate, key_path(folder, station_id)):
        return State.MISSING
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        return State.EXPIRED
    match _status(clients, certificate):
        case None:
            return State.MISSING
        case "ACTIVE":
            return State.GOOD
        case _:
            return State.REVOKED


def _keep_thing(clients: Clients, source: Source, folder: Path, station_id: str) -> bool:
    """Makes the thing and joins it to its certificate, which gets the policies it lacks, and to no other;
    False when all was so already."""
    certificate = _certificate(folder, station_id)
    if certificate is None:
        raise CertificateUnusable(station_id, State.MISSING.value)
    arn = clients.iot.describe_certificate(certificateId=_certificate_id(certificate))[
        "certificateDescription"
    ]["certificateArn"]
    try:
        clients.iot.describe_thing(thingName=station_id)
    except clients.iot.exceptions.ResourceNotFoundException:
        clients.iot.create_thing(thingName=station_id, thingTypeName=thing_type(source))
    attached = clients.iot.list_thing_principals(thingName=station_id)["principals"]
    for other in attached:
        if other != arn:
            clients.iot.detach_thing_principal(thingName=station_id, principal=other)
    gained = _keep_policies(clients, source, arn)
    if arn in attached:
        return gained
    clients.iot.attach_thing_principal(thingName=station_id, principal=arn)
    return True


def _keep_policies(clients: Clients, source: Source, arn: str) -> bool:
    """A certificate that was issued by an earlier version of the stack lacks what stations may do since."""
    has = {policy["policyName"] for policy in clients.iot.list_attached_policies(target=arn)["policies"]}
    lacking = [name for name in policy_names(source) if name not in has]
    for name in lacking:
        clients.iot.attach_policy(policyName=name, target=arn)
    return bool(lacking)


def _status(clients: Clients, certificate: x509.Certificate) -> str | None:
    """What AWS IoT says of the certificate; None when it does not know it."""
    try:
        found = clients.iot.describe_certificate(certificateId=_certificate_id(certificate))
    except clients.iot.exceptions.ResourceNotFoundException:
        return None
    return found["certificateDescription"]["status"]


def _certificate(folder: Path, station_id: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(certificate_path(folder, station_id).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _certificate_id(certificate: x509.Certificate) -> str:
    """AWS IoT names a certificate by the SHA-256 of its DER form."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _fits(certificate: x509.Certificate, key_file: Path) -> bool:
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return False
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)
