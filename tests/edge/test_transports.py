"""One contract, every transport: ``send`` returns when the far side has accepted, and raises otherwise; what
was subscribed to is heard, whatever becomes of the links.
"""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from evswap_edge import keys
from evswap_edge.message import Message
from evswap_edge.transports import (
    PERMANENT,
    Assurance,
    CredentialsError,
    NotAcknowledged,
    NotConnected,
    ReasonCode,
    Rejected,
    RestartRequired,
    TransportError,
    identity,
    load_transport,
)
from tests.authority import Authority, key_pem, new_key
from tests.edge.conftest import Eventually
from tests.edge.far_sides import (
    CALLER,
    STATION,
    Ears,
    Open,
    OpenMqtt5,
    aws_iot,
    greengrass,
    issue,
    memory,
    mqtt,
)

MESSAGE = Message(topic="ev/station/station-01/telemetry", payload=b'{"n":1}')
COMMANDS = "ev/station/station-01/commands/+"

OPEN: dict[str, Open] = {"memory": memory, "aws-iot": aws_iot, "mqtt": mqtt, "greengrass": greengrass}
every_transport = pytest.mark.parametrize("open_transport", OPEN.values(), ids=OPEN.keys())
self_mending_transport = pytest.mark.parametrize(
    "open_transport", [memory, aws_iot, mqtt], ids=["memory", "aws-iot", "mqtt"]
)
broker_transport = pytest.mark.parametrize("open_transport", [aws_iot, mqtt], ids=["aws-iot", "mqtt"])


def put(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)


def command(number: int) -> str:
    return COMMANDS.replace("+", str(number))


@every_transport
async def test_send_returns_when_the_far_side_has_every_byte(open_transport: Open, tmp_path: Path) -> None:
    payload = bytes(range(256)) * 20
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        await transport.send(Message(MESSAGE.topic, payload))
        assert far.accepted == [(MESSAGE.topic, payload)]


@every_transport
async def test_no_subscriber_is_no_failure(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.script.append(ReasonCode.NO_MATCHING_SUBSCRIBERS)
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


@every_transport
async def test_a_refusal_is_raised_with_its_code(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        for code in far.refusals:
            far.script.append(code)
            with pytest.raises(Rejected, match=f"{code:#04x}") as refused:
                await transport.send(MESSAGE)
            assert refused.value.reason_code == code
            assert refused.value.permanent == (code in PERMANENT)
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


@every_transport
async def test_each_message_has_its_own_answer(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.script.extend([ReasonCode.SUCCESS, ReasonCode.NOT_AUTHORIZED] * 10)
        messages = [Message(MESSAGE.topic, str(n).encode()) for n in range(20)]
        answers = await asyncio.gather(*map(transport.send, messages), return_exceptions=True)
        taken = [messages[n].payload for n, answer in enumerate(answers) if answer is None]
        assert sorted(taken) == sorted(payload for _, payload in far.accepted)
        assert len(taken) == 10
        assert all(isinstance(answer, Rejected) for answer in answers if answer is not None)


@every_transport
async def test_without_a_link_nothing_is_sent(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        with pytest.raises(NotConnected) as refused:
            await transport.send(MESSAGE)
        assert refused.value.reason_code is None
        assert far.accepted == []


@self_mending_transport
@pytest.mark.parametrize("code", [None, ReasonCode.PACKET_TOO_LARGE, ReasonCode.QUOTA_EXCEEDED])
async def test_a_link_that_breaks_fails_what_is_under_way_says_why_and_comes_back(
    open_transport: Open, tmp_path: Path, eventually: Eventually, code: ReasonCode | None
) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.go_silent()
        sending = asyncio.create_task(transport.send(MESSAGE))
        await eventually(lambda: far.under_way == 1)
        far.cut(reason_code=code)
        with pytest.raises(NotConnected) as broken:
            await sending
        assert broken.value.reason_code == code
        await transport.connect()
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


async def test_a_nucleus_that_is_gone_is_gone_for_this_process(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Whoever is not self-mending: a new nucleus takes no SVCUID of the old one."""
    async with greengrass(tmp_path) as (transport, far):
        await transport.connect()
        far.go_silent()
        sending = asyncio.create_task(transport.send(MESSAGE))
        await eventually(lambda: far.under_way == 1)
        far.cut()
        with pytest.raises(RestartRequired, match="started again"):
            await sending
        for again in (transport.connect, lambda: transport.send(MESSAGE)):
            with pytest.raises(RestartRequired):
                await again()
        assert far.accepted == []


@every_transport
async def test_a_send_that_is_cancelled_harms_no_other(
    open_transport: Open, tmp_path: Path, eventually: Eventually
) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.go_silent()
        sending = asyncio.create_task(transport.send(MESSAGE))
        await eventually(lambda: far.under_way == 1)
        sending.cancel()
        await asyncio.wait({sending})
        far.answer_again()
        await transport.send(Message(MESSAGE.topic, b"the next"))
        assert (MESSAGE.topic, b"the next") in far.accepted


@every_transport
async def test_closing_is_safe_at_any_time(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, _):
        await transport.aclose()
    async with open_transport(tmp_path) as (transport, _):
        await transport.connect()
        await transport.aclose()
        await transport.aclose()
        with pytest.raises(TransportError):
            await transport.send(MESSAGE)


# --- what the link brings down -----------------------------------------------------------------------------


@every_transport
async def test_what_is_subscribed_to_is_heard_in_the_order_of_its_arrival(
    open_transport: Open, tmp_path: Path, eventually: Eventually
) -> None:
    ears, others = Ears(), Ears()
    async with open_transport(tmp_path) as (transport, far):
        await transport.subscribe(COMMANDS, ears)  # before there is a link
        await transport.connect()
        await transport.subscribe("ev/station/station-01/acknowledgement", others)
        sent = [(command(number), str(number).encode()) for number in range(200)]
        for each in sent:
            far.deliver(*each)
        far.deliver("ev/station/station-01/acknowledgement", b"{}")
        await eventually(lambda: len(ears.heard) == len(sent) and others.heard)
        assert ears.heard == sent
        assert others.heard == [("ev/station/station-01/acknowledgement", b"{}")]


@every_transport
async def test_whoever_subscribes_twice_hears_once_and_everyone_hears(
    open_transport: Open, tmp_path: Path, eventually: Eventually
) -> None:
    ears, others = Ears(), Ears()
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        for each in (ears, others, ears):
            await transport.subscribe(COMMANDS, each)
        far.deliver(command(1), b"1")
        far.deliver(command(2), b"2")
        await eventually(lambda: len(others.heard) >= 2 and len(ears.heard) >= 2)
        assert ears.heard == others.heard == [(command(1), b"1"), (command(2), b"2")]


@every_transport
async def test_a_subscriber_that_raises_harms_nobody(
    open_transport: Open, tmp_path: Path, eventually: Eventually
) -> None:
    ears = Ears()
    blamed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: blamed.append(told["exception"]))

    def raises(topic: str, payload: bytes) -> None:
        raise LookupError(topic)

    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        await transport.subscribe(COMMANDS, raises)
        await transport.subscribe(COMMANDS, ears)
        far.deliver(command(1), b"1")
        await eventually(lambda: ears.heard)
        await transport.send(MESSAGE)
        assert far.accepted == [(MESSAGE.topic, MESSAGE.payload)]
    assert [type(error) for error in blamed] == [LookupError]


@self_mending_transport
async def test_a_subscription_outlives_the_link(
    open_transport: Open, tmp_path: Path, eventually: Eventually
) -> None:
    ears = Ears()
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        await transport.subscribe(COMMANDS, ears)
        for number in range(3):
            far.cut()
            await _fails_at_once(lambda: transport.send(MESSAGE), eventually)
            await transport.connect()
            far.deliver(command(number), b"")
            await eventually(lambda: (command(number), b"") in ears.heard)  # noqa: B023 - called at once
        assert ears.heard == [(command(number), b"") for number in range(3)]


async def _fails_at_once(attempt: Callable[[], Awaitable[None]], eventually: Eventually) -> None:
    """Wait until the transport has seen that its link was cut."""
    while True:
        try:
            await attempt()
        except NotConnected:
            return
        await asyncio.sleep(0)


@every_transport
async def test_a_refused_subscription_is_raised_told_once_and_holds_up_nobody(
    open_transport: Open, tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_transport(tmp_path) as (transport, far):
        far.forbid_to_subscribe(COMMANDS)
        await transport.subscribe(COMMANDS, Ears())  # there is no link to be refused by
        await transport.connect()
        await transport.send(MESSAGE)
        with pytest.raises(Rejected, match="0x87") as refused:
            await transport.subscribe(COMMANDS, Ears())
        assert refused.value.topic == COMMANDS
        assert not refused.value.permanent
    told = [line for line in caplog.messages if line.startswith(f"subscription to {COMMANDS}")]
    assert len(told) == 1
    assert "0x87" in told[0]


# --- the link ----------------------------------------------------------------------------------------------


@self_mending_transport
async def test_an_answer_that_got_lost_is_no_success_though_the_far_side_has_the_message(
    open_transport: Open, tmp_path: Path, eventually: Eventually
) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.lose_answers()
        sending = asyncio.create_task(transport.send(MESSAGE))
        await eventually(lambda: far.accepted)
        far.cut()
        with pytest.raises(NotConnected):
            await sending
        await transport.connect()
        await transport.send(MESSAGE)
        assert far.accepted == [(MESSAGE.topic, MESSAGE.payload)] * 2


@self_mending_transport
async def test_whoever_asks_is_told_of_every_link_and_of_its_end(
    open_transport: Open, tmp_path: Path, eventually: Eventually
) -> None:
    told: list[bool] = []
    async with open_transport(tmp_path, replace(CALLER, on_link=told.append)) as (transport, far):
        assert told == []
        await transport.connect()
        assert told == [True]
        far.cut()
        await eventually(lambda: False in told)
        await transport.connect()
        assert told == [True, False, True]
        await transport.aclose()
        await eventually(lambda: told[-1] is False)


@every_transport
async def test_a_transport_says_what_its_acknowledgement_proves(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, _):
        handed_over = open_transport is greengrass
        assert transport.assurance is (Assurance.HANDED_OVER if handed_over else Assurance.DELIVERED)


@every_transport
async def test_nothing_is_left_behind(open_transport: Open, tmp_path: Path, eventually: Eventually) -> None:
    """No task, no thread, no open file; what belongs to the event loop and to awscrt is theirs."""

    async def once(folder: Path) -> None:
        folder.mkdir()
        async with open_transport(folder) as (transport, far):
            await transport.connect()
            await transport.subscribe(COMMANDS, Ears())
            await transport.send(MESSAGE)
            far.cut()
            with suppress(TransportError):
                await transport.send(MESSAGE)

    await once(tmp_path / "first")
    tasks, threads, files = asyncio.all_tasks(), _threads(), _open_files()
    for number in range(3):
        await once(tmp_path / str(number))
    await eventually(lambda: asyncio.all_tasks() <= tasks)
    await eventually(lambda: _threads() <= threads)
    await eventually(lambda: _open_files() <= files)


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def _open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


# --- those with a broker -----------------------------------------------------------------------------------


@broker_transport
async def test_the_client_id_is_the_stations_name(open_transport: OpenMqtt5, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        assert far.clients == [STATION]


@broker_transport
async def test_the_end_is_announced(
    open_transport: OpenMqtt5, tmp_path: Path, eventually: Eventually
) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        await transport.aclose()
        await eventually(lambda: far.goodbyes == 1)


@broker_transport
async def test_what_is_to_be_retained_is_marked_so(open_transport: OpenMqtt5, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        await transport.send(replace(MESSAGE, retain=True))
        await transport.send(MESSAGE)
        assert far.retained == [True, False]


@broker_transport
async def test_files_that_tls_cannot_use_are_said_once_and_others_are_taken_when_they_come(
    open_transport: OpenMqtt5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(identity, "LOOK_AGAIN_S", 0.05)
    told: list[CredentialsError | None] = []
    caller = replace(CALLER, on_credentials=told.append)
    async with open_transport(tmp_path, caller) as (transport, far), asyncio.timeout(20):
        key_file = keys.key_path(tmp_path, STATION)
        right = key_file.read_bytes()
        put(key_file, b"no key any more")
        connecting = asyncio.create_task(transport.connect())
        await eventually(lambda: told)
        put(key_file, key_pem(new_key()))
        await eventually(lambda: len(told) == 2)
        with pytest.raises(NotConnected):
            await transport.send(MESSAGE)
        put(key_file, right)
        await connecting
        await transport.send(MESSAGE)
        assert far.accepted
    assert [problem and problem.problem[:40] for problem in told] == [
        "is no private key (PEM)",
        f"does not belong to the certificate {tmp_path}"[:40],
        None,
    ]


@broker_transport
async def test_an_answer_is_not_waited_for_for_ever(open_transport: OpenMqtt5, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.go_silent()
        with pytest.raises(NotAcknowledged):
            await transport.send(MESSAGE)


@broker_transport
async def test_an_answer_that_comes_twice_counts_once(open_transport: OpenMqtt5, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.answers_twice = True
        far.script.extend([ReasonCode.SUCCESS, ReasonCode.NOT_AUTHORIZED] * 20)
        messages = [replace(MESSAGE, payload=str(n).encode()) for n in range(40)]
        answers = await asyncio.gather(*map(transport.send, messages), return_exceptions=True)
        assert sum(answer is None for answer in answers) == len(far.accepted) == 20


@pytest.mark.parametrize(
    "open_transport", [aws_iot, partial(mqtt, connect_timeout_s=1)], ids=["aws-iot", "mqtt"]
)
async def test_a_subscription_that_is_not_answered_is_asked_for_again(
    open_transport: OpenMqtt5, tmp_path: Path, eventually: Eventually
) -> None:
    ears = Ears()
    async with open_transport(tmp_path) as (transport, far):
        far.subscriptions_to_ignore = 2
        await transport.subscribe(COMMANDS, ears)
        await transport.connect()
        far.deliver(command(1), b"1")
        await eventually(lambda: ears.heard)


@pytest.mark.parametrize(
    "open_transport",
    [partial(aws_iot, keep_alive_s=2), partial(mqtt, keep_alive_s=2)],
    ids=["aws-iot", "mqtt"],
)
async def test_a_link_that_went_deaf_is_found_by_its_keep_alive(
    open_transport: OpenMqtt5, tmp_path: Path, eventually: Eventually
) -> None:
    """Nothing is being sent: only the ping that is not answered tells."""
    told: list[bool] = []
    async with open_transport(tmp_path, replace(CALLER, on_link=told.append)) as (transport, far):
        await transport.connect()
        far.go_deaf()
        await eventually(lambda: told == [True, False])
        far.answer_again()
        await transport.connect()
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


@broker_transport
@pytest.mark.parametrize("topic", ["with/#/wildcard", "with/+/wildcard", ""])
async def test_a_topic_that_is_none_is_refused_before_it_ends_the_connection(
    open_transport: OpenMqtt5, tmp_path: Path, topic: str
) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        with pytest.raises(Rejected) as refused:
            await transport.send(replace(MESSAGE, topic=topic))
        assert (refused.value.reason_code, refused.value.permanent) == (ReasonCode.TOPIC_NAME_INVALID, True)
        with pytest.raises(Rejected):
            await transport.subscribe("with/#/in-the-middle", Ears())
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


@pytest.mark.parametrize("name", ["aws-iot", "mqtt"])
async def test_a_broker_that_hangs_up_is_tried_on_and_reported_once(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    issue(Authority(tmp_path, "ca"), tmp_path)
    kind = load_transport(name)
    attempts = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = kind.settings(
        host="127.0.0.1",
        port=port,
        ca_file=tmp_path / "ca.pem",
        certificate_file=keys.certificate_path(tmp_path, STATION),
        key_file=keys.key_path(tmp_path, STATION),
        reconnect_min_s=0.1,
        reconnect_max_s=0.1,
    )
    transport = await kind.open(settings, CALLER)
    connecting = asyncio.create_task(transport.connect())
    await eventually(lambda: attempts >= 4)
    assert not connecting.done()
    connecting.cancel()
    await transport.aclose()
    server.close()
    await server.wait_closed()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith(f"connection to 127.0.0.1:{port}: ")


# --- aws-iot's own ----------------------------------------------------------------------------------------


async def test_aws_iot_refuses_by_itself_what_aws_would_hang_up_over(tmp_path: Path) -> None:
    async with aws_iot(tmp_path) as (transport, far):
        await transport.connect()
        with pytest.raises(Rejected) as refused:
            await transport.send(replace(MESSAGE, payload=bytes(128 * 1024 + 1)))
        assert (refused.value.reason_code, refused.value.permanent) == (ReasonCode.PACKET_TOO_LARGE, True)
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1
