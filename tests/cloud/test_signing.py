"""Authorisations: signed by a key of one's own, known to the ledger before any station hears of them."""

import base64
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from evswap_cloud.__main__ import main
from evswap_cloud.errors import CommandError, SigningKeyError
from evswap_cloud.ledger import memory_book
from evswap_cloud.signing import authorise, grant, keep_key, orders_for, read_key, secret_key, send
from evswap_schema import (
    Authorisation,
    CacheAuthorisations,
    decode_authorisation,
)
from evswap_schema.limits import MAX_AUTHORISATIONS
from tests.cloud.commands_at_hand import Cloud, order
from tests.cloud.messages import NOW

TOKEN = "a" * 64


def authorisation(number: int = 1) -> Authorisation:
    return Authorisation(
        authorisation_id=f"A-{number}",
        id_token=TOKEN,
        valid_from=NOW,
        expires_at=NOW + timedelta(days=1),
        max_swaps=2,
    )


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = keep_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keep_key(path).key_id == read_key(path).key_id == made.key_id
    assert keep_key(tmp_path / "other.pem").key_id != made.key_id
    assert "PRIVATE" not in repr(made)


def test_what_is_signed_is_believed_by_the_public_half_and_nothing_else(tmp_path: Path) -> None:
    key = keep_key(tmp_path / "key.pem")
    signed = key.sign(authorisation())
    public = serialization.load_pem_public_key(key.public_pem)
    assert isinstance(public, Ed25519PublicKey)
    public.verify(signed.signature, signed.payload)
    assert signed.key_id == key.key_id
    assert decode_authorisation(signed.payload) == authorisation()
    with pytest.raises(InvalidSignature):
        public.verify(signed.signature, signed.payload.replace(b'"max_swaps":2', b'"max_swaps":9'))


def test_what_is_granted_is_in_the_ledger_and_keeps_what_was_spent() -> None:
    book = memory_book()
    grant([authorisation()], book)
    account = book.accounts.get("A-1")
    assert account is not None
    assert account.grant is not None
    assert (account.grant.id_token, account.grant.max_swaps) == (TOKEN, 2)


def told_by(cloud: Cloud, station_id: str) -> list[Authorisation]:
    """What the station was told of, in this order."""
    return [
        decode_authorisation(signed.payload)
        for message in cloud.plane.published
        if message.command.station_id == station_id
        and isinstance(message.command.action, CacheAuthorisations)
        for signed in message.command.action.authorisations
    ]


def let(wanted: list[Authorisation], stations: list[str], cloud: Cloud, folder: Path) -> int:
    return authorise(
        wanted,
        stations,
        key=keep_key(folder / "key.pem"),
        ledger=memory_book(),
        dispatcher=cloud.dispatcher,
        issued_by="clerk",
        now=NOW,
    )


def test_each_station_hears_of_all_in_commands_that_fit(tmp_path: Path) -> None:
    cloud, wanted = Cloud(), [authorisation(number) for number in range(MAX_AUTHORISATIONS + 1)]
    assert let(wanted, ["s-1", "s-2"], cloud, tmp_path) == len(cloud.plane.published) == 4
    assert told_by(cloud, "s-1") == told_by(cloud, "s-2") == wanted
    for message in cloud.plane.published:
        assert message.command.expires_at == NOW + timedelta(days=1), "as long as they hold"


def test_a_station_that_is_away_is_told_when_it_comes_back(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.plane.down = True
    assert let([authorisation()], ["s-1"], cloud, tmp_path) == 1
    cloud.plane.down = False
    cloud.clock.pass_(hours=20)
    assert cloud.dispatcher.deliver("s-1") == 1
    assert told_by(cloud, "s-1") == [authorisation()]


@pytest.mark.parametrize(
    ("left", "life"),
    [
        (timedelta(days=90), timedelta(days=7)),
        (timedelta(hours=2), timedelta(hours=2)),
        (-timedelta(hours=1), timedelta(minutes=5)),
    ],
)
def test_they_wait_for_a_station_as_long_as_they_hold_and_a_command_may(
    tmp_path: Path, left: timedelta, life: timedelta
) -> None:
    key = keep_key(tmp_path / "key.pem")
    one = replace(authorisation(), valid_from=NOW - timedelta(days=1), expires_at=NOW + left)
    [wanted] = orders_for([one], ["s-1"], key=key, issued_by="clerk", now=NOW)
    assert wanted.life == life


def test_authorisations_for_many_stations_come_in_as_many_commands_as_they_need(tmp_path: Path) -> None:
    """Fifty of them would be ten times as long as a command may be."""
    everywhere = tuple(f"{number:064}" for number in range(100))
    wanted = [replace(authorisation(number), stations=everywhere) for number in range(10)]
    cloud = Cloud()
    let(wanted, ["s-1"], cloud, tmp_path)
    assert told_by(cloud, "s-1") == wanted
    assert 1 < len(cloud.plane.published) < len(wanted)


def test_a_command_that_could_not_be_sent_says_so() -> None:
    class Down:
        def publish(self, *, topic: str, qos: int, payload: bytes) -> Any:
            raise EndpointConnectionError(endpoint_url="https://nowhere")

    command = Cloud().dispatcher.issue(order()).record.command
    with pytest.raises(CommandError, match=r"commands/.*EndpointConnectionError"):
        send([command], Down())


class Secrets:
    def __init__(self, answer: dict[str, str] | ClientError) -> None:
        self.answer = answer

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        if isinstance(self.answer, ClientError):
            raise self.answer
        return self.answer


def test_on_aws_the_key_is_a_secret(tmp_path: Path) -> None:
    key = keep_key(tmp_path / "key.pem")
    pem = (tmp_path / "key.pem").read_text()
    assert secret_key(Secrets({"SecretString": pem}), "evswap").key_id == key.key_id


def other_kind() -> str:
    pem = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"SecretString": "no key"}, "holds no private key"),
        ({"SecretString": other_kind()}, "of another kind"),
        ({"SecretBinary": ""}, "holds no text"),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "GetSecretValue"), "AccessDenied"),
    ],
    ids=["text", "kind", "binary", "denied"],
)
def test_a_secret_that_gives_no_key_is_named_with_the_reason(
    answer: dict[str, str] | ClientError, problem: str
) -> None:
    with pytest.raises(SigningKeyError, match=f"evswap: .*{problem}"):
        secret_key(Secrets(answer), "evswap")


def test_a_file_that_gives_no_key_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_bytes(base64.b64encode(b"nothing"))
    with pytest.raises(SigningKeyError, match=r"bad\.pem: holds no private key"):
        keep_key(bad)
    with pytest.raises(SigningKeyError, match="No such file"):
        keep_key(tmp_path / "nowhere" / "key.pem")
    with pytest.raises(SigningKeyError, match="No such file"):
        read_key(tmp_path / "missing.pem")


@pytest.mark.parametrize(
    "wrong",
    [["short"], [TOKEN, "--swaps", "0"], [TOKEN, "--hours", "-1"], [TOKEN, "--station", "a b"]],
)
def test_what_the_contract_refuses_is_wrong_use(
    wrong: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("BATTERIES", "LEDGER", "AUTHORISATIONS", "COMMANDS"):
        monkeypatch.setenv(f"EVSWAP_{name}_TABLE", "t")
    key = ["--key-file", str(tmp_path / "key.pem")]
    with pytest.raises(SystemExit) as ended:
        main(["authorise", *wrong, "--station", "station-01", *key])
    assert ended.value.code == 2
    assert "authorise" in capsys.readouterr().err
