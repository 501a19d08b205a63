"""Commands from the cloud: kept before they are sent, sent to whoever asks, one result each."""

from datetime import timedelta

import pytest

from evswap_cloud.errors import CommandError, Reason
from evswap_cloud.memory import MemoryQuarantine
from evswap_cloud.remote import CommandReports, IssuedDifferently, State, expire, longest_life
from evswap_cloud.remote.dispatcher import MAX_LIFE, MAX_LIFE_AT_THE_CABINET, MOST_AT_ONCE
from evswap_cloud.remote.records import GRACE, UNDER_WAY
from evswap_schema import Outcome, ReadNow, RequestSwap, SetCharging, Unlock
from tests.cloud.commands_at_hand import STATION, Cloud, asked, order, result, told
from tests.cloud.messages import NOW, altered, delivery


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def quarantine() -> MemoryQuarantine:
    return MemoryQuarantine()


@pytest.fixture
def reports(cloud: Cloud, quarantine: MemoryQuarantine) -> CommandReports:
    return CommandReports(store=cloud.commands, dispatcher=cloud.dispatcher, quarantine=quarantine)


def state_of(cloud: Cloud, command_id: str) -> State:
    record = cloud.commands.get(STATION, command_id)
    assert record is not None
    return record.state


# --- issuing ---


def test_a_command_is_kept_and_published_with_its_own_expiry(cloud: Cloud) -> None:
    issued = cloud.dispatcher.issue(order(life=timedelta(minutes=2)))
    command = issued.record.command
    assert (command.issued_at, command.expires_at) == (NOW, NOW + timedelta(minutes=2))
    [message] = cloud.plane.published
    assert message.topic == f"ev/station/{STATION}/commands/{command.command_id}"
    assert (message.command, message.expiry_s) == (command, 120)
    assert issued.record == cloud.commands.get(STATION, command.command_id)
    assert issued.record.state is State.SENT


def test_each_order_is_a_command_of_its_own(cloud: Cloud) -> None:
    issued = {cloud.dispatcher.issue(order()).record.command.command_id for _ in range(3)}
    assert len(issued) == len(cloud.plane.published) == 3


def test_what_cannot_be_published_is_kept_and_waits(cloud: Cloud) -> None:
    cloud.plane.down = True
    issued = cloud.dispatcher.issue(order())
    assert isinstance(issued.failure, CommandError)
    assert issued.failure.code == "EndpointConnectionError"
    assert issued.record.state is State.PENDING
    cloud.plane.down = False
    assert cloud.dispatcher.deliver(STATION) == 1
    assert state_of(cloud, issued.record.command.command_id) is State.SENT


def test_the_same_key_is_the_same_command_published_once(cloud: Cloud) -> None:
    first = cloud.dispatcher.issue(order(key="k-1"))
    cloud.clock.pass_(seconds=30)
    again = cloud.dispatcher.issue(order(key="k-1"))
    assert again.record.command == first.record.command
    assert len(cloud.plane.published) == 1


def test_a_key_whose_command_was_never_published_has_it_published(cloud: Cloud) -> None:
    cloud.plane.down = True
    first = cloud.dispatcher.issue(order(key="k-1"))
    cloud.plane.down = False
    again = cloud.dispatcher.issue(order(key="k-1"))
    assert [one.command for one in cloud.plane.published] == [first.record.command]
    assert again.record.state is State.SENT


@pytest.mark.parametrize("other", [{"action": Unlock(bay=4)}, {"life": timedelta(minutes=1)}])
def test_a_key_belongs_to_one_order(cloud: Cloud, other: dict[str, object]) -> None:
    first = cloud.dispatcher.issue(order(key="k-1"))
    with pytest.raises(IssuedDifferently) as refused:
        cloud.dispatcher.issue(order(key="k-1", **other))
    assert refused.value.record.command == first.record.command


@pytest.mark.parametrize("other", [{"station_id": "station-02"}, {"issued_by": "somebody-else"}])
def test_a_key_is_its_owners_and_for_one_station(cloud: Cloud, other: dict[str, object]) -> None:
    """Nobody can find, or block, another's command by guessing his keys."""
    first = cloud.dispatcher.issue(order(key="k-1")).record.command.command_id
    assert cloud.dispatcher.issue(order(key="k-1", **other)).record.command.command_id != first


def test_what_opens_a_bay_does_not_wait_for_long() -> None:
    swap = RequestSwap(request_id=1, id_token="a" * 64)
    assert {longest_life(Unlock(bay=1)), longest_life(swap)} == {MAX_LIFE_AT_THE_CABINET}
    assert longest_life(SetCharging(bay=1, enabled=False)) == longest_life(ReadNow()) == MAX_LIFE


# --- a station asks ---


def test_a_station_that_asks_gets_what_has_no_result_the_oldest_first(
    cloud: Cloud, reports: CommandReports
) -> None:
    issued = []
    for _ in range(4):
        issued.append(cloud.dispatcher.issue(order(life=timedelta(hours=1))).record.command)
        cloud.clock.pass_(seconds=1)
    reports.process([told(result(issued[0].command_id))])
    reports.process([told(result(issued[2].command_id, Outcome.ACCEPTED))])
    cloud.dispatcher.issue(order(station_id="station-02"))
    cloud.plane.published.clear()
    cloud.clock.pass_(minutes=10)
    assert reports.process([asked()]).sent == 3
    assert [one.command for one in cloud.plane.published] == issued[1:]
    assert cloud.plane.published[0].expiry_s == 3600 - 600 - 4 + 1


def test_a_station_that_asks_twice_at_once_is_answered_once(cloud: Cloud, reports: CommandReports) -> None:
    cloud.dispatcher.issue(order())
    cloud.plane.published.clear()
    assert reports.process([asked(record_id="a"), asked(record_id="b")]).sent == 1
    assert len(cloud.plane.published) == 1


def test_what_it_tells_together_with_its_question_is_not_sent_again(
    cloud: Cloud, reports: CommandReports
) -> None:
    done = cloud.dispatcher.issue(order()).record.command.command_id
    cloud.plane.published.clear()
    said = reports.process([asked(), told(result(done))])
    assert (said.noted, said.sent) == (1, 0)
    assert cloud.plane.published == []


def test_no_more_is_sent_at_once_than_a_station_keeps_in_hand(cloud: Cloud) -> None:
    for _ in range(MOST_AT_ONCE + 5):
        cloud.dispatcher.issue(order())
    assert cloud.dispatcher.deliver(STATION) == MOST_AT_ONCE


def test_a_question_that_could_not_be_answered_comes_again(cloud: Cloud, reports: CommandReports) -> None:
    cloud.dispatcher.issue(order())
    cloud.plane.down = True
    [failure] = reports.process([asked(record_id="q"), asked("station-02", "empty")]).failures
    assert failure.record_id == "q"
    cloud.plane.down = False
    assert reports.process([asked(record_id="q")]).failures == ()


# --- what stations say ---


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_result_is_noted_with_its_reason_and_the_stations_own_time(
    cloud: Cloud, reports: CommandReports, outcome: Outcome
) -> None:
    command_id = cloud.dispatcher.issue(order()).record.command.command_id
    said = result(command_id, outcome, reason="so it is", timestamp=NOW - timedelta(seconds=3))
    received = NOW + timedelta(seconds=2)
    assert reports.process([told(said, received_at=received)]).noted == 1
    record = cloud.commands.get(STATION, command_id)
    assert record is not None
    assert record.state.value == outcome.value
    assert (record.reason, record.said_at) == ("so it is", NOW - timedelta(seconds=3))
    assert record.changed_at == received
    waits = outcome is Outcome.ACCEPTED
    assert record.deadline == (received + UNDER_WAY if waits else None)


def test_the_first_result_stands_whatever_comes_later(cloud: Cloud, reports: CommandReports) -> None:
    command_id = cloud.dispatcher.issue(order()).record.command.command_id
    later = [told(result(command_id, outcome), f"r{n}") for n, outcome in enumerate(Outcome)]
    assert reports.process([told(result(command_id))]).noted == 1
    said = reports.process(later)
    assert (said.noted, said.known, said.failures) == (0, len(Outcome), ())
    assert state_of(cloud, command_id) is State.DONE


def test_a_result_of_a_command_that_nobody_knows_changes_nothing(
    cloud: Cloud, reports: CommandReports
) -> None:
    assert reports.process([told(result("by-hand"))]).known == 1
    assert cloud.commands.records == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "station-02"}, Reason.WRONG_CLIENT),
        ({"station_id": "station-02"}, Reason.WRONG_STATION),
        ({"topic": "ev/station/station-01/commands/other/result"}, Reason.WRONG_TOPIC),
        ({"payload": "e30="}, Reason.INVALID_FIELD),
        ({"topic": None}, Reason.ENVELOPE),
    ],
)
def test_a_result_that_another_could_have_sent_is_put_aside(
    cloud: Cloud,
    reports: CommandReports,
    quarantine: MemoryQuarantine,
    changes: dict[str, object],
    reason: Reason,
) -> None:
    command_id = cloud.dispatcher.issue(order()).record.command.command_id
    said = reports.process([delivery(altered(told(result(command_id)).body, changes))])
    assert [one.reason for one in said.quarantined] == [reason]
    assert [one.reason for one in quarantine.messages.values()] == [reason]
    assert state_of(cloud, command_id) is State.SENT


def test_nobody_asks_for_another_station(cloud: Cloud, reports: CommandReports) -> None:
    cloud.dispatcher.issue(order())
    cloud.plane.published.clear()
    said = reports.process([delivery(altered(asked().body, {"client_id": "station-02"}))])
    assert [one.reason for one in said.quarantined] == [Reason.WRONG_CLIENT]
    assert cloud.plane.published == []


# --- silence ---


def test_a_command_that_nobody_spoke_of_expires_a_minute_after_its_expiry(cloud: Cloud) -> None:
    command = cloud.dispatcher.issue(order()).record.command
    assert expire(cloud.commands, command.expires_at + GRACE - timedelta(seconds=1)) == 0
    assert expire(cloud.commands, command.expires_at + GRACE) == 1
    assert expire(cloud.commands, command.expires_at + GRACE) == 0
    assert state_of(cloud, command.command_id) is State.EXPIRED
    assert cloud.dispatcher.deliver(STATION) == 0


def test_one_that_was_accepted_and_never_told_is_unknown(cloud: Cloud, reports: CommandReports) -> None:
    command = cloud.dispatcher.issue(order()).record.command
    reports.process([told(result(command.command_id, Outcome.ACCEPTED))])
    assert expire(cloud.commands, command.expires_at + GRACE) == 0, "it may take its time"
    assert expire(cloud.commands, NOW + UNDER_WAY) == 1
    assert state_of(cloud, command.command_id) is State.UNKNOWN


def test_what_the_station_knows_replaces_what_the_cloud_took_it_for(
    cloud: Cloud, reports: CommandReports
) -> None:
    """It did it in time, and had no link to tell."""
    command = cloud.dispatcher.issue(order()).record.command
    expire(cloud.commands, NOW + timedelta(hours=1))
    assert reports.process([told(result(command.command_id, Outcome.ACCEPTED))]).known == 1
    assert reports.process([told(result(command.command_id))]).noted == 1
    assert state_of(cloud, command.command_id) is State.DONE


def test_a_command_that_is_heard_of_while_it_is_given_up_is_left_alone(
    cloud: Cloud, reports: CommandReports
) -> None:
    """The index that names it is a moment old."""
    commands = [cloud.dispatcher.issue(order()).record.command for _ in range(3)]
    late = NOW + timedelta(hours=1)
    [*overdue] = cloud.commands.overdue(late)
    assert len(overdue) == 3
    reports.process(
        [
            told(result(commands[0].command_id, Outcome.ACCEPTED), received_at=late),
            told(result(commands[1].command_id), received_at=late),
        ]
    )
    cloud.commands.overdue = lambda now: iter(overdue)  # type: ignore[method-assign]
    assert expire(cloud.commands, late) == 1
    states = [state_of(cloud, one.command_id) for one in commands]
    assert states == [State.ACCEPTED, State.DONE, State.EXPIRED]
