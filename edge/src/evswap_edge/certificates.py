"""From when to when a certificate is valid, read from the file by hand.

``cryptography`` would stay in memory for good, far too much for two dates in a process that is to run on a
small computer. That the rest of the certificate is in order shows when TLS takes it in.
"""

import base64
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")

_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_VERSION: Final = 0xA0
_LONG_LENGTH: Final = 0x80
_BEFORE_VALIDITY: Final = 3
"""serialNumber, signature, issuer"""


class Validity(NamedTuple):
    """The bounds, aware, in UTC; both belong to the time in which the certificate is valid."""

    begins: datetime
    ends: datetime


class NoCertificate(ValueError):
    """There is no X.509 certificate in what was read."""


def validity(pem: bytes) -> Validity:
    """The ``Validity`` of the first certificate in ``pem`` (RFC 5280, section 4.1). Raises
    ``NoCertificate``."""
    try:
        certificate, _ = _element(_der(pem), 0)
        to_be_signed, _ = _element(certificate.content, 0)
        fields = _elements(to_be_signed.content)
        without_version = fields[1:] if fields[0].tag == _VERSION else fields
        begins, ends = _elements(without_version[_BEFORE_VALIDITY].content)
        return Validity(_moment(begins), _moment(ends))
    except (IndexError, ValueError) as error:
        raise NoCertificate("not a certificate (PEM)") from error


class _Element(NamedTuple):
    """One value in DER: ITU-T X.690, section 8.1."""

    tag: int
    content: bytes


def _der(pem: bytes) -> bytes:
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("no BEGIN CERTIFICATE")
    return base64.b64decode(found[1])


def _elements(der: bytes) -> list[_Element]:
    found, at = [], 0
    while at < len(der):
        element, at = _element(der, at)
        found.append(element)
    return found


def _element(der: bytes, at: int) -> tuple[_Element, int]:
    """The element that begins at ``at``, and where the next one does."""
    tag, length, begin = der[at], der[at + 1], at + 2
    if length & _LONG_LENGTH:
        octets = length & ~_LONG_LENGTH
        begin += octets
        length = int.from_bytes(der[begin - octets : begin], "big")
    end = begin + length
    if end > len(der):
        raise ValueError("cut short")
    return _Element(tag, der[begin:end]), end


def _moment(element: _Element) -> datetime:
    """UTCTime, whose two digits mean 1950 to 2049, or GeneralizedTime; both end in Z (RFC 5280, section
    4.1.2.5)."""
    text = element.content.decode("ascii")
    if element.tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif element.tag != _GENERALIZED_TIME:
        raise ValueError("neither kind of time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
