"""Signing authorisations, and sending them to the stations that are to honour them without a link.

The key (Ed25519) stays outside the repository: a file of its own on one machine, a secret of Secrets Manager
on AWS. A station has the public half, under the key's id.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from evswap_cloud.acknowledge import DataPlane
from evswap_cloud.aws import error_code
from evswap_cloud.errors import CommandError, SigningKeyError
from evswap_cloud.ledger import Book
from evswap_cloud.ledger.authorisations import Account, Grant, granted
from evswap_cloud.remote import MAX_LIFE, Dispatcher, Order
from evswap_schema import (
    Authorisation,
    CacheAuthorisations,
    Channel,
    Command,
    SignedAuthorisation,
    broker_topic,
    encode_authorisation,
    encode_command,
)
from evswap_schema.limits import MAX_AUTHORISATIONS, MAX_COMMAND_BYTES

LEAST_LIFE: Final = timedelta(minutes=5)
"""Of a command that tells of what holds for a moment only, or no longer."""

_ROOM: Final = MAX_COMMAND_BYTES - 1_024
"""For authorisations, beside the rest of a command: ids and times take less than 400 bytes."""


class SecretStore(Protocol):
    """What is used of boto3's client ``secretsmanager``."""

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]: ...


class SigningKey(Struct, frozen=True):
    """The private half. Its ``repr`` does not show it."""

    private: Ed25519PrivateKey

    @property
    def key_id(self) -> str:
        """By which stations know the public half: the beginning of its hash."""
        raw = self.private.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        return hashlib.sha256(raw).hexdigest()[:16]

    @property
    def public_pem(self) -> bytes:
        """What stations get."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, authorisation: Authorisation) -> SignedAuthorisation:
        """``authorisation`` as stations take it."""
        payload = encode_authorisation(authorisation)
        return SignedAuthorisation(payload=payload, key_id=self.key_id, signature=self.private.sign(payload))


def keep_key(path: Path) -> SigningKey:
    """The key in the file, which is made, for its owner alone, where there is none; raises
    ``SigningKeyError``."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_key(path)
    except OSError as error:
        raise SigningKeyError(source=str(path), problem=error.strerror or str(error)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return _key_of(pem, str(path))


def read_key(path: Path) -> SigningKey:
    """The key in the file; raises ``SigningKeyError``."""
    try:
        return _key_of(path.read_bytes(), str(path))
    except OSError as error:
        raise SigningKeyError(source=str(path), problem=error.strerror or str(error)) from error


def secret_key(secrets: SecretStore, name: str) -> SigningKey:
    """The key in a secret of AWS, as PEM; raises ``SigningKeyError``."""
    try:
        secret = secrets.get_secret_value(SecretId=name)["SecretString"]
    except (ClientError, BotoCoreError) as error:
        raise SigningKeyError(source=name, problem=error_code(error)) from error
    except KeyError:
        raise SigningKeyError(source=name, problem="holds no text") from None
    return _key_of(secret.encode(), name)


def _key_of(pem: bytes, source: str) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise SigningKeyError(source=source, problem=f"holds no private key in PEM ({error})") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(source=source, problem="holds a key of another kind than Ed25519")
    return SigningKey(key)


def authorise(
    wanted: Collection[Authorisation],
    stations: Iterable[str],
    *,
    key: SigningKey,
    ledger: Book,
    dispatcher: Dispatcher,
    issued_by: str,
    now: datetime,
) -> int:
    """Let customers swap at ``stations`` as is ``wanted``: entered in the ledger, signed, sent; a station
    that is away is sent it when it comes back. Doing it again enters nothing anew and sends it again. Returns
    how many commands were issued; raises ``LedgerError``, ``CommandError``."""
    grant(wanted, ledger)
    orders = orders_for(wanted, stations, key=key, issued_by=issued_by, now=now)
    return sum(1 for _ in map(dispatcher.issue, orders))


def grant(wanted: Iterable[Authorisation], ledger: Book) -> None:
    """Enter what is ``wanted`` in the ledger, before any station hears of it: so nothing is ever spent of an
    authorisation that nobody knows. Raises ``LedgerError``."""
    ledger.accounts.change_all({one.authorisation_id: _entered(one) for one in wanted})


def _entered(one: Authorisation) -> Callable[[Account | None], Account]:
    terms = Grant(one.id_token, one.max_swaps, one.expires_at)
    return partial(granted, authorisation_id=one.authorisation_id, grant=terms)


def orders_for(
    wanted: Collection[Authorisation],
    stations: Iterable[str],
    *,
    key: SigningKey,
    issued_by: str,
    now: datetime,
) -> Iterator[Order]:
    """What tells ``stations`` of what is ``wanted``: to each as few commands as take all of it, for as long
    as any of it holds and a command may wait."""
    parcels = tuple(_parcels(map(key.sign, wanted)))
    left = max((one.expires_at - now for one in wanted), default=LEAST_LIFE)
    for station_id in stations:
        for authorisations in parcels:
            yield Order(
                station_id=station_id,
                action=CacheAuthorisations(authorisations=authorisations),
                issued_by=issued_by,
                life=min(max(left, LEAST_LIFE), MAX_LIFE),
            )


def _parcels(signed: Iterable[SignedAuthorisation]) -> Iterator[tuple[SignedAuthorisation, ...]]:
    """As many as fit into a command: by their number, and by their bytes."""
    parcel: list[SignedAuthorisation] = []
    room = _ROOM
    for one in signed:
        size = len(msgspec.json.encode(one)) + 1
        if parcel and (len(parcel) == MAX_AUTHORISATIONS or size > room):
            yield tuple(parcel)
            parcel, room = [], _ROOM
        parcel.append(one)
        room -= size
    if parcel:
        yield tuple(parcel)


def send(commands: Iterable[Command], data_plane: DataPlane) -> int:
    """Publish ``commands``, each to its station, and count them; raises ``CommandError``."""
    count = 0
    for command in commands:
        topic = broker_topic(Channel.COMMAND, command.station_id, command.command_id)
        try:
            data_plane.publish(topic=topic, qos=1, payload=encode_command(command))
        except (ClientError, BotoCoreError) as error:
            raise CommandError(operation="publish", target=topic, code=error_code(error)) from error
        count += 1
    return count
