"""What is asked of an attempt to replace a certificate, and what it came to: JSON between two processes."""

from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from evswap_edge.pairs import Pair
from evswap_edge.provisioning.terms import Provisioning
from evswap_edge.transports.broker import BrokerSettings


class Renewal(Struct, frozen=True, kw_only=True):
    """Whose certificate is to be replaced, where, and by which template."""

    station_id: str
    host: str
    port: int
    certificate_file: Path
    key_file: Path
    ca_file: Path | None
    template: str
    timeout_s: float = 20.0
    """For each connection, and for each answer."""

    @property
    def pair(self) -> Pair:
        return Pair(self.certificate_file, self.key_file)

    def encode(self) -> bytes:
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def decode(cls, raw: bytes) -> "Renewal":
        return msgspec.json.decode(raw, type=cls, dec_hook=lambda kind, text: kind(text))


class Done(StrEnum):
    """How an attempt ended."""

    RENEWED = "renewed"
    TOLD = "told"
    """It had been replaced before; now the cloud knows, too."""
    FAILED = "failed"


class Outcome(Struct, frozen=True, kw_only=True):
    """What an attempt came to; ``reason`` for people when it failed."""

    done: Done
    reason: str = ""


def renewal_of(station_id: str, settings: BrokerSettings, terms: Provisioning) -> Renewal:
    """What it takes to renew the certificate of a station that is configured so."""
    return Renewal(
        station_id=station_id,
        host=settings.host,
        port=settings.port,
        certificate_file=settings.certificate_file.absolute(),
        key_file=settings.key_file.absolute(),
        ca_file=None if settings.ca_file is None else settings.ca_file.absolute(),
        template=terms.template,
        timeout_s=settings.connect_timeout_s,
    )
