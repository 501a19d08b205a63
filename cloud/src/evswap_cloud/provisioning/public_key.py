"""The public key of a certificate, as bytes that can be compared.

``cryptography`` is imported when a certificate is looked at, and not before: the other functions share this
code and would pay for it at every cold start.
"""


class InvalidCertificate(ValueError):
    """Not a certificate; ``problem`` says what it lacks."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"no X.509 certificate: {problem}")


def public_key_of(pem: str) -> bytes:
    """The certificate's SubjectPublicKeyInfo in DER. Raises ``InvalidCertificate``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_pem_x509_certificate

    try:
        key = load_pem_x509_certificate(pem.encode()).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidCertificate(str(error)) from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
