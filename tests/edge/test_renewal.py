"""A certificate is replaced in time, by a station that never stands without one that works."""

import asyncio
import json
import logging
import os
import random
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.__main__ import main
from evswap_edge.certificates import Validity
from evswap_edge.clock import SystemTime
from evswap_edge.keys import KeyFileError, certificate_path, key_path, signing_request
from evswap_edge.outbox.claim import Claim as OutboxClaim
from evswap_edge.pairs import Pair
from evswap_edge.provisioning import (
    ClaimRefused,
    NotOurCertificate,
    NotReached,
    ProvisioningError,
    StationRefused,
    renew,
    renewal,
)
from evswap_edge.provisioning.attempt import Done, Outcome, Renewal
from evswap_edge.provisioning.claim import Claim
from evswap_edge.provisioning.renewal import Renewals
from evswap_edge.provisioning.terms import Provisioning, endangered_from, renewal_due_at
from evswap_edge.testing import ManualTime, settle
from evswap_edge.transports.broker import BrokerSettings
from evswap_edge.transports.credentials import check_credentials
from evswap_schema import Clock, provisioning
from tests.edge.claim_desk import HANGS_UP, REPLACED, SILENCE, Desk, open_desk, refusal
from tests.mqtt_wire import NOT_AUTHORIZED

STATION = "s-1"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Desk, Claim]]:
    folder = tmp_path / "cloud"
    folder.mkdir()
    with open_desk(folder) as opened:
        yield opened


@pytest.fixture
def desk(opened: tuple[Desk, Claim], task: Renewal) -> Desk:
    """A far side that knows the station's certificate and no other."""
    opened[0].active = {der(task.certificate_file)}
    return opened[0]


@pytest.fixture
def task(opened: tuple[Desk, Claim], tmp_path: Path) -> Renewal:
    """The renewal of a certificate that the station has."""
    desk, claim = opened
    folder = tmp_path / "device"
    certificate, key = certificate_path(folder, STATION), key_path(folder, STATION)
    request = signing_request(STATION, key)
    certificate.write_bytes(desk.authority.sign_request(request))
    return Renewal(
        station_id=STATION,
        host=claim.host,
        port=claim.port,
        certificate_file=certificate,
        key_file=key,
        ca_file=claim.ca_file,
        template=provisioning.TEMPLATE,
        timeout_s=5,
    )


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renew, "WAITS_S", (0.01,))


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii"))


def files(task: Renewal) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in task.certificate_file.parent.iterdir()}


def works(task: Renewal, desk: Desk) -> bool:
    """Whether a station that starts now has a pair that the far side accepts."""
    check_credentials(
        certificate_file=task.certificate_file,
        key_file=task.key_file,
        ca_file=task.ca_file,
        time=SystemTime(),
    )
    assert desk.active is not None
    return der(task.certificate_file) in desk.active


BOTH = {"s-1.key.pem", "s-1.cert.pem"}


# --- one attempt ---


def test_key_and_certificate_are_replaced_and_the_former_one_is_revoked(desk: Desk, task: Renewal) -> None:
    before = files(task)
    assert renew.renew(task) is Done.RENEWED
    after = files(task)
    assert after.keys() == BOTH
    assert all(after[name] != before[name] for name in BOTH)
    assert works(task, desk)
    assert desk.active == {der(task.certificate_file)}
    assert {path.stat().st_mode & 0o777 for path in task.certificate_file.parent.iterdir()} == {0o600}


def test_it_asks_as_the_station_and_tells_with_the_new_certificate(desk: Desk, task: Renewal) -> None:
    before = der(task.certificate_file)
    renew.renew(task)
    assert desk.clients == [STATION, STATION]
    assert desk.shown == [before, der(task.certificate_file)]
    assert desk.told == [(REPLACED, {"station_id": STATION})]


def test_until_the_new_one_has_connected_the_files_are_those_before(desk: Desk, task: Renewal) -> None:
    before = files(task)
    desk.before_registration = lambda: None
    assert desk.active is not None

    class OnlyTheFormer(set[bytes]):
        def add(self, _: bytes) -> None:
            """The cloud has signed it and knows nothing of it."""

    desk.active = OnlyTheFormer(desk.active)
    with pytest.raises(ClaimRefused, match="the station certificate may not connect"):
        renew.renew(task)
    after = files(task)
    assert {name: after[name] for name in BOTH} == before
    assert works(task, desk)
    desk.active = {*desk.active, der(task.pair.successor.certificate_file)}
    assert renew.renew(task) is Done.RENEWED
    assert len(desk.requests) == 2, "the one that it had been given works by now"


def test_a_successor_that_does_not_connect_though_the_network_is_there_is_given_up(
    desk: Desk, task: Renewal
) -> None:
    stale = task.pair.successor
    stale.certificate_file.write_bytes(desk.authority.sign_request(signing_request(STATION, stale.key_file)))
    forgotten = der(stale.certificate_file)
    assert renew.renew(task) is Done.RENEWED
    assert der(task.certificate_file) != forgotten
    assert files(task).keys() == BOTH
    assert works(task, desk)


def test_without_a_network_nothing_changes(desk: Desk, task: Renewal) -> None:
    before = files(task)
    with pytest.raises(NotReached, match="station certificate is still active"):
        renew.renew(msgspec.structs.replace(task, port=1))
    assert files(task) == before


def test_a_cloud_that_is_busy_for_a_moment_is_asked_again(desk: Desk, task: Renewal) -> None:
    desk.registering.append(refusal("InvocationError"))
    assert renew.renew(task) is Done.RENEWED
    assert len(desk.clients) == 2, "over the same connection"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [([refusal("AccessDenied")], StationRefused), ([refusal("ThrottlingException")] * 9, ProvisioningError)],
)
def test_a_refusal_leaves_what_works_and_the_next_attempt_uses_the_same_new_key(
    answers: list[Any], expected: type[ProvisioningError], desk: Desk, task: Renewal
) -> None:
    before = files(task)
    desk.registering.extend(answers)
    with pytest.raises(expected):
        renew.renew(task)
    between = files(task)
    assert {name: between[name] for name in BOTH} == before
    desk.registering.clear()
    assert renew.renew(task) is Done.RENEWED
    assert files(task)["s-1.key.pem"] == between["s-1.key.pem.next"]


def test_a_certificate_for_another_key_is_not_taken(desk: Desk, task: Renewal) -> None:
    before = files(task)
    desk.other_key = True
    with pytest.raises(NotOurCertificate):
        renew.renew(task)
    after = files(task)
    assert {name: after[name] for name in BOTH} == before
    assert "s-1.cert.pem.next" not in after


def test_what_the_cloud_was_not_told_it_is_told_the_next_time(desk: Desk, task: Renewal) -> None:
    desk.puback = NOT_AUTHORIZED
    with pytest.raises(ClaimRefused, match="may not publish"):
        renew.renew(task)
    assert works(task, desk)
    assert task.pair.is_replacement_to_be_told
    desk.puback = 0
    assert renew.renew(task) is Done.TOLD
    assert desk.active == {der(task.certificate_file)}
    assert files(task).keys() == BOTH


def test_a_folder_that_cannot_be_written_is_said(desk: Desk, task: Renewal) -> None:
    task.pair.successor.key_file.mkdir()
    with pytest.raises(KeyFileError, match=r"s-1\.key\.pem\.next"):
        renew.renew(task)
    assert works(task, desk)


# --- killed ---

ZYGOTE = """
import os, signal, sys
from pathlib import Path
import cryptography.x509, cryptography.hazmat.primitives.asymmetric.ec
from evswap_edge.provisioning import claim, renew
from evswap_edge.provisioning.attempt import Renewal

countdown = 0

def killing(function):
    def counted(*arguments, **named):
        global countdown
        countdown -= 1
        if countdown == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return counted

renew.WAITS_S = (0.01,)
os.fsync = killing(os.fsync)
for name in ("replace", "unlink", "hardlink_to"):
    setattr(Path, name, killing(getattr(Path, name)))
for name in ("__enter__", "__exit__", "request", "tell"):
    setattr(claim.ClaimConnection, name, killing(getattr(claim.ClaimConnection, name)))

for line in sys.stdin:
    step, task = line.split(" ", 1)
    child = os.fork()
    if child == 0:
        countdown = int(step)
        done = renew.renew(Renewal.decode(task.encode()))
        os._exit(10 + list(renew.Done).index(done))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def attempt() -> Iterator[Callable[[Renewal, int], int]]:
    """Makes one in a process of its own, which kills itself before its n-th step (0: never). Gives its exit
    code."""
    with subprocess.Popen(
        [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as zygote:

        def one(task: Renewal, step: int) -> int:
            assert zygote.stdin is not None
            assert zygote.stdout is not None
            zygote.stdin.write(f"{step} {task.encode().decode()}\n")
            zygote.stdin.flush()
            return int(zygote.stdout.readline())

        yield one


def test_killed_before_any_step_a_station_has_one_pair_that_works_and_the_next_attempt_ends_it(
    desk: Desk, task: Renewal, attempt: Callable[[Renewal, int], int]
) -> None:
    """And when the next attempt is killed, too: before a step that chance chooses."""
    chance, step, steps_seen = random.Random(4), 0, 0
    while True:
        step += 1
        before = der(task.certificate_file)
        killed = attempt(task, step)
        assert works(task, desk), step
        if killed != -signal.SIGKILL:
            break
        steps_seen += 1
        attempt(task, chance.randint(1, 25))
        assert works(task, desk), step
        for _ in range(3):
            assert attempt(task, 0) >= 10, step
            if not (task.pair.has_successor or task.pair.is_replacement_to_be_told):
                break
        assert files(task).keys() == BOTH, step
        assert der(task.certificate_file) != before, step
        assert desk.active == {der(task.certificate_file)}, step
    assert steps_seen >= 20
    print(f"killed before each of {steps_seen} steps")


# --- when ---

DAY = timedelta(days=1)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = Provisioning()
AWS = Validity(BEGAN, datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC))


def test_what_lives_until_2049_is_replaced_by_its_age() -> None:
    assert timedelta(days=358) <= renewal_due_at(AWS, TERMS, name="s") - BEGAN <= timedelta(days=365)


def test_what_ends_earlier_is_replaced_before_its_end() -> None:
    year = Validity(BEGAN, BEGAN + 200 * DAY)
    assert 163 * DAY <= renewal_due_at(year, TERMS, name="s") - BEGAN <= 170 * DAY


def test_a_fleet_that_was_made_at_once_asks_over_a_week_each_station_always_at_its_time() -> None:
    due = [renewal_due_at(AWS, TERMS, name=f"station-{number:03}") for number in range(200)]
    assert due == [renewal_due_at(AWS, TERMS, name=f"station-{number:03}") for number in range(200)]
    days = [sum(1 for one in due if one - min(due) < DAY * day) for day in range(8)]
    assert all(later - earlier < 60 for earlier, later in pairwise(days))
    assert max(due) - min(due) > 6 * DAY


@given(
    life=st.timedeltas(timedelta(minutes=1), timedelta(days=20_000)),
    after=st.integers(1, 9_000),
    before=st.integers(1, 3_650),
    name=st.text(min_size=1, max_size=64),
)
def test_there_is_always_time_between_the_beginning_and_the_end(
    life: timedelta, after: int, before: int, name: str
) -> None:
    times = Validity(BEGAN, BEGAN + life)
    terms = Provisioning(renew_after_days=after, renew_before_days=before)
    due = renewal_due_at(times, terms, name=name)
    assert times.begins < due < endangered_from(times, terms) < times.ends


# --- the running station ---


class Link:
    """A transport that counts how often it was given up."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.up.set()
        self.released_times = 0
        self.is_released = False

    async def connect(self) -> None:
        await self.up.wait()

    @asynccontextmanager
    async def released(self) -> AsyncIterator[None]:
        self.is_released = True
        self.released_times += 1
        try:
            yield
        finally:
            self.is_released = False


class Station:
    """A station of which only the renewal runs. ``outcomes`` are what its attempts come to."""

    def __init__(self, task: Renewal, time: ManualTime, **terms: object) -> None:
        self.time = time
        self.link = Link()
        self.outcomes: list[Outcome] = []
        self.attempts: list[float] = []
        self.alarms: list[tuple[bool, str]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.stop = asyncio.Event()
        self.settings = BrokerSettings(
            host=task.host,
            certificate_file=task.certificate_file,
            key_file=task.key_file,
            reconnect_max_s=60,
        )
        self.terms = msgspec.convert(terms, Provisioning)

    async def work(self, task: Renewal) -> Outcome:
        assert self.link.is_released
        self.attempts.append(self.time.monotonic())
        await self.hold.wait()
        return self.outcomes.pop(0) if self.outcomes else Outcome(done=Done.RENEWED)

    @asynccontextmanager
    async def running(self, *, transport: object = None) -> AsyncIterator["Station"]:
        renewals = Renewals(
            station_id=STATION,
            settings=self.settings,
            transport=transport or self.link,
            terms=self.terms,
            time=self.time,
            alarm=lambda active, why: self.alarms.append((active, why)),
            worker=self.work,
        )
        running = asyncio.create_task(renewals.run(self.stop))
        await settle()
        try:
            yield self
        finally:
            self.stop.set()
            async with asyncio.timeout(10):
                await running


def issued(task: Renewal, desk: Desk, *, begins: datetime, ends: datetime) -> None:
    request = signing_request(STATION, task.key_file)
    task.certificate_file.write_bytes(desk.authority.sign_request(request, begins=begins, ends=ends))


HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S


def test_a_certificate_that_is_due_is_replaced_and_one_that_is_not_is_left(desk: Desk, task: Renewal) -> None:
    async def scenario() -> None:
        issued(task, desk, begins=BEGAN, ends=BEGAN + 100 * DAY)
        async with Station(task, ManualTime(now=BEGAN + 50 * DAY)).running() as station:
            await station.time.advance(5 * DAY_S)
            assert (station.attempts, station.link.released_times) == ([], 0)
            await station.time.advance(30 * DAY_S)
            assert station.link.released_times == len(station.attempts) > 0

    asyncio.run(scenario())


def test_a_clock_that_nothing_has_set_is_not_believed(desk: Desk, task: Renewal) -> None:
    async def scenario() -> None:
        issued(task, desk, begins=BEGAN, ends=BEGAN + 100 * DAY)
        time = ManualTime(now=BEGAN + 99 * DAY, state=Clock.ESTIMATED)
        async with Station(task, time).running() as station:
            await time.advance(3 * DAY_S)
            assert (station.attempts, station.alarms) == ([], [])
            time.clock_state = Clock.SYNCHRONIZED
            await time.advance(1 * DAY_S)
            assert len(station.attempts) == 1
            assert station.alarms[0][0]

    asyncio.run(scenario())


def test_a_failure_is_told_once_and_tried_again_less_and_less_often(
    desk: Desk, task: Renewal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        issued(task, desk, begins=BEGAN, ends=BEGAN + 100 * DAY)
        station = Station(task, ManualTime(now=BEGAN + 99 * DAY))
        station.outcomes = [Outcome(done=Done.FAILED, reason="the cloud is away")] * 20
        async with station.running():
            await station.time.advance(5 * DAY_S)
            waits = [later - earlier for earlier, later in pairwise(station.attempts)]
            assert 5 <= len(waits) <= 20
            assert min(waits) >= HOUR_S
            assert max(waits) <= DAY_S + HOUR_S
            station.outcomes = []
            await station.time.advance(2 * DAY_S)

    asyncio.run(scenario())
    told = [record.message for record in caplog.records if "renewal of the certificate" in record.message]
    assert [message.partition(": ")[2][:17] for message in told] == ["the cloud is away", "works again after"]


def test_near_the_end_an_alarm_is_raised_and_cleared_by_a_new_certificate(desk: Desk, task: Renewal) -> None:
    async def scenario() -> None:
        issued(task, desk, begins=BEGAN, ends=BEGAN + 100 * DAY)
        station = Station(task, ManualTime(now=BEGAN + 80 * DAY), renew=False)
        async with station.running():
            await station.time.advance(2 * DAY_S)
            assert {active for active, _ in station.alarms} == {False}
            await station.time.advance(5 * DAY_S)
            assert station.alarms[-1] == (True, "ends at 2026-04-11T00:00:00Z")
            assert station.attempts == []
            issued(task, desk, begins=BEGAN + 80 * DAY, ends=BEGAN + 800 * DAY)
            await station.time.advance(2 * DAY_S)
            assert not station.alarms[-1][0]

    asyncio.run(scenario())


def test_what_was_begun_is_ended_whatever_the_clock_says(desk: Desk, task: Renewal) -> None:
    async def scenario() -> None:
        station = Station(task, ManualTime(now=BEGAN, state=Clock.ESTIMATED))
        successor = task.pair.successor
        successor.key_file.write_bytes(task.key_file.read_bytes())
        successor.certificate_file.write_bytes(task.certificate_file.read_bytes())
        async with station.running():
            await station.time.advance(HOUR_S)
            assert len(station.attempts) == 1

    asyncio.run(scenario())


def test_a_successor_takes_over_from_a_certificate_that_has_ended_and_never_has_a_link_again(
    desk: Desk, task: Renewal
) -> None:
    async def scenario() -> None:
        issued(task, desk, begins=BEGAN, ends=BEGAN + 100 * DAY)
        station = Station(task, ManualTime(now=BEGAN + 200 * DAY))
        station.link.up.clear()
        for path in (task.pair.successor.key_file, task.pair.successor.certificate_file):
            path.write_bytes(b"of the next pair")
        async with station.running():
            await station.time.advance(renewal.FIRST_LOOK_WITHIN_S)
            await station.time.advance(HOUR_S)
            assert len(station.attempts) == 1

    asyncio.run(scenario())


def test_a_link_is_waited_for_and_a_transport_that_cannot_be_released_is_left(
    desk: Desk, task: Renewal
) -> None:
    async def scenario() -> None:
        issued(task, desk, begins=BEGAN, ends=BEGAN + 100 * DAY)
        station = Station(task, ManualTime(now=BEGAN + 99 * DAY))
        station.link.up.clear()
        async with station.running():
            await station.time.advance(DAY_S)
            assert station.link.released_times == 0
            station.link.up.set()
            await settle()
            assert len(station.attempts) == 1
        other = Station(task, ManualTime(now=BEGAN + 99 * DAY))
        async with other.running(transport=object()):
            await other.time.advance(2 * DAY_S)
            assert other.attempts == []
            assert other.alarms[-1][0]

    asyncio.run(scenario())


def test_a_station_that_stops_does_not_wait_for_an_attempt(desk: Desk, task: Renewal) -> None:
    async def scenario() -> None:
        issued(task, desk, begins=BEGAN, ends=BEGAN + 100 * DAY)
        station = Station(task, ManualTime(now=BEGAN + 99 * DAY))
        station.hold.clear()
        async with station.running():
            await station.time.advance(HOUR_S)
            assert station.link.is_released
        assert not station.link.is_released

    asyncio.run(scenario())


def test_an_attempt_that_was_killed_between_two_files_is_completed_before_there_is_a_link_again(
    desk: Desk, task: Renewal
) -> None:
    async def scenario() -> None:
        station = Station(task, ManualTime(now=BEGAN))
        successor = task.pair.successor
        successor.certificate_file.write_bytes(
            desk.authority.sign_request(signing_request(STATION, successor.key_file))
        )

        async def killed(task: Renewal) -> Outcome:
            successor.key_file.replace(task.key_file)
            return Outcome(done=Done.FAILED, reason="killed")

        station.work = killed  # type: ignore[method-assign]
        async with station.running():
            await station.time.advance(HOUR_S)

    asyncio.run(scenario())
    desk.active = {der(task.certificate_file)}
    assert works(task, desk)


# --- by a process of its own ---


def test_the_process_renews(desk: Desk, task: Renewal) -> None:
    assert asyncio.run(renewal.in_a_process(task)) == Outcome(done=Done.RENEWED)
    assert works(task, desk)
    assert desk.active == {der(task.certificate_file)}


def test_the_process_says_why_not(desk: Desk, task: Renewal) -> None:
    desk.signing.append(HANGS_UP)
    outcome = asyncio.run(renewal.in_a_process(task))
    assert outcome.done is Done.FAILED
    assert "cannot be reached" in outcome.reason
    task.key_file.write_text("scribble")
    outcome = asyncio.run(renewal.in_a_process(task))
    assert (outcome.done, "s-1.cert.pem" in outcome.reason) == (Done.FAILED, True)


def test_a_process_that_hangs_is_ended(desk: Desk, task: Renewal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "DEADLINE_S", 1.5)
    desk.signing.append(SILENCE)
    outcome = asyncio.run(renewal.in_a_process(task))
    assert outcome == Outcome(done=Done.FAILED, reason="no result within 1.5 s")
    assert works(task, desk)


def test_a_process_that_breaks_is_told_with_its_last_words(
    desk: Desk, task: Renewal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "_WORK", "evswap_edge.no_such_module")
    outcome = asyncio.run(renewal.in_a_process(task))
    assert "No module named evswap_edge.no_such_module" in outcome.reason


# --- two files ---


def test_half_a_replacement_is_completed_and_nothing_else_is_taken_for_one(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "c", tmp_path / "k")
    for path in (pair.certificate_file, pair.key_file):
        path.write_text("former")
    pair.successor.key_file.write_text("new")
    pair.finish_replacement()
    assert pair.certificate_file.read_text() == "former"
    pair.successor.certificate_file.write_text("new")
    pair.finish_replacement()
    assert pair.key_file.read_text() == "former", "it has not shown yet that it works"
    pair.successor.key_file.replace(pair.key_file)
    pair.finish_replacement()
    assert (pair.certificate_file.read_text(), pair.key_file.read_text()) == ("new", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"c", "k"}


# --- by hand ---


@pytest.fixture
def config(task: Renewal, tmp_path: Path) -> Path:
    """The file of the station whose certificate is to be renewed."""
    transport = {
        "name": "aws-iot",
        "host": task.host,
        "port": task.port,
        "certificate_file": str(task.certificate_file),
        "key_file": str(task.key_file),
        "ca_file": str(task.ca_file),
    }
    settings: dict[str, Any] = {
        "station_id": STATION,
        "driver": {"name": "simulated"},
        "outbox": {"path": str(tmp_path / "outbox.sqlite")},
        "transport": transport,
    }
    path = tmp_path / "station.yaml"
    path.write_text(json.dumps(settings))
    return path


def test_the_command_renews_and_says_for_how_long(
    desk: Desk, task: Renewal, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = der(task.certificate_file)
    assert main(["provision", "--renew", "--config", str(config)]) == 0
    assert der(task.certificate_file) != before
    assert works(task, desk)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{task.certificate_file}: renewed, with a new key; the one before is being revoked"
    assert re.fullmatch(rf"{STATION}: certificate until \S+, 0 days left; replaced from \S+ on", said[1])


def test_the_command_leaves_a_station_that_runs_alone(
    desk: Desk, task: Renewal, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(OutboxClaim(tmp_path / "outbox.sqlite")):
        assert main(["provision", "--renew", "--config", str(config)]) == 1
    assert f"process {os.getpid()}" in capsys.readouterr().err
    assert desk.clients == []


def test_check_says_how_long_the_certificate_lasts(
    task: Renewal, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(config)]) == 0
    assert f"{STATION}: certificate until " in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        ["provision"],
        ["provision", "--renew"],
        ["provision", "--station-id", "s-1", "--directory", "."],
    ],
)
def test_the_command_says_what_it_needs(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(command)
    assert refused.value.code == 2
    assert "--config FILE" in capsys.readouterr().err


def test_one_of_a_fleet_is_named(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet: dict[str, Any] = {
        "stations": ["a", "b"],
        "certificates_dir": str(tmp_path),
        "data_dir": str(tmp_path),
    }
    fleet |= {"driver": {"name": "simulated"}, "transport": {"name": "aws-iot", "host": "127.0.0.1"}}
    config.write_text(json.dumps(fleet))
    with pytest.raises(SystemExit):
        main(["provision", "--renew", "--config", str(config)])
    assert "--station-id has to be one of those in" in capsys.readouterr().err


def test_a_transport_without_a_cloud_renews_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = json.loads(config.read_text())
    settings["transport"]["name"] = "mqtt"
    config.write_text(json.dumps(settings))
    with pytest.raises(SystemExit):
        main(["provision", "--renew", "--config", str(config)])
    assert "the transport mqtt has no cloud that renews certificates" in capsys.readouterr().err
