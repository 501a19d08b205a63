"""Whether a station is there, as AWS IoT keeps it: said by the station, and by its will if it was killed."""

import signal
from pathlib import Path

import pytest
import yaml

from evswap_hil.deadline import wait_until
from evswap_schema import Channel, Connection, ConnectionState, broker_topic, decode_connection
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.test_one_station import VISITOR, configuration, running

pytestmark = pytest.mark.any_maker


def test_a_station_is_online_until_it_stops_or_is_killed(stack: LocalStack, tmp_path: Path) -> None:
    file = configuration(stack, tmp_path, transport=with_a_hasty_will(stack, tmp_path))
    with running(file) as station:
        first = kept_once(stack, ConnectionState.ONLINE)
        station.send_signal(signal.SIGTERM)
        assert station.wait(30) == 0
    assert kept_once(stack, ConnectionState.OFFLINE).session == first.session
    with running(file) as station:
        second = kept_once(stack, ConnectionState.ONLINE)
        station.kill()
    assert kept_once(stack, ConnectionState.OFFLINE).session == second.session != first.session


def with_a_hasty_will(stack: LocalStack, folder: Path) -> object:

    sections = yaml.safe_load(configuration(stack, folder).read_text())
    return sections["transport"] | {"will_delay_s": 1}


def kept_once(stack: LocalStack, state: ConnectionState) -> Connection:
    """What whoever asks is told, once it is `state`."""
    data = stack.aws("iot-data")
    topic = broker_topic(Channel.CONNECTION, VISITOR)
    told: list[Connection] = []

    def is_so() -> bool:
        try:
            told.append(decode_connection(data.get_retained_message(topic=topic)["payload"]))
        except data.exceptions.ResourceNotFoundException:
            return False
        return told[-1].state is state

    wait_until(is_so, what=f"a station that is {state}", within=IN_TIME_S)
    return told[-1]
