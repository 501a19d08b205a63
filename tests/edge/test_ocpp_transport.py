"""A station and its CSMS: let in or not, told everything once and in order, asked and answered."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from ocpp.exceptions import (  # type: ignore[import-untyped]
    FormatViolationError,
    InternalError,
    NotSupportedError,
)
from ocpp.v21 import call  # type: ignore[import-untyped]
from ocpp.v21.datatypes import IdTokenType  # type: ignore[import-untyped]

from evswap_edge.clock import SystemTime
from evswap_edge.message import Message
from evswap_edge.plugins import PluginUnavailable
from evswap_edge.reporting import Mode
from evswap_edge.transports import (
    Assurance,
    Caller,
    CredentialsError,
    NotAcknowledged,
    NotConnected,
    Rejected,
    Transport,
    TransportError,
    identity,
    load_transport,
)
from evswap_edge.transports.ocpp import Settings
from evswap_schema import (
    AlarmEvent,
    AlarmState,
    Channel,
    Clock,
    Command,
    CommandResult,
    Outcome,
    RequestSwap,
    Reserve,
    SetConfiguration,
    Severity,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    Unlock,
    broker_topic,
    decode_command,
    encode_batches,
    encode_event,
    encode_reading,
    encode_result,
    token_hash,
    topic_filter,
)
from tests.authority import Authority
from tests.edge import test_transports as contract
from tests.edge.conftest import Eventually, MakeReading
from tests.edge.csms import PASSWORD, STATION, Csms, credentials, management
from tests.edge.far_sides import CALLER
from tests.edge.publishing import Publishing, opened
from tests.mqtt_wire import serve, server_context

HASH = "5f" * 32
KEY = bytes(range(32))
RULES = {"target_soc": 95.0, "in_timeout_s": 60.0, "out_timeout_s": 90.0, "order": "in_first"}


def settings_for(csms: Csms, folder: Path, **changes: Any) -> Settings:
    """As short of patience as can be."""
    told: dict[str, Any] = {
        "url": f"wss://127.0.0.1:{csms.port}/ocpp",
        "answer_timeout_s": 10,
        "command_timeout_s": 10,
        "boot_retry_s": 0.1,
        "reconnect_min_s": 0.1,
        "reconnect_max_s": 0.2,
    }
    return Settings(**told | credentials(csms, folder) | changes)


@asynccontextmanager
async def transport_to(
    csms: Csms, folder: Path, caller: Caller = CALLER, **changes: Any
) -> AsyncIterator[Transport]:
    kind = load_transport("ocpp")
    settings = settings_for(csms, folder, **changes)
    kind.check(settings, caller.time)
    transport = await kind.open(settings, caller)
    try:
        yield transport
    finally:
        await transport.aclose()


@asynccontextmanager
async def connected(
    folder: Path, caller: Caller = CALLER, *, profile: int = 2, **changes: Any
) -> AsyncIterator[tuple[Transport, Csms]]:
    async with (
        management(folder, profile=profile) as csms,
        transport_to(csms, folder, caller, security_profile=profile, **changes) as transport,
    ):
        await transport.connect()
        yield transport, csms


def swap_message(number: int, step: SwapStep = SwapStep.BATTERY_IN) -> Message:
    return event_message(swap_event(number, step))


def swap_event(number: int, step: SwapStep = SwapStep.BATTERY_IN) -> SwapEvent:
    return SwapEvent(
        station_id=STATION,
        stream_id="stream-1",
        sequence=number,
        timestamp=datetime(2026, 3, 1, 6, tzinfo=UTC) + timedelta(seconds=number),
        clock=Clock.SYNCHRONIZED,
        step=step,
        request_id=number,
        id_token=HASH,
        batteries=(SwappedBattery(bay=3, serial_number=f"BAT-{number}", soc=12.5, soh=97),),
    )


def event_message(event: Any) -> Message:
    return Message(broker_topic(Channel.EVENT, STATION), encode_event(event))


def requests(csms: Csms) -> list[int]:
    """The swaps that were told, in order, without what was told again under the same message id."""
    return [heard.payload["requestId"] for heard in csms.once("BatterySwap")]


# --- being let in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [2, 3])
async def test_a_station_shows_who_it_is_and_begins_with_a_boot_notification(
    profile: int, tmp_path: Path
) -> None:
    told: list[CredentialsError | None] = []
    caller = changed(CALLER, on_credentials=told.append)
    async with connected(tmp_path, caller, profile=profile) as (transport, csms):
        assert csms.point.id == STATION
        assert csms.point.socket.subprotocol == "ocpp2.1"
        (boot,) = csms.heard
        assert boot.action == "BootNotification"
        assert boot.payload["chargingStation"]["vendorName"] == "evswap"
        assert told == [None]
        assert transport.assurance is Assurance.DELIVERED


async def test_a_certificate_goes_without_a_password(tmp_path: Path) -> None:
    async with connected(tmp_path, profile=3) as (_, csms):
        request = csms.point.socket.request
        assert request is not None
        assert "Authorization" not in request.headers


async def refused(csms: Csms, folder: Path, eventually: Eventually, **changes: Any) -> Any:
    """What a station says that is not let in; nothing of it has been heard by then."""
    told: list[Any] = []
    async with transport_to(
        csms, folder, changed(CALLER, on_credentials=told.append), **changes
    ) as transport:
        connecting = asyncio.create_task(transport.connect())
        await eventually(lambda: transport._reason != "no connection yet")  # type: ignore[attr-defined]
        with pytest.raises(NotConnected) as caught:
            await transport.send(swap_message(1))
        assert not connecting.done()
        connecting.cancel()
    assert csms.heard == []
    return [problem for problem in told if problem is not None], caught.value.reason


async def test_a_wrong_password_is_told_with_its_file_and_mended_by_another(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "LOOK_AGAIN_S", 0.05)
    told: list[CredentialsError | None] = []
    async with management(tmp_path) as csms:
        settings = settings_for(csms, tmp_path)
        assert settings.password_file is not None
        settings.password_file.write_text("not the right one at all")
        kind = load_transport("ocpp")
        transport = await kind.open(settings, changed(CALLER, on_credentials=told.append))
        try:
            connecting = asyncio.create_task(transport.connect())
            await eventually(lambda: told)
            assert told[0] is not None
            assert told[0].path == settings.password_file
            assert "401" in told[0].problem
            assert "not the right one" not in str(told[0])
            settings.password_file.write_text(PASSWORD)
            await connecting
            assert told[-1] is None
        finally:
            await transport.aclose()


def foreign_certificate(csms: Csms, folder: Path) -> dict[str, Any]:
    """What another authority has signed for the station's name and key."""
    shown = credentials(csms, folder)
    request = (folder / f"{STATION}.csr.pem").read_bytes()
    other = folder / "other.pem"
    other.write_bytes(Authority(folder, "foreign").sign_request(request))
    return {"security_profile": 3, "certificate_file": other, "key_file": shown["key_file"]}


async def test_a_foreign_certificate_is_refused_be_it_without_a_word(
    tmp_path: Path, eventually: Eventually
) -> None:
    """asyncio's own TLS, which the CSMS of the tests has, hangs up without an alert."""
    async with management(tmp_path, profile=3) as csms:
        shown = foreign_certificate(csms, tmp_path)
        _, reason = await refused(csms, tmp_path, eventually, **shown)
        assert reason.endswith(f"not taking {shown['certificate_file']}")


async def test_a_foreign_certificate_is_told_with_its_file(tmp_path: Path, eventually: Eventually) -> None:
    """The alert may be lost with the connection; the next try, or the one after that, hears it."""
    told: list[CredentialsError | None] = []
    csms = Csms(tmp_path)
    shown = foreign_certificate(csms, tmp_path)
    files = tmp_path / "csms.cert.pem", tmp_path / "csms.key.pem"
    caller = changed(CALLER, on_credentials=told.append)
    with serve(server_context(csms.authority.certificate, *files), lambda line: None) as csms.port:
        async with transport_to(csms, tmp_path, caller, **shown) as transport:
            connecting = asyncio.create_task(transport.connect())
            await eventually(lambda: told)
            connecting.cancel()
    assert told[0] is not None
    assert told[0].path == shown["certificate_file"]
    assert "the CSMS refuses this station's certificate" in told[0].problem


async def test_a_csms_of_a_foreign_authority_is_told_nothing(tmp_path: Path, eventually: Eventually) -> None:
    foreign = Authority(tmp_path, "foreign")
    async with management(tmp_path) as csms:
        told, reason = await refused(csms, tmp_path, eventually, ca_file=foreign.certificate)
        assert told == []
        assert "not to be trusted" in reason


async def test_a_csms_that_speaks_no_ocpp_2_1_is_told_nothing(tmp_path: Path, eventually: Eventually) -> None:
    csms = Csms(tmp_path)
    csms.subprotocols = ()
    await csms.up()
    try:
        _, reason = await refused(csms, tmp_path, eventually)
        assert "ocpp2.1" in reason
    finally:
        await csms.down()


async def test_what_answers_and_is_no_csms_is_told_nothing(tmp_path: Path, eventually: Eventually) -> None:
    async with management(tmp_path) as csms:
        csms.refusal = HTTPStatus.NOT_FOUND
        told, reason = await refused(csms, tmp_path, eventually)
        assert told == []
        assert "404" in reason


async def test_a_redirect_is_not_followed(tmp_path: Path, eventually: Eventually) -> None:
    async with management(tmp_path) as csms:
        csms.refusal = HTTPStatus.FOUND
        _, reason = await refused(csms, tmp_path, eventually)
        assert "302" in reason


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"url": "ws://csms.example.org/ocpp"}, "url"),
        ({"url": "wss://user:pass@csms.example.org"}, "url"),
        ({"security_profile": 1}, "security_profile"),
        ({"security_profile": 0}, "security_profile"),
        ({"password_file": None}, "password_file"),
        ({"security_profile": 3, "key_file": None}, "key_file"),
        ({"certificates": "x"}, "certificates"),
    ],
    ids=repr,
)
def test_what_has_no_tls_or_shows_nothing_cannot_be_configured(changes: Any, problem: str) -> None:
    good = {
        "url": "wss://csms.example.org/ocpp",
        "password_file": "p",
        "certificate_file": "c",
        "key_file": "k",
    }
    settings = partial(msgspec.convert, type=Settings, dec_hook=lambda kind, value: kind(value))
    assert settings(good).security_profile == 2
    with pytest.raises(msgspec.ValidationError, match=problem):
        settings({**good, **changes})


@pytest.mark.parametrize(
    ("name", "content", "mode", "problem"),
    [
        ("password_file", None, 0, "does not exist"),
        ("password_file", PASSWORD, 0o644, "chmod 600"),
        ("password_file", "short", 0o600, "16 to 64"),
        ("token_key_file", "no hex", 0o600, "in hex"),
        ("token_key_file", "00", 0o600, "32 bytes"),
        ("ca_file", "no certificate", 0o600, "cannot be used"),
    ],
)
def test_what_cannot_be_shown_is_found_before_anybody_dials(
    name: str, content: str | None, mode: int, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    kind = load_transport("ocpp")
    csms = Csms(tmp_path)
    with pytest.raises(CredentialsError, match=problem) as caught:
        kind.check(settings_for(csms, tmp_path, **{name: file}), SystemTime())
    assert caught.value.path == file


def test_without_its_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "evswap_edge.transports.ocpp")
    monkeypatch.setitem(sys.modules, "websockets", None)
    with pytest.raises(PluginUnavailable, match="'websockets>=15'"):
        load_transport("ocpp")


# --- registration -----------------------------------------------------------------------------------------


async def test_a_station_waits_until_it_is_accepted(tmp_path: Path, eventually: Eventually) -> None:
    up: list[bool] = []
    async with management(tmp_path) as csms:
        csms.registrations.extend([("Pending", 0), ("Rejected", 0), ("Pending", 1), ("Accepted", 300)])
        async with transport_to(csms, tmp_path, changed(CALLER, on_link=up.append)) as transport:
            connecting = asyncio.create_task(transport.connect())
            await eventually(lambda: len(csms.of("BootNotification")) == 2)
            assert up == []
            with pytest.raises(NotConnected, match="not accepted"):
                await transport.send(swap_message(1))
            await connecting
            assert up == [True]
            assert {heard.action for heard in csms.heard} == {"BootNotification"}
            assert len(csms.heard) == 4


async def test_while_it_waits_it_answers_about_itself_and_does_nothing(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with management(tmp_path) as csms:
        csms.registrations.append(("Pending", 600))
        async with transport_to(csms, tmp_path) as transport:
            connecting = asyncio.create_task(transport.connect())
            await eventually(lambda: csms.of("BootNotification"))
            answer = await csms.point.call(swap_request(4))
            assert answer.status == "Rejected"
            report = await csms.point.call(call.GetBaseReport(request_id=3, report_base="FullInventory"))
            assert report.status == "Accepted"
            await eventually(lambda: csms.of("NotifyReport"))
            answer = await csms.point.call(call.TriggerMessage(requested_message="BootNotification"))
            assert answer.status == "Accepted"
            await connecting
            assert csms.of("BootNotification")[-1].payload["reason"] == "Triggered"


async def test_one_that_rejects_a_station_is_not_served_by_it(tmp_path: Path, eventually: Eventually) -> None:
    async with management(tmp_path) as csms:
        csms.registrations.append(("Rejected", 600))
        async with transport_to(csms, tmp_path) as transport:
            connecting = asyncio.create_task(transport.connect())
            await eventually(lambda: csms.of("BootNotification"))
            await eventually(lambda: transport._registrar.status)  # type: ignore[attr-defined]
            answer = await csms.point.ask([2, "q", "Reset", {"type": "Immediate"}])
            assert answer[2] == "SecurityError"
            connecting.cancel()


async def test_a_boot_is_told_once_and_again_when_the_csms_has_forgotten(tmp_path: Path) -> None:
    async with connected(tmp_path) as (transport, csms):
        await again(transport, csms)
        assert [heard.action for heard in csms.heard] == ["BootNotification", "Heartbeat"]
        csms.errors["Heartbeat"].append(InternalError("who are you?"))
        await again(transport, csms)
        assert csms.heard[-1].action == "BootNotification"


async def again(transport: Transport, csms: Csms) -> None:
    """Break the link and wait for the next."""
    links = len(csms.points)
    csms.cut()
    async with asyncio.timeout(30):
        while len(csms.points) == links:
            await asyncio.sleep(0.001)
        while not transport._up.is_set():  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)


async def test_heartbeats_come_as_the_csms_wants_them(tmp_path: Path, eventually: Eventually) -> None:
    async with management(tmp_path) as csms:
        csms.heartbeat_s = 1
        csms.ahead_s = 3_600
        async with transport_to(csms, tmp_path) as transport:
            await transport.connect()
            await eventually(lambda: len(csms.of("Heartbeat")) >= 2)
            assert transport.clock_offset_s == pytest.approx(3_600, abs=60)  # type: ignore[attr-defined]


# --- what goes up -----------------------------------------------------------------------------------------


async def test_a_swap_is_told_in_both_orders(tmp_path: Path) -> None:
    steps = [
        (1, SwapStep.BATTERY_IN, "BatteryIn"),
        (2, SwapStep.BATTERY_OUT, "BatteryOut"),
        (3, SwapStep.BATTERY_OUT, "BatteryOut"),
        (4, SwapStep.BATTERY_IN, "BatteryIn"),
        (5, SwapStep.BATTERY_OUT_TIMEOUT, "BatteryOutTimeout"),
    ]
    async with connected(tmp_path) as (transport, csms):
        for number, step, _ in steps:
            await transport.send(swap_message(number, step))
        told = [(heard.payload["requestId"], heard.payload["eventType"]) for heard in csms.of("BatterySwap")]
        assert told == [(number, name) for number, _, name in steps]
        assert {heard.payload["idToken"]["idToken"] for heard in csms.of("BatterySwap")} == {HASH}


async def test_one_request_is_under_way_at_a_time_and_they_go_in_order(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with connected(tmp_path) as (transport, csms):
        csms.speaks.clear()
        sending = [asyncio.create_task(transport.send(swap_message(number))) for number in range(20)]
        await eventually(lambda: csms.of("BatterySwap"))
        assert len(csms.of("BatterySwap")) == 1
        csms.speaks.set()
        await asyncio.gather(*sending)
        assert requests(csms) == list(range(20))
        assert len(csms.of("BatterySwap")) == 20


async def test_of_an_event_and_a_state_too_only_one_is_under_way(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    async with connected(tmp_path) as (transport, csms):
        csms.speaks.clear()
        sample = encode_reading(replace(make_reading(1, bays=3), stream_id="stream-1", sequence=1))
        sending = [
            asyncio.create_task(transport.send(swap_message(1))),
            asyncio.create_task(transport.send(Message(broker_topic(Channel.CHANGE, STATION), sample))),
        ]
        await eventually(lambda: csms.of("BatterySwap"))
        answer = await csms.point.ask([2, "q", "Dance", {}])  # by now it would have said more
        assert answer[2] == "NotImplemented"
        assert [heard.action for heard in csms.heard] == ["BootNotification", "BatterySwap"]
        csms.speaks.set()
        await asyncio.gather(*sending)
        assert len(csms.of("StatusNotification")) == 3


async def test_what_was_under_way_when_the_link_broke_comes_again_as_the_same_message(tmp_path: Path) -> None:
    async with connected(tmp_path) as (transport, csms):
        csms.hangs_up_at["BatterySwap"].add(0)
        with pytest.raises(NotConnected):
            await transport.send(swap_message(1))
        await transport.connect()
        await transport.send(swap_message(1))
        first, second = csms.of("BatterySwap")
        assert first == second


async def test_an_answer_that_does_not_come_in_time_is_asked_for_by_the_same_message(tmp_path: Path) -> None:
    async with connected(tmp_path, answer_timeout_s=0.2) as (transport, csms):
        csms.speaks.clear()
        with pytest.raises(NotAcknowledged):
            await transport.send(swap_message(1))
        csms.speaks.set()
        await transport.send(swap_message(1))
        assert requests(csms) == [1]


async def test_a_refusal_is_permanent_or_passes_by_its_code(tmp_path: Path) -> None:
    async with connected(tmp_path) as (transport, csms):
        csms.errors["BatterySwap"].extend([InternalError("the disk is full"), FormatViolationError("no")])
        for permanent in (False, True):
            with pytest.raises(Rejected) as caught:
                await transport.send(swap_message(1))
            assert caught.value.permanent is permanent
        await transport.send(swap_message(1))
        assert requests(csms) == [1]


async def test_an_answer_is_an_answer_be_it_a_wrong_one(
    tmp_path: Path, eventually: Eventually, make_reading: MakeReading
) -> None:
    """And the CSMS hears that it was one."""
    async with management(tmp_path) as csms:
        csms.wrong["BootNotification"] = {"status": "Perhaps"}
        async with transport_to(csms, tmp_path) as transport:
            await transport.connect()
            assert len(csms.of("BootNotification")) == 2
            csms.wrong["BatterySwap"] = {"status": "Rejected"}
            await transport.send(swap_message(1))
            assert requests(csms) == [1]
            await eventually(lambda: len(complaints(csms)) == 2)
            assert complaints(csms) == ["OccurrenceConstraintViolation", "FormatViolation"]


def complaints(csms: Csms) -> list[str]:
    """The codes of the CALLRESULTERRORs that it was sent."""
    return [frame[2] for frame in csms.raw if frame[0] == 5]


async def test_what_waits_behind_an_event_that_does_not_pass_does_not_overtake_it(tmp_path: Path) -> None:
    async with connected(tmp_path) as (transport, csms):
        csms.errors["BatterySwap"].extend([None, InternalError("not now")])
        answers = await asyncio.gather(
            *(transport.send(swap_message(number)) for number in range(5)), return_exceptions=True
        )
        assert [type(answer).__name__ for answer in answers] == ["NoneType"] + ["Rejected"] * 4
        await asyncio.gather(*(transport.send(swap_message(number)) for number in range(1, 5)))
        assert requests(csms) == list(range(5))


@pytest.mark.parametrize(
    "message",
    [
        Message(broker_topic(Channel.EVENT, STATION), b'{"kind":"swap"}'),
        Message(broker_topic(Channel.TELEMETRY, STATION), b"{}"),
        Message("ev/station/station-01/elsewhere", b"{}"),
    ],
    ids=["event", "reading", "topic"],
)
async def test_what_is_no_message_of_ours_is_refused_for_ever(message: Message, tmp_path: Path) -> None:
    async with connected(tmp_path) as (transport, csms):
        with pytest.raises(Rejected) as caught:
            await transport.send(message)
        assert caught.value.permanent
        assert [heard.action for heard in csms.heard] == ["BootNotification"]


async def test_an_alarm_is_told_as_an_event_of_the_device_model(tmp_path: Path) -> None:
    alarm = AlarmEvent(
        station_id=STATION,
        stream_id="stream-1",
        sequence=4,
        timestamp=datetime(2026, 3, 1, 6, tzinfo=UTC),
        clock=Clock.SYNCHRONIZED,
        alarm="over_temperature",
        state=AlarmState.RAISED,
        severity=Severity.CRITICAL,
        bay=3,
    )
    async with connected(tmp_path) as (transport, csms):
        await transport.send(event_message(alarm))
        await transport.send(event_message(replace(alarm, sequence=5, state=AlarmState.CLEARED)))
        raised, cleared = (heard.payload["eventData"][0] for heard in csms.of("NotifyEvent"))
        assert raised["component"] == {"name": "EVSE", "evse": {"id": 3}}
        assert raised["variable"] == {"name": "Problem", "instance": "over_temperature"}
        assert [(one["actualValue"], one["cleared"], one["severity"]) for one in (raised, cleared)] == [
            ("true", False, 3),
            ("false", True, 3),
        ]


async def test_of_the_samples_the_newest_state_is_told_and_only_what_is_new(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with connected(tmp_path) as (transport, csms):
        samples = [replace(make_reading(n, bays=3), stream_id="stream-1", sequence=n) for n in range(1, 11)]
        topic = broker_topic(Channel.BATCH, STATION)
        (batch,) = encode_batches(samples, topic=topic)
        (old,) = encode_batches(samples[:5], topic=topic, backlog=True)
        await transport.send(Message(topic, old.payload))
        assert csms.of("StatusNotification") == [], "what was, while nobody knows what is"
        await transport.send(Message(topic, batch.payload))
        told = [heard.payload["evseId"] for heard in csms.of("StatusNotification")]
        assert told == [1, 2, 3]
        count = len(csms.heard)
        await transport.send(Message(topic, batch.payload))
        await transport.send(Message(topic, old.payload))
        await transport.send(Message(broker_topic(Channel.TELEMETRY, STATION), encode_reading(samples[2])))
        assert len(csms.heard) == count
        await again(transport, csms)
        await transport.send(Message(broker_topic(Channel.CHANGE, STATION), encode_reading(samples[-1])))
        assert len(csms.of("StatusNotification")) == 6


async def test_what_a_csms_never_takes_of_the_state_does_not_stand_in_the_way(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with connected(tmp_path) as (transport, csms):
        sample = replace(make_reading(1), stream_id="stream-1", sequence=1)
        message = Message(broker_topic(Channel.CHANGE, STATION), encode_reading(sample))
        csms.errors["NotifyEvent"].append(InternalError("not now"))
        with pytest.raises(Rejected) as caught:
            await transport.send(message)
        assert not caught.value.permanent
        csms.errors["NotifyEvent"].append(NotSupportedError("never"))
        await transport.send(message)
        await transport.send(message)
        assert len(csms.of("NotifyEvent")) == 2


@pytest.mark.parametrize("channel", [Channel.PENDING, Channel.CONNECTION, Channel.CERTIFICATE])
async def test_what_ocpp_has_no_word_for_is_done_with(channel: Channel, tmp_path: Path) -> None:
    async with connected(tmp_path) as (transport, csms):
        await transport.send(Message(broker_topic(channel, STATION), b"{}"))
        assert [heard.action for heard in csms.heard] == ["BootNotification"]


async def test_a_hundred_swaps_of_an_outage_arrive_in_order_and_once(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Through the station's own outbox, over a CSMS that hangs up again and again before it answers."""
    outbox = await opened(tmp_path)
    csms = Csms(tmp_path)
    await csms.up()
    await csms.down()
    csms.hangs_up_at["BatterySwap"] = {0, 30, 31, 77, 150}
    async with (
        transport_to(csms, tmp_path) as transport,
        Publishing(outbox, SystemTime(), transport=transport, mode=Mode.ON_CHANGE, window=20) as running,  # type: ignore[arg-type]
    ):
        for number in range(100):
            for step in (SwapStep.BATTERY_IN, SwapStep.BATTERY_OUT):
                await outbox.append_event(partial(placed, swap_event(number, step)), stamp=stamp())
                running.publisher.happened()
        await csms.up()
        await eventually(lambda: outbox.waiting.events == 0)
    told = [(heard.payload["requestId"], heard.payload["eventType"]) for heard in csms.once("BatterySwap")]
    assert told == [(number, step) for number in range(100) for step in ("BatteryIn", "BatteryOut")]
    assert len(csms.of("BatterySwap")) > 200, "some were said twice, under the same message id"
    await csms.down()
    await outbox.aclose()


def placed(event: SwapEvent, stream_id: str, sequence: int) -> bytes:
    return encode_event(replace(event, stream_id=stream_id, sequence=sequence))


def stamp() -> Any:
    from evswap_edge.clock import stamp_now

    return stamp_now(SystemTime())


# --- what comes down --------------------------------------------------------------------------------------


class Clerk:
    """Stands for the station's desk: hears commands, and says what became of them."""

    def __init__(self, transport: Transport, *results: tuple[Outcome, str | None]) -> None:
        self.transport = transport
        self.results = results
        self.commands: list[Command] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def listen(self) -> None:
        await self.transport.subscribe(topic_filter(Channel.COMMAND, STATION), self.hear)

    def hear(self, topic: str, payload: bytes) -> None:
        command = decode_command(payload)
        assert topic == broker_topic(Channel.COMMAND, STATION, command.command_id)
        assert command.issued_at <= datetime.now(UTC) < command.expires_at
        self.commands.append(command)
        self.tasks.append(asyncio.create_task(self.tell(command)))

    async def tell(self, command: Command) -> None:
        for outcome, reason in self.results:
            result = CommandResult(
                command_id=command.command_id,
                station_id=STATION,
                outcome=outcome,
                timestamp=datetime.now(UTC),
                reason=reason,
            )
            topic = broker_topic(Channel.RESULT, STATION, command.command_id)
            await self.transport.send(Message(topic, encode_result(result)))


def swap_request(request_id: int, token: str = HASH) -> Any:
    return call.RequestBatterySwap(
        request_id=request_id, id_token=IdTokenType(id_token=token, type="Central")
    )


@pytest.mark.parametrize(
    ("results", "status", "reason"),
    [
        ([(Outcome.ACCEPTED, None)], "Accepted", None),
        ([(Outcome.REJECTED, "no_battery: none is charged")], "Rejected", "NoBatteryAvailable"),
        ([(Outcome.REJECTED, "busy: one is under way")], "Rejected", "TxInProgress"),
        ([], "Rejected", "Unspecified"),
    ],
    ids=["accepted", "no battery", "busy", "no word"],
)
async def test_a_swap_is_asked_for_and_answered(
    results: Any, status: str, reason: str | None, tmp_path: Path
) -> None:
    async with connected(tmp_path, command_timeout_s=2) as (transport, csms):
        clerk = Clerk(transport, *results)
        await clerk.listen()
        answer = await csms.point.call(swap_request(12))
        assert answer.status == status
        assert (answer.status_info or {}).get("reason_code") == reason
        assert [command.action for command in clerk.commands] == [RequestSwap(request_id=12, id_token=HASH)]


async def test_a_token_in_clear_becomes_the_networks_hash(tmp_path: Path) -> None:
    key = tmp_path / "tokens.key"
    key.write_text(KEY.hex())
    key.chmod(0o600)
    async with connected(tmp_path, token_key_file=key) as (transport, csms):
        clerk = Clerk(transport, (Outcome.ACCEPTED, None))
        await clerk.listen()
        await csms.point.call(swap_request(12, "RFID-0001"))
        assert [command.action for command in clerk.commands] == [
            RequestSwap(request_id=12, id_token=token_hash(KEY, "RFID-0001"))
        ]


async def test_a_token_in_clear_is_refused_without_a_key_and_logged_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(tmp_path) as (_, csms):
        answer = await csms.point.ask(
            [
                2,
                "q",
                "RequestBatterySwap",
                {"requestId": 1, "idToken": {"idToken": "RFID-1", "type": "Central"}},
            ]
        )
        await csms.point.socket.send('[2,"r","RequestBatterySwap",{"idToken":"RFID-1"}')
        await csms.point.ask([2, "s", "Dance", {}])
        assert (answer[0], answer[4]["field"]) == (4, "idToken.idToken")
        assert "RFID-1" not in json.dumps(answer)
    assert "no OCPP" in caplog.text
    told = [record.getMessage() for record in caplog.records if record.name.startswith("evswap_edge")]
    assert "RFID-1" not in " ".join(told)


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([(Outcome.ACCEPTED, None), (Outcome.DONE, None)], "Unlocked"),
        ([(Outcome.ACCEPTED, None), (Outcome.UNKNOWN, "was not seen")], "UnlockFailed"),
        ([(Outcome.REJECTED, "its age cannot be judged")], "UnlockFailed"),
    ],
    ids=["done", "unknown", "rejected"],
)
async def test_a_door_is_opened_when_it_was_seen_to_open(results: Any, status: str, tmp_path: Path) -> None:
    async with connected(tmp_path) as (transport, csms):
        clerk = Clerk(transport, *results)
        await clerk.listen()
        answer = await csms.point.call(call.UnlockConnector(evse_id=3, connector_id=1))
        assert answer.status == status
        assert [command.action for command in clerk.commands] == [Unlock(bay=3)]
        answer = await csms.point.call(call.UnlockConnector(evse_id=3, connector_id=2))
        assert answer.status == "UnknownConnector"


async def test_a_battery_is_reserved_and_a_reservation_is_not_taken_back(tmp_path: Path) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    wanted = call.ReserveNow(
        id=1,
        expiry_date_time=until.isoformat().replace("+00:00", "Z"),
        id_token=IdTokenType(id_token=HASH, type="Central"),
        evse_id=2,
    )
    async with connected(tmp_path) as (transport, csms):
        clerk = Clerk(transport, (Outcome.ACCEPTED, None), (Outcome.DONE, None))
        await clerk.listen()
        assert (await csms.point.call(wanted)).status == "Accepted"
        assert [command.action for command in clerk.commands] == [Reserve(bay=2, until=until, id_token=HASH)]
        wanted.evse_id = None
        assert (await csms.point.call(wanted)).status == "Unavailable"
        assert (await csms.point.call(call.CancelReservation(reservation_id=1))).status == "Rejected"


async def test_variables_are_read_and_a_change_is_the_stations_to_make(tmp_path: Path) -> None:
    target = {"component": {"name": "BatterySwapCtrlr"}, "variable": {"name": "TargetSoC"}}
    heartbeat = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
    caller = changed(CALLER, swap_rules=RULES)
    async with connected(tmp_path, caller) as (transport, csms):
        clerk = Clerk(transport, (Outcome.REJECTED, "swaps: cannot be changed here"))
        await clerk.listen()
        read = await csms.point.call(call.GetVariables(get_variable_data=[target]))
        assert read.get_variable_result[0]["attribute_value"] == "95"
        items = [{**target, "attributeValue": "90"}, {**heartbeat, "attributeValue": "60"}]
        done = await csms.point.call(call.SetVariables(set_variable_data=items))
        assert [one["attribute_status"] for one in done.set_variable_result] == ["Rejected", "Accepted"]
        assert [command.action for command in clerk.commands] == [
            SetConfiguration(configuration={"swaps": {"target_soc": 90}})
        ]
        read = await csms.point.call(call.GetVariables(get_variable_data=[heartbeat]))
        assert read.get_variable_result[0]["attribute_value"] == "60"


async def test_a_csms_may_ask_to_be_told(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    async with connected(tmp_path) as (transport, csms):
        trigger = partial(call.TriggerMessage, requested_message="StatusNotification")
        assert (await csms.point.call(trigger())).status == "Rejected"
        sample = replace(make_reading(1, bays=3), stream_id="stream-1", sequence=1)
        await transport.send(Message(broker_topic(Channel.CHANGE, STATION), encode_reading(sample)))
        assert (await csms.point.call(trigger(evse={"id": 2}))).status == "Accepted"
        await eventually(lambda: len(csms.of("StatusNotification")) == 4)
        assert csms.of("StatusNotification")[-1].payload["evseId"] == 2
        for wanted, status in (
            ("Heartbeat", "Accepted"),
            ("BootNotification", "Rejected"),
            ("MeterValues", "NotImplemented"),
        ):
            answer = await csms.point.call(call.TriggerMessage(requested_message=wanted))
            assert answer.status == status
        await eventually(lambda: csms.of("Heartbeat"))
        assert (await csms.point.call(call.Reset(type="Immediate"))).status == "Rejected"


async def test_a_station_that_takes_no_commands_says_so(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, csms):
        answer = await csms.point.call(swap_request(1))
        assert answer.status == "Rejected"
        assert "takes no commands" in answer.status_info["additional_info"]


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        ([2, "q", "RequestBatterySwap", {"requestId": 1}], "OccurrenceConstraintViolation", "idToken"),
        ([2, "q", "UnlockConnector", {"evseId": "3", "connectorId": 1}], "TypeConstraintViolation", "evseId"),
        ([2, "q", "Reset", {"type": "Now"}], "PropertyConstraintViolation", "type"),
        ([2, "q", "Reset", {"type": "OnIdle", "why": 1}], "FormatViolation", "why"),
        ([2, "q", "ClearCache", {}], "NotSupported", None),
        ([2, "q", "Dance", {}], "NotImplemented", None),
        ([2, "q", "Reset"], "RpcFrameworkError", None),
    ],
    ids=lambda value: value[2] if isinstance(value, list) else None,
)
async def test_a_request_that_is_none_is_refused_with_its_field(
    raw: Any, code: str, field: str | None, tmp_path: Path
) -> None:
    async with connected(tmp_path) as (transport, csms):
        answer = await csms.point.ask(raw)
        assert (answer[0], answer[2]) == (4, code)
        assert answer[4].get("field") == field
        await transport.send(swap_message(1))


async def test_what_needs_no_answer_gets_none(tmp_path: Path) -> None:
    async with connected(tmp_path) as (transport, csms):
        for raw in ([5, "a", "FormatViolation", "no", {}], [6, "b", "Stream", {}], [3, "c", {}]):
            await csms.point.socket.send(json.dumps(raw))
        await csms.point.ask([2, "q", "Dance", {}])
        assert [frame[1] for frame in csms.raw if frame[0] in {3, 4, 5}] == ["q"]
        await transport.send(swap_message(1))


async def test_more_requests_than_a_csms_may_send_are_refused(tmp_path: Path, eventually: Eventually) -> None:
    async with connected(tmp_path) as (transport, csms):
        clerk = Clerk(transport)
        await clerk.listen()
        for number in range(9):
            wanted = {"evseId": number + 1, "connectorId": 1}
            await csms.point.socket.send(json.dumps([2, f"q{number}", "UnlockConnector", wanted]))
        await eventually(lambda: [frame for frame in csms.raw if frame[0] == 4])
        assert [frame[1:3] for frame in csms.raw if frame[0] == 4] == [["q8", "RpcFrameworkError"]]
        assert len(clerk.commands) == 8


async def test_a_request_is_answered_while_the_stations_own_waits_for_its_answer(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with connected(tmp_path) as (transport, csms):
        clerk = Clerk(transport, (Outcome.ACCEPTED, None))
        await clerk.listen()
        csms.speaks.clear()
        sending = asyncio.create_task(transport.send(swap_message(1)))
        await eventually(lambda: csms.of("BatterySwap"))
        assert (await csms.point.call(swap_request(12))).status == "Accepted"
        csms.speaks.set()
        await sending


# --- the contract of all transports, as far as it does not speak of MQTT's topics and codes ---------------


@asynccontextmanager
async def ocpp(folder: Path, caller: Caller = CALLER) -> AsyncIterator[tuple[Transport, Csms]]:
    async with management(folder) as csms, transport_to(csms, folder, caller) as transport:
        yield transport, csms


async def test_it_keeps_the_contract_of_all_transports(tmp_path: Path, eventually: Eventually) -> None:
    folders = iter(range(10))

    def folder() -> Path:
        made = tmp_path / str(next(folders))
        made.mkdir()
        return made

    opens: Any = ocpp
    # Each opens its own, some of them twice in one folder.
    await contract.test_closing_is_safe_at_any_time(opens, folder())
    await contract.test_whoever_asks_is_told_of_every_link_and_of_its_end(opens, folder(), eventually)
    await contract.test_a_transport_says_what_its_acknowledgement_proves(opens, folder())


async def test_nothing_is_left_behind(tmp_path: Path, eventually: Eventually) -> None:
    tasks = asyncio.all_tasks()
    async with connected(tmp_path) as (transport, csms):
        csms.speaks.clear()
        sending = asyncio.create_task(transport.send(swap_message(1)))
        await eventually(lambda: csms.of("BatterySwap"))
        sending.cancel()
        await asyncio.wait({sending})
        csms.cut()
        with pytest.raises(TransportError):
            await transport.send(swap_message(2))
    await eventually(lambda: asyncio.all_tasks() <= tasks)
