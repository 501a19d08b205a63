"""The function ``provision``: the pre-provisioning hook of fleet provisioning.

When it raises, AWS IoT refuses the request, and the station tries again.
"""

from typing import Any

from evswap_cloud import wiring
from evswap_cloud.provisioning import Allowed, Request, decide


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point."""
    request, logger = Request.of(event), wiring.logger("provision")
    decision = decide(request, wiring.registry())
    told = {
        "station_id": request.station_id,
        "certificate_id": event.get("certificateId"),
        "claim_certificate_id": event.get("claimCertificateId"),
        "client_id": event.get("clientId"),
    }
    if isinstance(decision, Allowed):
        logger.info("certificate allowed", extra=told)
        return {"allowProvisioning": True}
    logger.warning("certificate refused: %s", decision.why.value, extra=told)
    return {"allowProvisioning": False}
