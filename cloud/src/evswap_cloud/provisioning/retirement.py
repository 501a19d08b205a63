"""When a station works with its new certificate, the ones before it are revoked.

The station says so itself, over a connection with the new certificate: a rule tells with which one, so nobody
can have another station's revoked, nor one that is newer than his own. A notice may come late and twice.
"""

from msgspec import Struct

from evswap_cloud.envelope import Envelope
from evswap_cloud.provisioning.registry import Certificate, Registry


class InvalidNotice(ValueError):
    """A notice that nothing follows from; ``problem`` says why."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class Retired(Struct, frozen=True, kw_only=True):
    """What was revoked, in favour of which."""

    station_id: str
    certificate_id: str
    revoked: tuple[str, ...]


def retire_former(envelope: Envelope, registry: Registry) -> Retired:
    """Revoke the station's active certificates that are older than the one it has sent the notice with.

    Raises ``InvalidNotice``, and ``RegistryError`` when it has to be tried again.
    """
    if envelope.client_id != envelope.station_id:
        raise InvalidNotice(f"sent by the client {envelope.client_id!r} for {envelope.station_id!r}")
    active = tuple(registry.active_certificates(envelope.station_id))
    present = _present(envelope, active)
    former = tuple(one.certificate_id for one in active if one.created_at < present.created_at)
    for certificate_id in former:
        registry.revoke(certificate_id)
    return Retired(station_id=envelope.station_id, certificate_id=present.certificate_id, revoked=former)


def _present(envelope: Envelope, active: tuple[Certificate, ...]) -> Certificate:
    for certificate in active:
        if certificate.certificate_id == envelope.principal:
            return certificate
    raise InvalidNotice("sent with a certificate that is not active, or not attached to the station")
