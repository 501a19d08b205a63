"""Who may have a certificate, and whose is revoked: the decision behind the pre-provisioning hook of fleet
provisioning, and what follows when a station has replaced its own.

Whoever holds the claim certificate can ask for a certificate in the name of any station, and every new
station holds it. So a name that a running station has is not given away: it is given only to who asks with
the *same key* that the station's certificate has, which is the station itself, trying again after it was
interrupted (a CSR proves that its sender has the private key). And it is given to the station that asks over
a connection with the certificate it has, to have that one replaced in time.
"""

from evswap_cloud.provisioning.decision import Allowed, Decision, Refused, Request, Why, decide
from evswap_cloud.provisioning.public_key import InvalidCertificate, public_key_of
from evswap_cloud.provisioning.registry import Certificate, IotRegistry, Registry
from evswap_cloud.provisioning.retirement import InvalidNotice, Retired, retire_former

__all__ = [
    "Allowed",
    "Certificate",
    "Decision",
    "InvalidCertificate",
    "InvalidNotice",
    "IotRegistry",
    "Refused",
    "Registry",
    "Request",
    "Retired",
    "Why",
    "decide",
    "public_key_of",
    "retire_former",
]
