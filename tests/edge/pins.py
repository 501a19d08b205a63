"""A Raspberry Pi's pins without one: gpiozero's own mock, and what is wired to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpiozero import Device  # type: ignore[import-untyped]
from gpiozero.pins.mock import MockConnectedPin, MockFactory  # type: ignore[import-untyped]


class Pins:
    """Switches to ground, and what the outputs give. Wire first, open the driver, then set the switches:
    opening it pulls its inputs up."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def wire_lock(self, lock: int, feedback: int) -> None:
        """A bolt that the coil draws: its switch is open while the output is high, and closed again
        behind."""
        self._factory.pin(lock, pin_class=MockConnectedPin, input_pin=self._factory.pin(feedback))

    def close_switch(self, *pins: int) -> None:
        for pin in pins:
            self._factory.pin(pin).drive_low()

    def open_switch(self, *pins: int) -> None:
        """As cutting its wire does: the pull-up wins."""
        for pin in pins:
            self._factory.pin(pin).drive_high()

    def level(self, pin: int) -> bool:
        return bool(self._factory.pin(pin).state)

    def levels(self, pin: int) -> list[bool]:
        """All that it gave, one after the other."""
        return [bool(state) for _, state in self._factory.pin(pin).states]

    def is_output(self, pin: int) -> bool:
        return bool(self._factory.pin(pin).function == "output")


@contextmanager
def board() -> Iterator[Pins]:
    """The pins, as long as the block lasts; all have to be given back by then."""
    before = Device.pin_factory
    factory = MockFactory()
    Device.pin_factory = factory
    try:
        yield Pins(factory)
        assert not any(factory._reservations.values())
    finally:
        factory.reset()
        Device.pin_factory = before
