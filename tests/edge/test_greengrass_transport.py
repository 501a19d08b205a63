"""What is the greengrass transport's own: it keeps to the limits of nucleus lite, so that they never hit.

What every transport owes is in test_transports.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.emulators.greengrass import access
from evswap_edge.emulators.greengrass.configuration import Configuration
from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.emulators.greengrass.uplink import Broker, Published
from evswap_edge.message import Message
from evswap_edge.transports import (
    Caller,
    NotAcknowledged,
    NotConnected,
    NotUnderGreengrass,
    ReasonCode,
    Rejected,
    RestartRequired,
    listening,
    load_transport,
)
from evswap_edge.transports.greengrass import GreengrassTransport, Settings, frame_bytes
from evswap_edge.transports.nucleus import Door
from tests.edge.conftest import Eventually
from tests.edge.nuclei import EVERYTHING_ALLOWED

CALLER = Caller(station_id="station-01", time=SystemTime())
TOPIC = "ev/station/station-01/telemetry"


@asynccontextmanager
async def emulated(
    folder: Path, defaults: Mapping[str, Any] = EVERYTHING_ALLOWED
) -> AsyncIterator[EmulatedNucleus]:
    nucleus = EmulatedNucleus(
        folder / "ipc.socket", component="c", thing_name="station-01", configuration=Configuration(defaults)
    )
    await nucleus.start()
    try:
        yield nucleus
    finally:
        await nucleus.aclose()


@asynccontextmanager
async def connected(
    nucleus: EmulatedNucleus, *, timeout_s: float = 20.0, caller: Caller = CALLER
) -> AsyncIterator[GreengrassTransport]:
    door = Door.of(nucleus.environment())
    transport = GreengrassTransport(Settings(acknowledge_timeout_s=timeout_s), door, caller)
    try:
        await transport.connect()
        yield transport
    finally:
        await transport.aclose()


def message(size: int = 10, *, topic: str = TOPIC) -> Message:
    return Message(topic, bytes(size))


# --- frames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1_000, 7_000])
@pytest.mark.parametrize("topic", [TOPIC, "$aws/rules/evswap_batch/ev/station/stätion/telemetry/batch"])
async def test_the_size_of_a_frame_is_known_before_it_is_sent(tmp_path: Path, size: int, topic: str) -> None:
    """To the byte, as AWS's own client writes it: an SDK that writes others is noticed here."""
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        sent = message(size, topic=topic)
        await transport.send(sent)
        assert nucleus.largest_frame == frame_bytes(sent)


async def test_the_longest_frame_passes_and_a_byte_more_is_never_sent(tmp_path: Path) -> None:
    """A nucleus that saw the longer one would close the connection."""
    fits = max(size for size in range(7_000, 7_500) if frame_bytes(message(size)) <= 10_000)
    too_long = message(next(size for size in range(fits, 7_500) if frame_bytes(message(size)) > 10_000))
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        await transport.send(message(fits))
        with pytest.raises(Rejected, match="more than 10000") as refused:
            await transport.send(too_long)
        assert (refused.value.reason_code, refused.value.permanent) == (ReasonCode.PACKET_TOO_LARGE, True)
        assert 9_990 < nucleus.largest_frame <= 10_000
        await transport.send(message())
        assert len(nucleus.published) == 2


# --- under way --------------------------------------------------------------------------------------------


async def test_ten_are_under_way_at_most_and_the_others_wait_for_a_place(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        nucleus.hold_answers()
        sending = [asyncio.create_task(transport.send(message())) for _ in range(25)]
        await eventually(lambda: len(nucleus.operations.held) == 10)
        nucleus.release_answers()
        await asyncio.gather(*sending)
        assert len(nucleus.published) == 25
        assert nucleus.operations.most_under_way == 10
        assert nucleus.operations.refused == {}


async def test_whoever_gave_up_waiting_still_takes_a_place(tmp_path: Path, eventually: Eventually) -> None:
    """The message is under way until the nucleus says otherwise."""
    async with emulated(tmp_path) as nucleus, connected(nucleus, timeout_s=0.2) as transport:
        nucleus.hold_answers()
        answers = await asyncio.gather(
            *(transport.send(message()) for _ in range(10)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {NotAcknowledged}
        with pytest.raises(NotAcknowledged, match=r"within 0\.2 s"):
            await transport.send(message())
        assert len(nucleus.operations.held) == 10
        nucleus.release_answers()
        await eventually(lambda: len(nucleus.published) == 10)
        await transport.send(message())
        assert nucleus.operations.most_under_way == 10


async def test_a_broker_that_is_away_is_reported_once_and_its_return_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="evswap_edge")
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        nucleus.set_broker(Broker.DOWN)
        for _ in range(3):
            with pytest.raises(NotConnected, match="down, or too much is under way") as refused:
                await transport.send(message())
            assert refused.value.reason_code is None
            await transport.connect()
        nucleus.set_broker(Broker.UP)
        await transport.send(message())
    lines = [record.getMessage() for record in caplog.records if "way to AWS IoT Core" in record.getMessage()]
    assert [line.partition(": ")[2][:11] for line in lines] == ["the nucleus", "works again"]


async def test_whoever_asks_is_told_what_errors_and_successes_say_of_the_link(tmp_path: Path) -> None:
    told: list[bool] = []
    caller = replace(CALLER, on_link=told.append)
    async with emulated(tmp_path) as nucleus:
        async with connected(nucleus, caller=caller) as transport:
            assert told == [True]
            nucleus.set_broker(Broker.DOWN)
            for _ in range(3):
                with pytest.raises(NotConnected):
                    await transport.send(message())
                await transport.connect()
            assert told == [True, False]
            nucleus.set_broker(Broker.UP)
            await transport.send(message())
            assert told == [True, False, True]
        assert told == [True, False, True, False]


async def test_whoever_asks_is_told_that_the_nucleus_is_gone(tmp_path: Path, eventually: Eventually) -> None:
    told: list[bool] = []
    caller = replace(CALLER, on_link=told.append)
    async with emulated(tmp_path) as nucleus, connected(nucleus, caller=caller):
        nucleus.restart()
        await eventually(lambda: told == [True, False])


async def test_a_missing_permission_is_named_with_what_to_add(tmp_path: Path) -> None:
    async with emulated(tmp_path, {}) as nucleus, connected(nucleus) as transport:
        with pytest.raises(Rejected) as refused:
            await transport.send(message())
    assert (refused.value.reason_code, refused.value.permanent) == (ReasonCode.NOT_AUTHORIZED, False)
    for part in ("accessControl", "aws.greengrass#PublishToIoTCore", TOPIC, "aws.greengrass.ipc.mqttproxy"):
        assert part in str(refused.value)


async def test_an_error_that_nobody_expects_is_no_reason_to_give_a_message_up(tmp_path: Path) -> None:
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        nucleus.operations.to_fail.append("InvalidArgumentsError")
        with pytest.raises(Rejected, match="InvalidArgumentsError") as refused:
            await transport.send(message())
        assert not refused.value.permanent


# --- what comes down --------------------------------------------------------------------------------------

DOWN = "ev/station/station-01/commands/+"
ON_THE_WAY_DOWN = 50
"""So that there is something whenever a stream is replaced. The nucleus's answers come behind it: told
without a bound, messages pile up faster than they are heard, and each answer takes a multiple of the last."""


class Ear:
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def __call__(self, topic: str, payload: bytes) -> None:
        assert topic == "ev/station/station-01/commands/1"
        self.heard.append(payload)


def tell(nucleus: EmulatedNucleus, payload: bytes) -> None:
    nucleus.deliver(Published("ev/station/station-01/commands/1", payload))


async def test_messages_are_heard_in_the_order_in_which_they_come(
    tmp_path: Path, eventually: Eventually
) -> None:
    ear = Ear()
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        await transport.subscribe(DOWN, ear)
        sent = [str(n).encode() for n in range(2_000)]
        for payload in sent:
            tell(nucleus, payload)
        await eventually(lambda: len(ear.heard) == len(sent))
    assert ear.heard == sent


async def test_a_message_of_five_thousand_bytes_vanishes_and_the_next_one_comes(
    tmp_path: Path, eventually: Eventually
) -> None:
    ear = Ear()
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        await transport.subscribe(DOWN, ear)
        for size in (4_999, 5_000, 1):
            tell(nucleus, bytes(size))
        await eventually(lambda: len(ear.heard) == 2)
    assert [len(payload) for payload in ear.heard] == [4_999, 1]


async def test_whoever_subscribes_before_there_is_a_link_hears_from_its_beginning(
    tmp_path: Path, eventually: Eventually
) -> None:
    ear = Ear()
    async with emulated(tmp_path) as nucleus:
        transport = GreengrassTransport(Settings(), Door.of(nucleus.environment()), CALLER)
        await transport.subscribe(DOWN, ear)
        await transport.connect()
        tell(nucleus, b"1")
        await eventually(lambda: ear.heard == [b"1"])
        await transport.aclose()


async def test_without_a_link_to_the_broker_the_nucleus_is_asked_until_it_has_one(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="evswap_edge")
    ear = Ear()
    async with emulated(tmp_path) as nucleus:
        nucleus.set_broker(Broker.DOWN)
        transport = GreengrassTransport(Settings(), Door.of(nucleus.environment()), CALLER)
        await transport.subscribe(DOWN, ear)
        connecting = asyncio.create_task(transport.connect())
        await eventually(lambda: nucleus.operations.refused["ServiceError"] >= 3)
        assert not connecting.done()
        nucleus.set_broker(Broker.UP)
        await connecting
        tell(nucleus, b"1")
        await eventually(lambda: ear.heard == [b"1"])
        await transport.aclose()
    lines = [record.getMessage() for record in caplog.records if DOWN in record.getMessage()]
    assert [line.partition(": ")[2][:11] for line in lines] == ["not connect", "works again"]


async def test_a_stream_that_ends_is_begun_again(tmp_path: Path, eventually: Eventually) -> None:
    """As when the nucleus's MQTT daemon is restarted under it."""
    ear = Ear()
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        await transport.subscribe(DOWN, ear)
        nucleus.end_subscriptions()
        await eventually(lambda: nucleus.status()["subscriptions"] == 1)
        tell(nucleus, b"1")
        await eventually(lambda: ear.heard == [b"1"])


async def test_whoever_doubts_that_it_is_still_subscribed_asks_again_and_hears_nothing_twice(
    tmp_path: Path, eventually: Eventually
) -> None:
    """As when the nucleus has forgotten the subscription without a word."""
    ear = Ear()
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        await transport.subscribe(DOWN, ear)
        nucleus.forget_subscriptions()
        tell(nucleus, b"lost")
        for n in range(3):
            await transport.subscribe(DOWN, ear)
            await eventually(lambda: nucleus.status()["subscriptions"] == 1)
            tell(nucleus, str(n).encode())
            await eventually(lambda: ear.heard[-1:] == [str(n).encode()])  # noqa: B023
        assert ear.heard == [b"0", b"1", b"2"]


async def test_nothing_is_lost_while_a_subscription_is_made_anew(
    tmp_path: Path, eventually: Eventually
) -> None:
    ear = Ear()
    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        await transport.subscribe(DOWN, ear)
        sent: list[bytes] = []
        while nucleus.operations.asked["SubscribeToIoTCore"] < 6:
            if len(sent) - len(set(ear.heard)) < ON_THE_WAY_DOWN:
                sent.append(str(len(sent)).encode())
                tell(nucleus, sent[-1])
            await transport.subscribe(DOWN, ear)
            await asyncio.sleep(0)
        await eventually(lambda: set(ear.heard) == set(sent))


async def test_two_hear_the_same_and_one_that_raises_harms_nobody(
    tmp_path: Path, eventually: Eventually
) -> None:
    ear, other = Ear(), Ear()
    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context["exception"]))

    def fails(topic: str, payload: bytes) -> None:
        raise LookupError(topic)

    async with emulated(tmp_path) as nucleus, connected(nucleus) as transport:
        await transport.subscribe(DOWN, fails)
        await transport.subscribe(DOWN, ear)
        await transport.subscribe("ev/station/station-01/#", other)
        for payload in (b"1", b"2"):
            tell(nucleus, payload)
        await eventually(lambda: ear.heard == other.heard == [b"1", b"2"])
    assert [type(problem) for problem in problems] == [LookupError] * 2


async def test_a_subscription_that_access_control_lacks_is_named_and_holds_up_nothing_else(
    tmp_path: Path,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is asked for again: a deployment that mends it does not restart the component."""
    monkeypatch.setattr(listening, "_LOOK_AGAIN_S", 0.01)
    ear, heard = Ear(), Ear()
    hears = {"operations": ["*"], "resources": ["ev/station/station-01/commands/1", TOPIC]}
    control = {"accessControl": {access.MQTT: {"all": hears}}}
    async with emulated(tmp_path, control) as nucleus, connected(nucleus) as transport:
        with pytest.raises(Rejected, match=r"accessControl has no \S+SubscribeToIoTCore"):
            await transport.subscribe(DOWN, ear)
        await transport.subscribe("ev/station/station-01/commands/1", heard)
        await transport.connect()
        await transport.send(message())
        tell(nucleus, b"1")
        await eventually(lambda: heard.heard == [b"1"])
        nucleus.configure({"accessControl": {access.MQTT: {"all": {"resources": ["*"]}}}})
        await eventually(lambda: nucleus.status()["subscriptions"] == 2)
        tell(nucleus, b"2")
        await eventually(lambda: ear.heard == [b"2"])
    assert caplog.text.count("SubscribeToIoTCore") == 1


async def test_whoever_waits_for_a_subscription_learns_that_the_nucleus_is_gone(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with emulated(tmp_path) as nucleus:
        nucleus.set_broker(Broker.DOWN)
        transport = GreengrassTransport(Settings(), Door.of(nucleus.environment()), CALLER)
        await transport.subscribe(DOWN, Ear())
        connecting = asyncio.create_task(transport.connect())
        await eventually(lambda: nucleus.operations.refused["ServiceError"])
        nucleus.restart()
        with pytest.raises(RestartRequired):
            await connecting
        await transport.aclose()


async def test_no_link_is_waited_for_any_more_when_the_transport_is_closed(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with emulated(tmp_path) as nucleus:
        nucleus.set_broker(Broker.DOWN)
        transport = GreengrassTransport(Settings(), Door.of(nucleus.environment()), CALLER)
        await transport.subscribe(DOWN, Ear())
        connecting = asyncio.create_task(transport.connect())
        await eventually(lambda: nucleus.operations.refused["ServiceError"])
        await transport.aclose()
        with pytest.raises(NotConnected):
            await connecting


# --- the nucleus itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("left_behind", [False, True], ids=["no socket", "a socket that nobody listens to"])
async def test_a_nucleus_that_is_not_there_yet_is_waited_for(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture, left_behind: bool
) -> None:
    if left_behind:
        with socket.socket(socket.AF_UNIX) as of_an_earlier_run:
            of_an_earlier_run.bind(str(tmp_path / "ipc.socket"))
    nucleus = EmulatedNucleus(
        tmp_path / "ipc.socket",
        component="c",
        thing_name="station-01",
        configuration=Configuration(EVERYTHING_ALLOWED),
    )
    transport = GreengrassTransport(Settings(), Door.of(nucleus.environment()), CALLER)
    connecting = asyncio.create_task(transport.connect())
    await eventually(lambda: "nobody listens" in caplog.text)
    await nucleus.start()
    await connecting
    await transport.send(message())
    await transport.aclose()
    await nucleus.aclose()
    assert caplog.text.count("nobody listens") == 1


async def test_a_restarted_nucleus_takes_no_svcuid_of_the_one_before(tmp_path: Path) -> None:
    async with emulated(tmp_path) as nucleus:
        old = Door.of(nucleus.environment())
        nucleus.restart()
        transport = GreengrassTransport(Settings(), old, CALLER)
        with pytest.raises(RestartRequired, match="SVCUID may be an old one"):
            await transport.connect()
        await transport.aclose()


@pytest.mark.parametrize("missing", ["SVCUID", "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"])
async def test_an_environment_that_no_nucleus_gave_is_refused_by_name(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVCUID", "x")
    monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", "/x")
    monkeypatch.delenv(missing)
    kind = load_transport("greengrass")
    ways: list[Callable[[], object]] = [
        lambda: kind.check(kind.settings(), SystemTime()),
        lambda: Door.of(os.environ),
    ]
    for way in ways:
        with pytest.raises(NotUnderGreengrass, match=rf"has no {missing}, .*emulate greengrass") as refused:
            way()
        assert refused.value.variable == missing
