"""Fleet provisioning by claim: how a station that has no certificate yet asks for its own.

Every new station carries the same *claim* certificate, which is good for nothing but this: to have a request
(CSR) for the station's own key signed, and to register the result under the station's id. Names and topics as
in AWS IoT Core's Developer Guide, "Device provisioning MQTT API". The claim's IoT policy is generated from
here, and the edge publishes by it.
"""

import re
from typing import Final

from evswap_schema.errors import InvalidTopic

TEMPLATE: Final = "evswap-station"
"""The provisioning template of a stack whose names begin with ``evswap``."""

STATION_ID_PARAMETER: Final = "StationId"
"""The template's one parameter; it becomes the thing's name."""

CLAIM_CLIENT_ID_PREFIX: Final = "claim:"
"""How every client id of a claim begins. A station's id cannot hold a colon, so nobody who has the claim
certificate can connect under the id of a running station and push it off."""

CERTIFICATE_REQUEST_TOPIC: Final = "$aws/certificates/create-from-csr/json"
"""CreateCertificateFromCsr."""

ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
"""The last level of the topic on which a request is answered."""

_TEMPLATE_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,36}")


def registration_topic(template: str) -> str:
    """RegisterThing by ``template``. Raises ``InvalidTopic`` for a name that no template can have."""
    if not _TEMPLATE_NAME.fullmatch(template):
        raise InvalidTopic(topic=template, rule=f"a template's name has to match {_TEMPLATE_NAME.pattern}")
    return f"$aws/provisioning-templates/{template}/provision/json"


def answers(request_topic: str) -> tuple[str, str]:
    """The topics on which a request is accepted and rejected."""
    return f"{request_topic}/{ACCEPTED}", f"{request_topic}/{REJECTED}"
