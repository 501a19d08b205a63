"""The climate sensor's stimulus: `evswap-edge emulate climate`, spoken to by lines."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from evswap_hil.child import Child

READY_WITHIN_S: Final = 20.0
ANSWER_WITHIN_S: Final = 5.0
STOP_WITHIN_S: Final = 5.0


class Fault(StrEnum):
    """How a sensor can fail."""

    SILENT = "silent"
    CRC = "crc"
    WRONG_LENGTH = "wrong-length"
    OUT_OF_RANGE = "out-of-range"


class StimulusRefused(Exception):
    """The emulator cannot do `command`; `answer` is its word for it."""

    def __init__(self, command: str, answer: str) -> None:
        super().__init__(f"the climate emulator refused {command!r}: {answer}")
        self.command = command
        self.answer = answer


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What is emulated. `place` are the options that say where: a pseudo-terminal or a serial adapter."""

    place: tuple[str, ...]
    registers: str
    unit: int
    temperature: float
    humidity: float

    def options(self) -> list[str]:
        return [
            *self.place,
            *("--registers", self.registers),
            *("--unit", str(self.unit)),
            *("--temperature", f"{self.temperature:g}"),
            *("--humidity", f"{self.humidity:g}"),
        ]


class ClimateEmulator:
    """A running emulator."""

    def __init__(self, program: Path, sensor: Sensor, *, log: Path) -> None:
        """Returns when the sensor answers on its bus. Raises NotStarted, Silent or Ended."""
        command: list[str | Path] = [program, "emulate", "climate", *sensor.options()]
        self._child = Child(command, name="climate emulator", log=log, talks=True)
        try:
            self.place = self._child.next_line("the start", READY_WITHIN_S).removeprefix("ready ")
        except BaseException:
            self._child.kill()
            raise

    def temperature(self, celsius: float) -> None:
        """What the sensor measures from now on. Raises StimulusRefused, Silent or Ended."""
        self._order(f"temperature {celsius:g}")

    def humidity(self, percent: float) -> None:
        """What the sensor measures from now on. Raises StimulusRefused, Silent or Ended."""
        self._order(f"humidity {percent:g}")

    def fail(self, fault: Fault) -> None:
        """Let the sensor fail from now on. Raises StimulusRefused, Silent or Ended."""
        self._order(f"fault {fault}")

    def heal(self) -> None:
        """Let the sensor work from now on. Raises StimulusRefused, Silent or Ended."""
        self._order("fault none")

    def stop(self) -> None:
        """Take the sensor off its bus. Raises StillRunning."""
        self._child.stop(STOP_WITHIN_S)

    def _order(self, command: str) -> None:
        answer = self._child.ask(command, ANSWER_WITHIN_S)
        if answer != "ok":
            raise StimulusRefused(command, answer)
