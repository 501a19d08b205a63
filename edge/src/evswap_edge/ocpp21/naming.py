"""What OCPP asks a name for: messages, events, customers, and whose extensions a document carries."""

import re
from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid5

from evswap_edge.ocpp21.checking import InvalidPayload
from evswap_edge.ocpp21.frames import Document

VENDOR: Final = "evswap"
"""``vendorId`` of what stands in ``customData``."""

Hashed = Callable[[str], str]
"""Makes a customer's token into the network's keyed hash."""

_NAMESPACE: Final = UUID("2f0f8a7c-7a0e-5a55-9a0c-53a5c8b0f3d1")
"""Never changes: a message that is sent again, be it by another process, has to have the same id."""
_GREATEST_EVENT_ID: Final = 2**31 - 1
_TOKEN_HASH: Final = re.compile(r"[0-9a-f]{64}")


def message_id_of(*identity: object) -> str:
    """The same for the same thing, whoever sends it however often."""
    return str(uuid5(_NAMESPACE, "/".join(map(str, identity))))


def event_id_of(*identity: object) -> int:
    """The same for a number: ``eventId``."""
    return uuid5(_NAMESPACE, "/".join(map(str, identity))).int & _GREATEST_EVENT_ID


def token_hash_in(id_token: Document, *, action: str, hashed: Hashed | None) -> str:
    """The customer that an ``IdTokenType`` names. One that is a keyed hash already is taken as it is; any
    other is made into one at once.

    Raises ``InvalidPayload`` for a token in clear where there is no key.
    """
    token = str(id_token["idToken"])
    if _TOKEN_HASH.fullmatch(token.lower()):
        return token.lower()
    if hashed is None:
        rule = "has to be the network's keyed hash: this side has no key to make it from a token in clear"
        raise InvalidPayload(action, field="idToken.idToken", rule=rule, value="")
    return hashed(token)
