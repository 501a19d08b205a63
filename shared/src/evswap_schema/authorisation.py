"""Authorisations: what lets a station swap for a customer while the cloud cannot be asked.

The cloud signs them (Ed25519, RFC 8032) and the station keeps them. The signature is over the bytes of
``payload`` as they are; nobody has to write them again to check it. A customer's token is in them, and in
every other message, as a keyed hash alone: HMAC-SHA-256 with a key that the network's stations and cloud
share.
"""

import hmac
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from evswap_schema import codec
from evswap_schema.fields import ShortText, StationId, Timestamp, TokenHash
from evswap_schema.limits import MAX_AUTHORISATION_BYTES

AuthorisationId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", description="An authorisation; unique for ever.")
]
KeyId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z", description="Which of the cloud's keys has signed.")
]
_SIGNATURE_BYTES: Final = 64
MIN_TOKEN_KEY_BYTES: Final = 32
"""Shortest key for ``token_hash``: as long as the hash (RFC 2104, section 3)."""


class Authorisation(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="authorisation"
):
    """A customer may swap ``max_swaps`` times from ``valid_from`` until ``expires_at`` (exclusive).

    ``stations`` are those at which it holds, each counting for itself; None: all of the network. ``tier`` is
    what the customer has paid for; which batteries that means is the station's configuration.
    """

    authorisation_id: AuthorisationId
    id_token: TokenHash
    valid_from: Timestamp
    expires_at: Timestamp
    max_swaps: Annotated[int, Meta(ge=1, le=1_000)]
    stations: Annotated[tuple[StationId, ...], Meta(min_length=1, max_length=100)] | None = None
    tier: ShortText | None = None

    def __post_init__(self) -> None:
        if self.expires_at <= self.valid_from:
            raise ValueError("expires_at has to be later than valid_from")


class SignedAuthorisation(Struct, frozen=True, kw_only=True):
    """The bytes that ``encode_authorisation`` gave, and the signature over them; both base64 in JSON."""

    payload: Annotated[bytes, Meta(min_length=2, max_length=MAX_AUTHORISATION_BYTES)]
    key_id: KeyId
    signature: Annotated[bytes, Meta(min_length=_SIGNATURE_BYTES, max_length=_SIGNATURE_BYTES)]


def encode_authorisation(authorisation: Authorisation) -> bytes:
    """Write ``authorisation`` canonically, which is what is signed: JSON, keys sorted, no spaces
    between."""
    return msgspec.json.encode(authorisation, order="sorted")


def decode_authorisation(payload: bytes) -> Authorisation:
    """Read a payload, whose signature is to be checked before; raises ``OversizedMessage``,
    ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(payload, Authorisation, limit=MAX_AUTHORISATION_BYTES)


def token_hash(key: bytes, token: str) -> str:
    """The form in which ``token`` may leave a station: HMAC-SHA-256, in hex.

    Raises ``ValueError`` for a ``key`` of fewer than ``MIN_TOKEN_KEY_BYTES``.
    """
    if len(key) < MIN_TOKEN_KEY_BYTES:
        raise ValueError(
            f"a key for tokens has at least {MIN_TOKEN_KEY_BYTES} bytes; this one has {len(key)}"
        )
    return hmac.new(key, token.encode(), "sha256").hexdigest()
