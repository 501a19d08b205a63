"""Obtaining the station's own certificate by showing the claim: fleet provisioning over MQTT 5, mutual TLS.

The key is made here and stays here. What can be repeated is: the key is kept, a certificate that fits it ends
the matter, and one is written only when it is registered, whole or not at all. So this may be killed at any
moment and started again.

    ProvisioningError      temporary: whether trying again may help
    ├── NotReached         no connection, or it broke before the answer
    ├── NotAnswered        connected, but no answer came in time
    ├── ClaimRefused       the claim certificate is not accepted, or not for this template
    ├── TemplateUnusable   there is no such template, or it does not do what a station needs
    ├── StationRefused     the cloud gives this station no certificate: most likely its name is in use
    ├── RequestRejected    any other refusal, with the cloud's code and words
    └── NotOurCertificate  what came back certifies another key
"""

from evswap_edge.provisioning.errors import (
    ClaimRefused,
    NotAnswered,
    NotOurCertificate,
    NotReached,
    ProvisioningError,
    RequestRejected,
    StationRefused,
    TemplateUnusable,
)

__all__ = [
    "ClaimRefused",
    "NotAnswered",
    "NotOurCertificate",
    "NotReached",
    "ProvisioningError",
    "RequestRejected",
    "StationRefused",
    "TemplateUnusable",
]
