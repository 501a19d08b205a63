"""The keys of the network that runs on this machine: made once for a state folder, and kept."""

import secrets
from dataclasses import dataclass, field

from evswap_cloud import signing
from evswap_local.errors import TokenKeyUnusable
from evswap_local.files import write_private
from evswap_local.layout import StateFolder
from evswap_schema import token_hash

TOKEN_KEY_BYTES = 32


@dataclass(frozen=True)
class Network:
    """What makes tokens into hashes, and what signs authorisations."""

    token_key: bytes = field(repr=False)
    signing_key: signing.SigningKey

    def token_hash(self, token: str) -> str:
        """The customer with ``token``, as far as the cloud knows him."""
        return token_hash(self.token_key, token)


def keep_network(state: StateFolder) -> Network:
    """The keys in the state folder; those that are missing are made, for their owner alone.

    Raises ``TokenKeyUnusable`` and ``SigningKeyError`` where a file holds something else.
    """
    return Network(_keep_token_key(state), keep_signing_key(state))


def keep_signing_key(state: StateFolder) -> signing.SigningKey:
    """The key that signs authorisations, with its public half beside it for the stations; raises
    ``SigningKeyError``."""
    key = signing.keep_key(state.authorisation_key)
    write_private(state.authorisation_public_key, key.public_pem.decode("ascii"))
    return key


def _keep_token_key(state: StateFolder) -> bytes:
    if not state.token_key.is_file():
        write_private(state.token_key, secrets.token_hex(TOKEN_KEY_BYTES) + "\n")
    try:
        key = bytes.fromhex(state.token_key.read_text(encoding="ascii").strip())
        token_hash(key, "")
    except ValueError as error:
        raise TokenKeyUnusable(state.token_key, str(error)) from error
    return key
