"""The emulated nucleus behaves as nucleus lite 2.6 was seen to: AWS's own client talks to it here."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from awsiot import greengrasscoreipc
from awsiot.eventstreamrpc import ConnectionClosedError, StreamClosedError
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from evswap_edge.emulators import EmulatorError
from evswap_edge.emulators.greengrass import access
from evswap_edge.emulators.greengrass.commands import Commands
from evswap_edge.emulators.greengrass.configuration import Configuration
from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.emulators.greengrass.operations import matches
from evswap_edge.emulators.greengrass.recipe import read_recipe
from evswap_edge.emulators.greengrass.uplink import Broker, Published
from evswap_edge.eventstream import Frame, encode
from evswap_schema import (
    Reading,
    decode_acknowledgement,
    encode_batches,
    encode_reading,
    message_digest,
    rewrite_batch,
)
from tests.edge.conftest import Eventually, MakeReading
from tests.edge.nuclei import EVERYTHING_ALLOWED

Ipc = Any  # GreengrassCoreIPCClientV2: the SDK has no types
CONNECT: dict[str, int | str] = {
    ":message-type": 4,
    ":message-flags": 0,
    ":stream-id": 0,
    ":version": "0.1.0",
}


class Surroundings:
    """A nucleus, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.events: list[dict[str, Any]] = []
        defaults = EVERYTHING_ALLOWED | {
            "station": {"sampling": {"interval_s": 5, "fast": True}, "names": ["a", 1]}
        }
        self.nucleus = EmulatedNucleus(
            folder / "ipc.socket",
            component="com.evswap.Station",
            thing_name="station-01",
            configuration=Configuration(defaults),
            tell=lambda event: self.events.append(dict(event)),
        )

    async def client(self) -> Ipc:
        client = await asyncio.to_thread(
            greengrasscoreipc.connect, ipc_socket=str(self.nucleus.socket), authtoken=self.nucleus.token
        )
        return GreengrassCoreIPCClientV2(client=client, executor=ThreadPoolExecutor(max_workers=1))


@asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[tuple[Surroundings, Ipc]]:
    around = Surroundings(folder)
    await around.nucleus.start()
    ipc = await around.client()
    try:
        yield around, ipc
    finally:
        await asyncio.to_thread(ipc.close)
        await around.nucleus.aclose()


def answer(future: "Future[Any]") -> "asyncio.Future[Any]":
    return asyncio.wrap_future(future)


def publish(ipc: Ipc, size: int = 10, topic: str = "a/b") -> "asyncio.Future[Any]":
    return answer(
        ipc.publish_to_iot_core_async(topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=bytes(size))
    )


# --- the wire ---------------------------------------------------------------------------------------------


async def test_whoever_knows_no_svcuid_is_hung_up_on_without_a_word(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, _):
        for first in (
            encode(Frame(CONNECT, b'{"authToken": "guess"}')),
            encode(
                Frame(
                    CONNECT | {":version": "0.2.0"}, json.dumps({"authToken": around.nucleus.token}).encode()
                )
            ),
            encode(Frame(CONNECT, b"no json")),
            encode(Frame({":message-type": 0, ":stream-id": 1, "operation": "aws.greengrass#UpdateState"})),
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_unix_connection(around.nucleus.socket)
            writer.write(first)
            assert await reader.read() == b""
            writer.close()


def _says_that_the_connection_is_closed(error: RuntimeError) -> bool:
    """The client's own error, or that of the library under it when the client has not learned it yet."""
    return isinstance(error, ConnectionClosedError) or "EVENT_STREAM_RPC_CONNECTION_CLOSED" in str(error)


async def test_a_frame_over_the_limit_ends_the_connection(tmp_path: Path, eventually: Eventually) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        with pytest.raises(StreamClosedError):
            await publish(ipc, 8_000)
        await eventually(lambda: any("over 10000" in event.get("hung_up", "") for event in around.events))
        with pytest.raises(RuntimeError, check=_says_that_the_connection_is_closed):
            await publish(ipc)
        assert around.nucleus.published == []


async def test_after_a_restart_the_old_svcuid_is_void(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, _):
        old = around.nucleus.token
        around.nucleus.restart()
        assert around.nucleus.token != old
        with pytest.raises(Exception, match="CLOSED"):
            await asyncio.to_thread(
                greengrasscoreipc.connect, ipc_socket=str(around.nucleus.socket), authtoken=old
            )
        again = await around.client()
        assert (await answer(again.update_state_async(state="RUNNING"))) is not None
        await asyncio.to_thread(again.close)


@pytest.mark.parametrize(
    "ask",
    [
        lambda ipc: ipc.get_secret_value_async(secret_id="s"),
        lambda ipc: ipc.get_thing_shadow_async(thing_name="t", shadow_name=""),
        lambda ipc: ipc.list_components_async(),
        lambda ipc: ipc.put_component_metric_async(metrics=[]),
    ],
    ids=["secrets", "shadows", "components", "metrics"],
)
async def test_what_nucleus_lite_does_not_have_is_a_service_error_without_a_text(
    tmp_path: Path, ask: Callable[[Ipc], "Future[Any]"]
) -> None:
    async with surroundings(tmp_path) as (_, ipc):
        with pytest.raises(model.ServiceError) as refused:
            await answer(ask(ipc))
        assert str(refused.value) == ""


# --- configuration and state ------------------------------------------------------------------------------


async def test_scalars_of_a_recipe_are_text_and_those_of_a_deployment_what_they_are(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        read = ipc.get_configuration_async
        assert (await answer(read(key_path=["station"]))).value == {
            "sampling": {"interval_s": "5", "fast": "true"},
            "names": ["a", "1"],
        }
        around.nucleus.configure({"station": {"sampling": {"interval_s": 1}}})
        sampling = (await answer(read(key_path=["station", "sampling"]))).value
        assert sampling == {"interval_s": 1, "fast": "true"}
        assert (await answer(read(key_path=["station", "sampling", "interval_s"]))).value == {"interval_s": 1}
        for nothing in (
            {"key_path": ["station", "none"]},
            {"key_path": ["station"], "component_name": "other"},
        ):
            with pytest.raises(model.ResourceNotFoundError):
                await answer(read(**nothing))


async def test_an_event_names_the_leaf_alone_and_nothing_comes_of_no_change(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        seen: list[list[str]] = []
        started, _ = ipc.subscribe_to_configuration_update_async(
            key_path=["station"],
            on_stream_event=lambda event: seen.append(event.configuration_update_event.key_path),
        )
        await answer(started)
        around.nucleus.configure({"station": {"sampling": {"interval_s": "5"}}, "other": 1})
        around.nucleus.configure({"station": {"sampling": {"interval_s": 2}}})
        await answer(
            ipc.update_configuration_async(key_path=["station", "sampling"], value_to_merge={"interval_s": 3})
        )
        await eventually(lambda: seen == [["interval_s"], ["interval_s"]])


async def test_a_request_that_makes_no_sense_is_a_service_error_and_the_connection_stays(
    tmp_path: Path,
) -> None:
    async with surroundings(tmp_path) as (_, ipc):
        for nonsense in (
            ipc.update_configuration_async(key_path=["station", "names"], value_to_merge={"a": 1}),
            ipc.publish_to_iot_core_async(topic_name="a/b", qos="often", payload=b""),
            ipc.publish_to_iot_core_async(qos="1", payload=b""),
        ):
            with pytest.raises(model.ServiceError):
                await answer(nonsense)
        await publish(ipc)


async def test_a_state_is_heard(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        await answer(ipc.update_state_async(state="RUNNING"))
        assert {"state": "RUNNING"} in around.events


# --- AWS IoT Core -----------------------------------------------------------------------------------------


async def test_the_eleventh_publish_without_a_puback_is_refused(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        around.nucleus.set_broker(Broker.SILENT)
        for _ in range(10):
            await publish(ipc)  # a success, although the broker has nothing
        assert around.nucleus.published == []
        with pytest.raises(model.ServiceError):
            await publish(ipc)
        around.nucleus.set_broker(Broker.UP)
        await publish(ipc)
        assert len(around.nucleus.published) == 11


async def test_a_link_that_breaks_loses_what_the_component_was_told_is_sent(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        around.nucleus.set_broker(Broker.SILENT)
        await publish(ipc)
        around.nucleus.set_broker(Broker.DOWN)
        with pytest.raises(model.ServiceError):
            await publish(ipc)
        around.nucleus.set_broker(Broker.UP)
        assert (around.nucleus.published, {"lost": 1} in around.events) == ([], True)


async def test_a_losing_broker_takes_any_number_and_nobody_gets_them(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        around.nucleus.set_broker(Broker.LOSING)
        await asyncio.gather(*(publish(ipc) for _ in range(30)))
        around.nucleus.set_broker(Broker.UP)
        await publish(ipc)
        assert (len(around.nucleus.published), around.nucleus.status()["lost"]) == (1, 30)


async def test_the_link_may_come_back_later_than_the_broker(tmp_path: Path, eventually: Eventually) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        around.nucleus.set_broker(Broker.DOWN)
        around.nucleus.set_broker(Broker.UP, after_s=0.05)
        with pytest.raises(model.ServiceError):
            await publish(ipc)
        await eventually(lambda: {"broker": Broker.UP} in around.events)
        await publish(ipc)
        around.nucleus.set_broker(Broker.DOWN, after_s=3600)
        await publish(ipc)


async def test_what_comes_down_while_there_is_no_link_is_kept_by_nobody(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        seen = await listened(ipc)
        for broker in (Broker.SILENT, Broker.LOSING, Broker.DOWN):
            around.nucleus.set_broker(broker)
            around.nucleus.deliver(Published("down/x", broker.encode()))
        around.nucleus.set_broker(Broker.UP)
        around.nucleus.deliver(Published("down/x", b"up"))
        await eventually(lambda: seen == [b"up"])
        assert around.events.count({"lost_on_the_way_down": "down/x"}) == 3


async def listened(ipc: Ipc, **callbacks: Any) -> list[bytes]:
    """What comes on down/+ from now on."""
    seen: list[bytes] = []
    started, _ = ipc.subscribe_to_iot_core_async(
        topic_name="down/+",
        qos="1",
        on_stream_event=lambda event: seen.append(event.message.payload),
        **callbacks,
    )
    await answer(started)
    return seen


async def test_nobody_can_subscribe_while_there_is_no_link(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        around.nucleus.set_broker(Broker.DOWN)
        with pytest.raises(model.ServiceError):
            await listened(ipc)


async def test_subscriptions_are_ended_or_forgotten(tmp_path: Path, eventually: Eventually) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        seen = await listened(ipc, on_stream_closed=lambda: loop.call_soon_threadsafe(ended.set))
        around.nucleus.forget_subscriptions()
        around.nucleus.deliver(Published("down/x", b"forgotten"))
        await publish(ipc)
        assert (seen, ended.is_set()) == ([], False)
        ended.clear()
        seen = await listened(ipc, on_stream_closed=lambda: loop.call_soon_threadsafe(ended.set))
        around.nucleus.end_subscriptions()
        await ended.wait()
        await publish(ipc)


async def test_the_cloud_acknowledges_what_asks_for_it_and_nothing_else(
    tmp_path: Path, eventually: Eventually, make_reading: MakeReading
) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        seen: list[bytes] = []
        started, _ = ipc.subscribe_to_iot_core_async(
            topic_name="ev/station/s-1/acknowledgement",
            qos="1",
            on_stream_event=lambda event: seen.append(event.message.payload),
        )
        await answer(started)
        reading = msgspec.structs.replace(make_reading(station_id="s-1"), stream_id="stream", sequence=1)
        silent, asking = encode_reading(reading), asking_for_acknowledgement(reading)
        (packed,) = encode_batches([reading], topic="x")
        batch = rewrite_batch(packed.payload, acknowledge=True)

        async def send(topic: str, payload: bytes) -> None:
            await answer(ipc.publish_to_iot_core_async(topic_name=topic, qos="1", payload=payload))

        await send("ev/station/s-1/telemetry", asking)
        around.nucleus.acknowledging = True
        await send("ev/station/s-1/telemetry", silent)
        await send("ev/station/s-1/telemetry", b"no reading")
        await send("ev/station/s-1/elsewhere", asking)
        await send("a/b", asking)
        await send("ev/station/s-1/telemetry", asking)
        await send("$aws/rules/evswap_batch/ev/station/s-1/telemetry/batch", batch)
        await eventually(lambda: sum(len(decode_acknowledgement(raw).digests) for raw in seen) >= 2)
        named = [digest for raw in seen for digest in decode_acknowledgement(raw).digests]
        assert named == [message_digest(asking), message_digest(batch)]


def asking_for_acknowledgement(reading: Reading) -> bytes:
    return encode_reading(msgspec.structs.replace(reading, acknowledge=True))


async def test_a_long_message_for_the_component_vanishes(tmp_path: Path, eventually: Eventually) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        seen: list[int] = []
        started, operation = ipc.subscribe_to_iot_core_async(
            topic_name="down/+",
            qos="1",
            on_stream_event=lambda event: seen.append(len(event.message.payload)),
        )
        await answer(started)
        for size in (4_999, 5_000, 1):
            around.nucleus.deliver(Published("down/x", bytes(size)))
        around.nucleus.deliver(Published("elsewhere/x", b""))
        await eventually(lambda: seen == [4_999, 1])
        assert {"vanished": 5_000} in around.events
        await asyncio.wrap_future(operation.close())
        around.nucleus.deliver(Published("down/x", b"nobody listens any more"))
        await publish(ipc)
        assert seen == [4_999, 1]


async def test_components_talk_to_each_other(tmp_path: Path, eventually: Eventually) -> None:
    async with surroundings(tmp_path) as (_, ipc):
        seen: list[bytes] = []
        started, _ = ipc.subscribe_to_topic_async(
            topic="local/#", on_stream_event=lambda event: seen.append(event.binary_message.message)
        )
        await answer(started)
        message = model.PublishMessage(binary_message=model.BinaryMessage(message=b"hello"))
        await answer(ipc.publish_to_topic_async(topic="local/x", publish_message=message))
        await eventually(lambda: seen == [b"hello"])


# --- access -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "topic", "allowed"),
    [
        ("ev/station/*/telemetry", "ev/station/s-1/telemetry", True),
        ("ev/station/*/telemetry", "ev/station/s-1/telemetry/batch", False),
        ("ev/station/*/telemetry", "Xev/station/s-1/telemetry", False),
        ("ev/station/+/telemetry", "ev/station/s-1/telemetry", True),
        ("ev/station/+/telemetry", "ev/station/s-1/s-2/telemetry", False),
        ("$aws/rules/r/#", "$aws/rules/r/ev/x", True),
        ("ev/station/{iot:thingName}/telemetry", "ev/station/s-1/telemetry", False),
        ("ev/station/s.1/telemetry", "ev/station/s-1/telemetry", False),
    ],
)
def test_which_resource_covers_which_topic(resource: str, topic: str, allowed: bool) -> None:
    operation = "aws.greengrass#PublishToIoTCore"
    control = {access.MQTT: {"policy": {"operations": [operation], "resources": [resource]}}}
    asked = {"service": access.MQTT, "operation": operation, "resource": topic}
    assert access.is_allowed(control, **asked) is allowed
    assert not access.is_allowed(control, **asked | {"operation": "aws.greengrass#SubscribeToIoTCore"})
    assert not access.is_allowed(control, **asked | {"service": access.LOCAL})
    assert not access.is_allowed(None, **asked)


async def test_what_no_policy_allows_is_unauthorized(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        around.nucleus.configure({"accessControl": {access.MQTT: {"all": {"resources": ["other/*"]}}}})
        with pytest.raises(model.UnauthorizedError) as refused:
            await publish(ipc)
        assert str(refused.value) == ""
        assert around.nucleus.published == []


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matching"),
    [
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a.b", "axb", False),
    ],
)
def test_which_filter_matches_which_topic(topic_filter: str, topic: str, matching: bool) -> None:
    assert matches(topic_filter, topic) is matching


# --- what a person types ----------------------------------------------------------------------------------


async def test_commands_are_obeyed_and_wrong_ones_explained(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, ipc):
        obey = Commands(around.nucleus).obey
        assert obey("fail UnauthorizedError 2\n") == "ok"
        answers = [publish(ipc) for _ in range(3)]
        await asyncio.wait(answers)
        assert [type(each.exception()) for each in answers] == [model.UnauthorizedError] * 2 + [type(None)]
        assert obey("answers hold") == obey("answers release") == obey("broker silent") == "ok"
        status = json.loads(obey("status").removeprefix("ok "))
        assert (status["published"], status["refused"]) == (1, {"UnauthorizedError": 2})
        for wrong, hint in (
            ("broker sideways", "up, silent, down"),
            ("configure {", "JSON object"),
            ("configure []", "JSON object"),
            ("broker up soon", "after how many seconds"),
            ("acknowledge", "on or off"),
            ("refuse Everything", "GetConfiguration"),
            ("refuse UpdateState often", "how often"),
            ("subscriptions", "end or forget"),
            ("answers", "hold or release"),
            ("fail Everything", "ServiceError"),
            ("publish", "a topic"),
            ("sing", "configure, broker"),
        ):
            assert obey(wrong).startswith("error: ")
            assert hint in obey(wrong)
        for command in ("acknowledge on", "acknowledge off", "subscriptions end", "subscriptions forget"):
            assert obey(command) == "ok"
        assert obey("broker down 0.5") == "ok"
        assert obey("refuse UpdateState") == "ok"
        with pytest.raises(model.ServiceError):
            await answer(ipc.update_state_async(state="RUNNING"))
        await answer(ipc.update_state_async(state="RUNNING"))
        assert obey("restart") == f"ok SVCUID={around.nucleus.token}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [("a: [", "is no YAML"), ("- 1", "is it a recipe"), ("componentname: x", "case-sensitive")],
)
def test_a_file_that_is_no_recipe_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "recipe.yaml"
    with pytest.raises(EmulatorError, match="cannot be read"):
        read_recipe(file)
    file.write_text(text)
    with pytest.raises(EmulatorError, match=problem):
        read_recipe(file)


async def test_a_socket_that_cannot_be_made_is_refused_and_no_file_is_removed_for_it(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("not a socket")
    for path in (file, tmp_path / "nowhere" / "ipc.socket", tmp_path / ("long" * 40)):
        nucleus = EmulatedNucleus(path, component="c", thing_name="t", configuration=Configuration({}))
        with pytest.raises(EmulatorError, match="name another path"):
            await nucleus.start()
    assert file.read_text() == "not a socket"
