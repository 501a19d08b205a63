"""The pins themselves, by gpiozero; and what to do where there are none.

A call takes microseconds in the kernel's own chips, and cannot hang there: no thread is needed.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any, Final

from gpiozero import Device, InputDevice, OutputDevice  # type: ignore[import-untyped]
from gpiozero.exc import GPIOZeroError, PinInvalidPin, PinUnknownPi  # type: ignore[import-untyped]

from evswap_edge.drivers.gpio.settings import Active, Pull
from evswap_edge.hal import DriverUnavailable, SensorError

INSTALL: Final = (
    "`sudo apt install python3-lgpio` and a virtual environment made with --system-site-packages, or `pip "
    "install lgpio` in one of its own"
)
"""What gpiozero needs to talk to the kernel's GPIO chips: it works on every Raspberry Pi, the 5 among them,
for which RPi.GPIO and pigpio do not."""
_CHOICE: Final = "GPIOZERO_PIN_FACTORY"
"""gpiozero's own variable, for whoever wants another of its ways to the pins (``mock`` in tests)."""
_WORKING_FOLDER: Final = "LG_WD"
"""lgpio makes a pipe in this folder when it is imported; unset it is the working directory, which a station
may not write to."""


class Output:
    """A pin that is switched."""

    def __init__(self, device: Any) -> None:
        self._device = device

    def on(self) -> None:
        self._device.on()

    def off(self) -> None:
        self._device.off()


class Switch:
    """A pin with a switch on it. An open one looks like a cut wire."""

    def __init__(self, device: Any, name: str) -> None:
        self._device = device
        self._name = name

    def is_closed(self) -> bool:
        """Raises ``SensorError``."""
        try:
            return bool(self._device.is_active)
        except library_errors() as error:
            raise SensorError(sensor=self._name, reason=str(error)) from error


class Board:
    """The pins of one GPIO chip."""

    def __init__(self, chip: int | None) -> None:
        """Raises ``DriverUnavailable`` with what to install or to look at."""
        self.name = "GPIO" if chip is None else f"/dev/gpiochip{chip}"
        self._owned: Any = None
        self._devices: list[Any] = []
        try:
            if chip is not None:
                self._owned = _make_factory(chip)
            elif Device.pin_factory is None:
                _choose_common_factory()
        except library_errors() as error:  # one of gpiozero's is an ImportError too
            raise DriverUnavailable(device=self.name, reason=_why(error)) from error
        except ImportError as error:
            raise DriverUnavailable(device=self.name, reason=f"needs lgpio: {INSTALL}") from error

    def output(self, pin: int, active: Active) -> Output:
        """A pin that is switched; it is off from the beginning. Raises ``DriverUnavailable``."""
        high = active is Active.HIGH
        return Output(self._made(pin, OutputDevice, active_high=high, initial_value=False))

    def switch(self, pin: int, pull: Pull) -> Switch:
        """A pin with a switch on it. Raises ``DriverUnavailable``."""
        return Switch(self._made(pin, InputDevice, pull_up=pull is Pull.UP), f"GPIO{pin}")

    def close(self) -> None:
        """Switch everything off and give the pins back. Safe to call twice."""
        while self._devices:
            self._devices.pop().close()
        if self._owned is not None:
            self._owned.close()
            self._owned = None

    def _made(self, pin: int, make: Callable[..., Any], **how: bool) -> Any:
        try:
            device = make(pin, pin_factory=self._owned, **how)
        except library_errors() as error:
            raise DriverUnavailable(device=f"{self.name} pin GPIO{pin}", reason=_why(error)) from error
        self._devices.append(device)
        return device


def library_errors() -> tuple[type[Exception], ...]:
    """What gpiozero and, where it is loaded, lgpio raise."""
    lgpio = sys.modules.get("lgpio")
    return (GPIOZeroError, OSError, *((lgpio.error,) if lgpio else ()))


def _choose_common_factory() -> None:
    """gpiozero alone would try one library after another, down to one that is an experiment."""
    if os.environ.get(_CHOICE):
        Device.ensure_pin_factory()
    else:
        Device.pin_factory = _make_factory(None)


def _make_factory(chip: int | None) -> Any:
    os.environ.setdefault(_WORKING_FOLDER, tempfile.gettempdir())
    from gpiozero.pins.lgpio import LGPIOFactory  # type: ignore[import-untyped]  # only where it is used

    return LGPIOFactory(chip=chip)


def _why(error: Exception) -> str:
    if isinstance(error, PinUnknownPi):
        return f"this is no Raspberry Pi, or one that gpiozero does not know ({error})"
    if isinstance(error, PinInvalidPin):
        return "this board has no such pin: the header of a Raspberry Pi has GPIO0 to GPIO27"
    return (
        f"{error}; is the pin used by another program or an overlay, and do you belong to the group gpio "
        "(`sudo usermod -aG gpio $USER` and a new login)?"
    )
