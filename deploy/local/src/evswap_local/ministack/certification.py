"""CreateCertificateFromCsr over MQTT, which ministack 1.5.33 takes and never answers.

It answers CreateKeysAndCertificate, where the key is made in the cloud and travels. Ours is made on the
station and stays there: the request is signed here as ministack signs one over HTTP, and what follows
(ownership token, RegisterThing, the hook) is ministack's own.
"""

import asyncio
import importlib
import json
import secrets
import time
from typing import Any

CREATE_FROM_CSR = "create-from-csr"
TOPIC = "$aws/certificates/create-from-csr/json"

Reply = tuple[str, dict[str, Any]]


def sign_requests_over_mqtt() -> None:
    """Answers the topic like the other topics of fleet provisioning."""
    iot: Any = importlib.import_module("ministack.services.iot")
    parse, reply = iot._parse_fleet_provisioning_topic, iot._fleet_provisioning_reply

    def parse_all(topic: str) -> tuple[str, str | None] | None:
        found: tuple[str, str | None] | None = parse(topic)
        return (CREATE_FROM_CSR, None) if topic == TOPIC else found

    async def reply_to_all(
        account_id: str, region: str, operation: str, template: str | None, payload: bytes, connection: Any
    ) -> Reply:
        if operation == CREATE_FROM_CSR:
            return await asyncio.to_thread(_sign, iot, account_id, region, payload)
        answer: Reply = await reply(account_id, region, operation, template, payload, connection)
        return answer

    iot._parse_fleet_provisioning_topic = parse_all
    iot._fleet_provisioning_reply = reply_to_all


def _sign(iot: Any, account_id: str, region: str, payload: bytes) -> Reply:
    """The certificate, not active yet, and the token that shows who asked for it."""
    try:
        certificate = iot.sign_certificate_request(*iot._ensure_ca(), _request(payload))
    except ValueError:
        refused: Reply = iot._fleet_rejected("InvalidCertificateSigningRequest", "CSR violates constraints")
        return refused
    certificate_id = iot.get_certificate_id(certificate)
    token = secrets.token_urlsafe(48)
    with iot.request_scope(account_id, region):
        record = iot._certificate_record(certificate_id, certificate, "PENDING_ACTIVATION")
        iot._certificates[certificate_id] = record
        iot._drop_expired(iot._ownership_tokens)
        iot._ownership_tokens[token] = {
            "certificateId": certificate_id,
            "expiration": time.time() + iot._OWNERSHIP_TOKEN_SECONDS,
        }
    return "accepted", {
        "certificateId": certificate_id,
        "certificatePem": certificate,
        "certificateOwnershipToken": token,
    }


def _request(payload: bytes) -> str:
    """The CSR in the payload; raises ValueError."""
    document = json.loads(payload)
    request = document.get("certificateSigningRequest") if isinstance(document, dict) else None
    if not isinstance(request, str):
        raise ValueError("no certificateSigningRequest")  # noqa: TRY004 - one error for whatever is no request
    return request
