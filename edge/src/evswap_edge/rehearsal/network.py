"""A made-up network: its keys, and what its cloud would have signed for its customers."""

import hashlib
import stat
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evswap_schema import (
    Authorisation,
    CacheAuthorisations,
    SignedAuthorisation,
    encode_authorisation,
    token_hash,
)
from evswap_schema.limits import MAX_AUTHORISATIONS

_KEY_ID: Final = "rehearsal"
_OPENS: Final = timedelta(days=1)
"""So long before the story begins, and after it ends, an authorisation holds."""
_MOST_SWAPS: Final = 1_000


class Network:
    """The key for tokens follows from ``seed``, as their hashes are part of the story; the one that signs is
    anybody's guess, and of no use when the story is over."""

    def __init__(self, seed: int, folder: Path) -> None:
        """Leave in ``folder`` what a station needs of it."""
        self._token_key = hashlib.sha256(f"tokens of the rehearsal {seed}".encode()).digest()
        self._signing_key = Ed25519PrivateKey.generate()
        self.token_key_file: Final = folder / "tokens.key"
        self.token_key_file.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        self.token_key_file.write_text(self._token_key.hex(), encoding="ascii")
        public_key_file = folder / "network.pem"
        public_key_file.write_bytes(
            self._signing_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        self.authorisation_keys: Final = {_KEY_ID: public_key_file}

    def commands(
        self, station_id: str, tokens: Sequence[str], *, start: datetime, end: datetime
    ) -> list[CacheAuthorisations]:
        """What lets each of ``tokens`` swap at the station from ``start`` to ``end``, in as many commands as
        it takes."""
        signed = [
            self._signed(
                Authorisation(
                    authorisation_id=f"{station_id[-32:]}-{number:05d}",
                    id_token=token_hash(self._token_key, token),
                    valid_from=start - _OPENS,
                    expires_at=end + _OPENS,
                    max_swaps=_MOST_SWAPS,
                    stations=(station_id,),
                )
            )
            for number, token in enumerate(tokens, 1)
        ]
        return [
            CacheAuthorisations(authorisations=tuple(signed[first : first + MAX_AUTHORISATIONS]))
            for first in range(0, len(signed), MAX_AUTHORISATIONS)
        ]

    def _signed(self, authorisation: Authorisation) -> SignedAuthorisation:
        payload = encode_authorisation(authorisation)
        return SignedAuthorisation(payload=payload, key_id=_KEY_ID, signature=self._signing_key.sign(payload))
