"""A real broker that refuses a certificate: what a person reads says what to do next."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.transports import Caller, CredentialsError, Transport, load_transport
from evswap_edge.transports.aws_link import AwsIotTransport
from evswap_edge.transports.refusals import remedy
from evswap_schema import Clock
from tests.authority import Authority, common_name, key_pem, new_key
from tests.edge.conftest import Eventually
from tests.mosquitto import Mosquitto

STATION = "station-01"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Shown:
    """The files that a station shows."""

    certificate_file: Path
    key_file: Path


Issue = Callable[..., Shown]


@pytest.fixture
def issue(tmp_path: Path) -> Issue:
    """Makes a certificate for the station, by whom and for when it is told."""

    def one(authority: Authority, *, begins: datetime | None = None, ends: datetime | None = None) -> Shown:
        key, made = new_key(), Shown(tmp_path / "shown.cert.pem", tmp_path / "shown.key.pem")
        pem = authority.sign(common_name(STATION), key.public_key(), begins=begins, ends=ends)
        made.certificate_file.write_bytes(pem)
        made.key_file.write_bytes(key_pem(key))
        return made

    return one


def revoked(broker: Mosquitto, issue: Issue, tmp_path: Path) -> Shown:
    shown = issue(broker.authority)
    broker.revoke(shown.certificate_file)
    return shown


def expired(broker: Mosquitto, issue: Issue, tmp_path: Path) -> Shown:
    now = datetime.now(UTC)
    return issue(broker.authority, begins=now - 2 * DAY, ends=now - DAY)


def not_yet_valid(broker: Mosquitto, issue: Issue, tmp_path: Path) -> Shown:
    now = datetime.now(UTC)
    return issue(broker.authority, begins=now + DAY, ends=now + 2 * DAY)


def foreign(broker: Mosquitto, issue: Issue, tmp_path: Path) -> Shown:
    return issue(Authority(tmp_path, "foreign"))


REFUSED = [revoked, expired, not_yet_valid, foreign]


class UnsetClock(SystemTime):
    """As after a power cut, before NTP has answered."""

    def state(self) -> Clock:
        return Clock.ESTIMATED


@asynccontextmanager
async def opened(name: str, broker: Mosquitto, shown: Shown) -> AsyncIterator[Transport]:
    kind = load_transport(name)
    settings = kind.settings(
        host=broker.host,
        port=broker.port,
        certificate_file=shown.certificate_file,
        key_file=shown.key_file,
        ca_file=broker.ca_file,
    )
    kind.check(settings, UnsetClock())
    transport = await kind.open(settings, Caller(station_id=STATION, time=UnsetClock()))
    try:
        yield transport
    finally:
        await transport.aclose()


@asynccontextmanager
async def dialling(transport: Transport) -> AsyncIterator[None]:
    task = asyncio.create_task(transport.connect())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("refused", REFUSED)
async def test_aws_iot_s_transport_says_what_it_shows_and_what_that_may_mean(
    refused: Callable[..., Shown],
    issue: Issue,
    mosquitto: Mosquitto,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    eventually: Eventually,
) -> None:
    shown = refused(mosquitto, issue, tmp_path)
    async with opened("aws-iot", mosquitto, shown) as transport, dialling(transport):
        await eventually(lambda: "connection to" in caplog.text)
    for said in (
        "revoked or not active, out of its time, or of another authority",
        f"{shown.certificate_file} is valid from",
        "this machine's clock, which nothing has set, says",
        "obtain one with `evswap-edge provision`",
    ):
        assert said in caplog.text
    assert len([record for record in caplog.records if "connection to" in record.message]) == 1, "once"


@pytest.mark.parametrize("refused", REFUSED)
async def test_the_mqtt_transport_says_that_the_broker_refuses_it(
    refused: Callable[..., Shown],
    issue: Issue,
    mosquitto: Mosquitto,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    eventually: Eventually,
) -> None:
    """With the broker's own reason, at the latest when that has arrived before it hangs up."""
    shown = refused(mosquitto, issue, tmp_path)
    async with opened("mqtt", mosquitto, shown) as transport, dialling(transport):
        await eventually(lambda: "the broker refuses this station's certificate" in caplog.text)
    told = [record for record in caplog.records if "the broker refuses this station's" in record.message]
    assert len(told) == 1
    assert f"nothing can be sent: {shown.certificate_file}: " in told[0].message


@pytest.mark.parametrize("name", ["aws-iot", "mqtt"])
async def test_the_same_station_comes_in_with_a_certificate_that_is_in_order(
    name: str, issue: Issue, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with opened(name, mosquitto, issue(mosquitto.authority)) as transport, asyncio.timeout(20):
        await transport.connect()


@pytest.mark.parametrize("refused", [expired, not_yet_valid])
async def test_with_a_clock_that_is_set_it_is_refused_before_anything_is_tried(
    refused: Callable[..., Shown],
    issue: Issue,
    mosquitto: Mosquitto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(UnsetClock, "state", lambda _: Clock.SYNCHRONIZED)
    with pytest.raises(CredentialsError, match=r"expired at|is not valid before"):
        async with opened("aws-iot", mosquitto, refused(mosquitto, issue, tmp_path)):
            pass


async def test_a_link_that_is_released_leaves_its_name_to_another_and_comes_back_with_the_files_of_then(
    issue: Issue, mosquitto: Mosquitto, tmp_path: Path, eventually: Eventually
) -> None:
    shown = issue(mosquitto.authority)
    former = tmp_path / "former.pem"
    former.write_bytes(shown.certificate_file.read_bytes())
    async with opened("aws-iot", mosquitto, shown) as transport, asyncio.timeout(60):
        assert isinstance(transport, AwsIotTransport)
        await transport.connect()
        async with transport.released():
            waiting = asyncio.create_task(transport.connect())
            async with opened("aws-iot", mosquitto, shown) as other:
                await other.connect()
                assert not waiting.done()
            issue(mosquitto.authority)
            mosquitto.revoke(former)
        await waiting


def test_what_has_nothing_to_do_with_the_certificate_leads_nobody_there(tmp_path: Path) -> None:
    nowhere = tmp_path / "none.pem"
    assert remedy("AWS_IO_DNS_INVALID_NAME", None, certificate_file=nowhere, time=SystemTime()) == ""
    assert remedy("AWS_IO_SOCKET_CLOSED", 0x89, certificate_file=nowhere, time=SystemTime()) == ""
    policy = remedy(
        "AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED", 0x87, certificate_file=nowhere, time=SystemTime()
    )
    assert "attached to the thing of that name" in policy
    assert "does not exist" in remedy(
        "AWS_IO_SOCKET_CLOSED", None, certificate_file=nowhere, time=SystemTime()
    )
