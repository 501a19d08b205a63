"""The public key of a certificate, as bytes that can be compared.

Whether two certificates have one key is all that the hook asks of X.509. A library for it would make the
functions' zip three times as large and every cold start slower, so the few nested elements that lead there
are walked here (RFC 5280, section 4.1; DER: ITU-T X.690, sections 8.1 and 10.1). A test compares the result
with the library's.
"""

import ssl
from typing import Final

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_FIELDS_BEFORE_KEY: Final = 5
"""serialNumber, signature, issuer, validity, subject; an optional version stands before them."""
_LONG_FORM: Final = 0x80


class InvalidCertificate(ValueError):
    """Not a certificate; ``problem`` says what it lacks."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"no X.509 certificate: {problem}")


def public_key_of(pem: str) -> bytes:
    """The certificate's SubjectPublicKeyInfo in DER. Raises ``InvalidCertificate``."""
    try:
        der = ssl.PEM_cert_to_DER_cert(pem.strip())
    except ValueError as error:
        raise InvalidCertificate(str(error)) from error
    to_be_signed = _content(_Element(_content(_Element(der, 0)), 0))
    return _subject_public_key_info(to_be_signed)


class _Element:
    """The DER element that begins at ``start``: tag, content, and where it ends."""

    def __init__(self, der: bytes, start: int) -> None:
        if start + 2 > len(der):
            raise InvalidCertificate("it ends too early")
        self.tag = der[start]
        length, begin = _length(der, start + 1)
        self.end = begin + length
        if self.end > len(der):
            raise InvalidCertificate("an element is longer than the whole")
        self.content = der[begin : self.end]
        self.whole = der[start : self.end]


def _length(der: bytes, at: int) -> tuple[int, int]:
    """The length that is written at ``at``, and where the content begins."""
    first = der[at]
    if first < _LONG_FORM:
        return first, at + 1
    size = first - _LONG_FORM
    written = der[at + 1 : at + 1 + size]
    if size == 0 or len(written) < size:
        raise InvalidCertificate("a length is not definite")
    return int.from_bytes(written), at + 1 + size


def _content(element: _Element) -> bytes:
    if element.tag != _SEQUENCE:
        raise InvalidCertificate(f"a sequence was expected, found tag {element.tag:#04x}")
    return element.content


def _subject_public_key_info(to_be_signed: bytes) -> bytes:
    element = _Element(to_be_signed, 0)
    skip = _FIELDS_BEFORE_KEY + (element.tag == _VERSION)
    for _ in range(skip):
        element = _Element(to_be_signed, element.end)
    _content(element)
    return element.whole
