"""What is wired to the pins of a Raspberry Pi: locks with their feedback, smoke detectors, door switches.

``settings`` says which pin is what; ``pins`` is gpiozero and its troubles; ``locks`` and ``safety`` put them
behind the protocols of the HAL.
"""

from typing import Final

from evswap_edge.drivers import DriverKind, Role, Surroundings
from evswap_edge.drivers.gpio.locks import GpioLocks
from evswap_edge.drivers.gpio.pins import Board
from evswap_edge.drivers.gpio.safety import GpioSafety
from evswap_edge.drivers.gpio.settings import Settings, check, claims, roles_of, where


async def open_gpio(settings: Settings, surroundings: Surroundings) -> GpioLocks | GpioSafety:
    """Take the pins; every lock is off. What the switches say shows with the first reading."""
    board = Board(settings.chip)
    try:
        if settings.locks:
            return GpioLocks(board, settings)
        return GpioSafety(board, settings, surroundings.time)
    except BaseException:
        board.close()
        raise


KIND: Final = DriverKind(
    settings=Settings,
    open=open_gpio,
    check=check,
    provides=frozenset({Role.LOCKS, Role.SAFETY}),
    bays=lambda settings: settings.numbers,
    meant_for=roles_of,
    claims=claims,
    where=where,
)
