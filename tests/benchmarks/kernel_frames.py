"""Batteries in a process of their own that put frames into a socket as a CAN interface hands them out:
``python -m tests.benchmarks.kernel_frames HOST:PORT BAYS``, until its input ends."""

import socket
import sys
from collections.abc import Sequence
from itertools import cycle
from select import select
from typing import Final

from can.interfaces.socketcan.socketcan import build_can_frame

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.can import read_layout
from evswap_edge.drivers.can.addressing import places
from tests.edge.can_bus import wired

PERIOD_S: Final = 0.5
_ROUNDS: Final = 48
"""After so many all counters, and the parts of the serial number, are where they began."""


def rounds_of_frames(bays: int) -> list[list[bytes]]:
    """What the batteries of so many bays say, by rounds of ``PERIOD_S``: each round other values, and of the
    cells in each other one."""
    kinds = places(read_layout(NameOrFile("evswap-bms")), bays=range(1, bays + 1))
    rounds = []
    with wired(bays=bays) as bus:
        for number in range(_ROUNDS):
            for quantity, first, step in (("voltage", 50, 0.05), ("current", 4, 0.05), ("soc", 60, 0.1)):
                bus.obey(f"set all {quantity} {first + step * number:.2f}")
            rounds.append(
                [
                    build_can_frame(message)
                    for message in bus.emulator.frames()
                    if number % 2 or kinds[message.arbitration_id][1].name != "BmsCells"
                ]
            )
    return rounds


def speak(address: tuple[str, int], rounds: Sequence[Sequence[bytes]]) -> None:
    """A round every ``PERIOD_S``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.connect(address)
        for frames in cycle(rounds):
            for frame in frames:
                wire.send(frame)
            if select([sys.stdin], [], [], PERIOD_S)[0]:
                return


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    speak((host, int(port)), rounds_of_frames(int(sys.argv[2])))
