"""Whether a customer who shows a token at the station may swap, without anybody to ask.

The token becomes a keyed hash at once. What the station keeps for that hash was signed by the cloud; it holds
from a moment to a moment, at some stations, and so many times.

    KeysUnusable          path    a file of keys is missing, readable by others, or no key
    AuthorisationRefused          a signed authorisation that is not to be kept
"""

import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from evswap_edge.clock import Stamp
from evswap_edge.config import EstimatedClock
from evswap_edge.swaps.journal import Known
from evswap_schema import (
    Authorisation,
    Clock,
    InvalidMessage,
    RefusalReason,
    SignedAuthorisation,
    decode_authorisation,
    token_hash,
)

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MOST_TELLING: Final = (
    RefusalReason.LIMIT_REACHED,
    RefusalReason.CLOCK_UNKNOWN,
    RefusalReason.NOT_YET_VALID,
    RefusalReason.EXPIRED,
)
"""Of the reasons why each of a customer's authorisations does not hold: the first of these is told."""

Verify = Callable[[bytes, bytes], None]
"""Raises when the first is not the signature over the second."""


class KeysUnusable(Exception):
    """A file with a key that cannot be used. ``path`` names it, ``problem`` says what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class AuthorisationRefused(Exception):
    """It is not kept. ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def hasher(path: Path) -> Callable[[str], str]:
    """What makes a token into the hash that may leave the station, with the network's key in ``path`` (hex,
    for its owner alone). Raises ``KeysUnusable``."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
            raise KeysUnusable(path, f"others may read it; chmod 600 {path}")
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        token_hash(key, "")
    except (OSError, ValueError) as error:
        raise KeysUnusable(path, f"has to hold the network's key for tokens in hex ({error})") from error
    return lambda token: token_hash(key, token)


class Signers:
    """The cloud's keys by which authorisations are believed."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        """``files`` hold Ed25519 public keys in PEM, by their ``key_id``. Raises ``KeysUnusable``."""
        self._keys = {key_id: _public_key(path) for key_id, path in files.items()}

    def believed(self, signed: SignedAuthorisation, *, station_id: str) -> Authorisation:
        """What was signed. Raises ``AuthorisationRefused``."""
        verify = self._keys.get(signed.key_id)
        if verify is None:
            raise AuthorisationRefused(
                f"it is signed by {signed.key_id}, a key that this station does not know"
            )
        try:
            verify(signed.signature, signed.payload)
        except ValueError as error:
            raise AuthorisationRefused(f"its signature by {signed.key_id} is wrong") from error
        try:
            authorisation = decode_authorisation(signed.payload)
        except InvalidMessage as error:
            raise AuthorisationRefused(f"what {signed.key_id} signed is no authorisation: {error}") from error
        if authorisation.stations is not None and station_id not in authorisation.stations:
            raise AuthorisationRefused(f"{authorisation.authorisation_id} is not for this station")
        return authorisation


def judged(
    known: Sequence[Known], now: Stamp, *, latest: float, estimated: EstimatedClock
) -> Authorisation | RefusalReason:
    """The authorisation of those ``known`` for a customer that holds ``now``, or why none does.

    A clock that is a guess, on a machine without a battery for it, stands in the past: it is later than it
    shows, and later than ``latest``. What has expired by then has expired; whether the rest holds,
    ``estimated`` decides. That it does not hold yet such a clock cannot tell, and is not asked.
    """
    reasons = set()
    for one in known:
        reason = _objection(one, now, latest=latest, estimated=estimated)
        if reason is None:
            return one.authorisation
        reasons.add(reason)
    return next((reason for reason in _MOST_TELLING if reason in reasons), RefusalReason.UNAUTHORISED)


def _objection(known: Known, now: Stamp, *, latest: float, estimated: EstimatedClock) -> RefusalReason | None:
    right = now.clock is Clock.SYNCHRONIZED
    moment = now.wall_s if right else max(now.wall_s, latest)
    authorisation = known.authorisation
    if moment >= authorisation.expires_at.timestamp():
        return RefusalReason.EXPIRED
    if right and moment < authorisation.valid_from.timestamp():
        return RefusalReason.NOT_YET_VALID
    if not right and estimated is EstimatedClock.REFUSE:
        return RefusalReason.CLOCK_UNKNOWN
    return RefusalReason.LIMIT_REACHED if known.used >= authorisation.max_swaps else None


def _public_key(path: Path) -> Verify:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise KeysUnusable(path, f"has to hold an Ed25519 public key in PEM ({error})") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeysUnusable(path, "has to hold an Ed25519 public key in PEM; it is of another kind")

    def verify(signature: bytes, payload: bytes) -> None:
        try:
            key.verify(signature, payload)
        except InvalidSignature as error:
            raise ValueError("no signature of this key") from error

    return verify
