"""Where a station's messages end: a broker, and somebody who wrote down all that arrived."""

import asyncio
import ssl
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from evswap_schema.topics import ROOT
from tests.authority import Authority
from tests.chaos.recorder import READY, Arrival, recorded
from tests.chaos.schedule import Broker
from tests.mosquitto import Mosquitto, free_port

CHECKOUT: Final = Path(__file__).parents[2]

_PATIENCE_S: Final = 10.0
_SESSION_S: Final = 3_600


class FarSide(ABC):
    """A broker that can be stopped and started, and what arrived at it."""

    port: int

    @abstractmethod
    async def start(self) -> None:
        """Return when it takes connections; for the first time, or again on the same port."""

    @abstractmethod
    async def stop(self) -> None:
        """SIGTERM."""

    @abstractmethod
    async def kill(self) -> None:
        """SIGKILL."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop, for good."""

    @abstractmethod
    def arrivals(self) -> Sequence[Arrival]:
        """All that it acknowledged so far, in order, each as often as it was sent."""


class MosquittoSide(FarSide):
    """Mosquitto, and a subscriber with a session that outlives its stops."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self.port = broker.port
        self._sink = Sink(broker)

    async def start(self) -> None:
        await asyncio.to_thread(self._broker.start)
        await asyncio.to_thread(self._sink.open)

    async def stop(self) -> None:
        await asyncio.to_thread(self._broker.stop)

    async def kill(self) -> None:
        raise NotImplementedError("what mosquitto acknowledged and lost by a kill, no station can know")

    async def aclose(self) -> None:
        await asyncio.to_thread(self._sink.close)
        await self.stop()

    def arrivals(self) -> Sequence[Arrival]:
        return list(self._sink.arrivals)


class Sink:
    """A subscriber to everything, at the broker itself. What the broker delivers to it a second time is
    marked as such (DUP), and left out: that is between the two of them."""

    def __init__(self, broker: Mosquitto) -> None:
        mine = broker.station_credentials("observer")
        self._broker = broker
        self._listens = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=mine.name, protocol=mqtt.MQTTv5)
        self._client.tls_set(
            ca_certs=str(mine.ca_file),
            certfile=str(mine.certificate_file),
            keyfile=str(mine.key_file),
            tls_version=ssl.PROTOCOL_TLS_CLIENT,
        )
        self._client.reconnect_delay_set(min_delay=0.05, max_delay=0.1)  # type: ignore[arg-type]
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._listens.set()
        self._client.on_message = self._on_message
        self._opened = False
        self._under_way: dict[int, bytes] = {}
        self.arrivals: list[Arrival] = []

    def open(self) -> None:
        """Return when it listens. The second time it comes back by itself."""
        if self._opened:
            return
        self._opened = True
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = _SESSION_S
        self._client.connect(self._broker.host, self._broker.port, clean_start=False, properties=properties)
        self._client.loop_start()
        if not self._listens.wait(_PATIENCE_S):
            raise TimeoutError("the broker takes no subscription")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _userdata: Any, flags: Any, *_: Any) -> None:
        if not flags.session_present:
            client.subscribe([(f"{ROOT}/#", 1), ("$aws/rules/#", 1)])

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        seen = message.dup and self._under_way.get(message.mid) == payload
        self._under_way[message.mid] = payload
        if not seen:
            self.arrivals.append(Arrival(message.topic, payload, time.time()))


class RecorderSide(FarSide):
    """The broker of `recorder.py`, whose acknowledgement is as good as its file."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._file = folder / "arrivals.jsonl"
        self._log = folder / "recorder.log"
        self.port = free_port()
        # Certificates are made, and laid down, as for the other broker.
        mine = Mosquitto(folder / "recorder", authority=authority).station_credentials("mosquitto")
        self._files = (mine.ca_file, mine.certificate_file, mine.key_file)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.chaos.recorder",
                str(self._file),
                str(self.port),
                *map(str, self._files),
                cwd=CHECKOUT,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE_S):
            said = (await self._process.stdout.readline()).decode().strip()
        if said != READY:
            raise RuntimeError(f"the recorder does not start:\n{self._log.read_text()}")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def aclose(self) -> None:
        await self.stop()

    def arrivals(self) -> Sequence[Arrival]:
        return list(recorded(self._file))


def far_side(kind: Broker, folder: Path, authority: Authority) -> FarSide:
    match kind:
        case Broker.MOSQUITTO:
            return MosquittoSide(Mosquitto(folder / "mosquitto", authority=authority))
        case Broker.RECORDER:
            return RecorderSide(folder, authority)
