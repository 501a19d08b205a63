"""What a message costs on its way to a broker and back as an acknowledgement, beside the library alone."""

import asyncio
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evswap_edge.clock import SystemTime
from evswap_edge.config import StationConfig, station_of
from evswap_edge.documents import Document
from evswap_edge.message import Message
from evswap_edge.transports import Caller, Transport
from evswap_schema import Channel, broker_topic, encode_reading
from tests.benchmarks.bare_loop import WINDOW, BareLink
from tests.benchmarks.figures import Figure, cost_us
from tests.benchmarks.station_at_work import STATION, configuration
from tests.mosquitto import Mosquitto
from tests.shared.cabinets import minute_of_readings

_MESSAGES = 200


def measure() -> list[Figure]:
    with TemporaryDirectory() as scratch, Mosquitto(Path(scratch) / "broker", persistence=False) as broker:
        floor_us = _bare_cost_us(broker)
        return [_cost(name, Path(scratch) / name, broker, floor_us) for name in ("mqtt", "aws-iot")]


def _cost(name: str, folder: Path, broker: Mosquitto, floor_us: float) -> Figure:
    # AWS's quotas are no part of the cost; the plain transport knows none.
    settings: dict[str, Any] = {"aws_quotas": False} if name == "aws-iot" else {}
    [config] = station_of(Document(configuration(folder, broker, transport=name, **settings))).stations
    with asyncio.Runner() as runner:
        link = runner.run(_connected(config))
        own_us = cost_us(lambda: runner.run(_send(link)), items=_MESSAGES)
        runner.run(link.aclose())
    return Figure(
        name=f"message sent over {name} and acknowledged, {WINDOW} under way",
        per_item_us=own_us,
        floor_name="the same by paho alone",
        floor_us=floor_us,
    )


async def _connected(config: StationConfig) -> Transport:
    caller = Caller(station_id=STATION, time=SystemTime())
    link: Transport = await config.transport.kind.open(config.transport.settings, caller)
    await link.connect()
    return link


async def _send(link: Transport) -> None:
    """As many senders as the window has places, each with one message after another."""
    message, numbers = _message(), count()

    async def sender() -> None:
        while next(numbers) < _MESSAGES:
            await link.send(message)

    await asyncio.gather(*(sender() for _ in range(WINDOW)))


def _bare_cost_us(broker: Mosquitto) -> float:
    link = BareLink(broker.station_credentials(STATION), broker.host, broker.port)
    link.connect()
    message = _message()

    def work() -> Any:
        for number in range(_MESSAGES):
            link.publish(message.topic, number, message.payload)
        return link.rest()

    cost = cost_us(work, items=_MESSAGES)
    link.close()
    return cost


def _message() -> Message:
    payload = encode_reading(minute_of_readings(0, samples=1)[0])
    return Message(topic=broker_topic(Channel.TELEMETRY, STATION), payload=payload)
