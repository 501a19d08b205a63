"""A broker whose acknowledgement means: it is in the file. For schedules that kill the broker.

Mosquitto acknowledges what it holds in memory, so a kill may lose messages that no station can know about;
what arrives here is appended to a file before its PUBACK is sent, and a killed process loses no byte that it
handed to the kernel. MQTT 5 over mutual TLS, QoS 0 and 1, nobody to deliver to. Runs as a process of its own:

    python -m tests.chaos.recorder FILE PORT CA CERTIFICATE KEY
"""

import asyncio
import base64
import json
import os
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.authority import LOOPBACK
from tests.chaos import packets
from tests.chaos.packets import Packet
from tests.mqtt_wire import server_context

READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that reached the far side, `at` seconds since 1970."""

    topic: str
    payload: bytes
    at: float


def recorded(file: Path) -> Iterator[Arrival]:
    """The messages in the order of their arrival. What a kill cut short was never acknowledged, and counts
    for nothing."""
    if not file.exists():
        return
    for line in file.read_bytes().splitlines():
        with suppress(ValueError):
            topic, payload, at = json.loads(line)
            yield Arrival(topic, base64.b64decode(payload), at)


class Recorder:
    """Takes any number of clients."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(self._file, b"\n")  # ends a line that a kill cut short

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                packet = await packets.read_packet(reader)
                if packet.kind == packets.DISCONNECT:
                    break
                writer.write(self._answer(packet))
                await writer.drain()
        writer.close()

    def _answer(self, packet: Packet) -> bytes:
        match packet.kind:
            case packets.CONNECT:
                return packets.connack()
            case packets.PUBLISH:
                return self._record(packet)
            case packets.SUBSCRIBE | packets.UNSUBSCRIBE:
                return packets.granted(packet)
            case packets.PINGREQ:
                return packets.pong()
        return b""

    def _record(self, packet: Packet) -> bytes:
        publish = packets.publish_of(packet)
        payload = base64.b64encode(publish.payload).decode()
        os.write(self._file, json.dumps([publish.topic, payload, time.time()]).encode() + b"\n")
        return packets.puback(publish.packet_id) if publish.qos else b""


async def main(file: Path, port: int, context: ssl.SSLContext) -> None:
    recorder = Recorder(file)
    server = await asyncio.start_server(recorder.converse, LOOPBACK, port, ssl=context)
    print(READY, flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    record, port, *files = sys.argv[1:]
    asyncio.run(main(Path(record), int(port), server_context(*map(Path, files))))
