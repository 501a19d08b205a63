"""Ends the connections of stations whose certificate is not active any more.

ministack looks at a certificate when its owner connects, and never again; AWS IoT disconnects whom it has
deactivated.
"""

import asyncio
import hashlib
import importlib
from typing import Any


async def disconnect_revoked_every(interval_s: float) -> None:
    """Looks every ``interval_s`` seconds, until cancelled."""
    while True:
        await asyncio.sleep(interval_s)
        disconnect_revoked()


def disconnect_revoked() -> None:
    """Aborts each MQTT connection whose certificate nobody holds as active. Runs on the event loop."""
    iot: Any = importlib.import_module("ministack.services.iot")
    records = list(iot._certificates._data.items())
    active = {key for (_account, _region, key), record in records if record["status"] == "ACTIVE"}
    for writer in list(iot._mtls_sessions):
        if writer.is_closing():  # asyncio has taken apart what would be asked
            continue
        ssl_object = writer.get_extra_info("ssl_object")
        certificate = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        if certificate is None or hashlib.sha256(certificate).hexdigest() in active:
            continue
        if iot._mtls_resolve_identity(certificate) is None:  # a provisioning claim may hold it yet
            writer.transport.abort()
