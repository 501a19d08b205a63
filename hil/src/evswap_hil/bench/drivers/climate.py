"""The climate sensor, emulated by the product's own emulator."""

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.step import step

from evswap_hil.bench.protocols import ClimateProtocol
from evswap_hil.bench.resources import ClimateSensor
from evswap_hil.bench.settings import Scratch, Settings
from evswap_hil.emulator import ClimateEmulator, Fault, Sensor
from evswap_hil.programs import EDGE


@target_factory.reg_driver
@attr.s(eq=False)
class ClimateEmulatorDriver(Driver, ClimateProtocol):
    """Answers on the bus in the place of a sensor."""

    bindings = {"sensor": ClimateSensor}

    def on_activate(self) -> None:
        settings, sensor = Settings(self.target), self.sensor
        self._scratch = Scratch()
        self._emulator = ClimateEmulator(
            settings.program(EDGE),
            Sensor(
                place=self._place(),
                registers=settings.file_or_name(sensor.registers),
                unit=sensor.unit,
                temperature=sensor.temperature,
                humidity=sensor.humidity,
            ),
            log=settings.log("climate"),
        )

    def on_deactivate(self) -> None:
        self._emulator.stop()
        self._scratch.discard()

    @property
    def port(self) -> str:
        """The serial port at the station's end of the bus, where that is on this machine."""
        return self._emulator.place

    @Driver.check_active
    @step(args=["celsius"])
    def temperature(self, celsius: float) -> None:
        self._emulator.temperature(celsius)

    @Driver.check_active
    @step(args=["percent"])
    def humidity(self, percent: float) -> None:
        self._emulator.humidity(percent)

    @Driver.check_active
    @step(args=["fault"])
    def fail(self, fault: Fault) -> None:
        self._emulator.fail(fault)

    @Driver.check_active
    @step()
    def heal(self) -> None:
        self._emulator.heal()

    def _place(self) -> tuple[str, ...]:
        if self.sensor.port is not None:
            return ("--port", self.sensor.port)
        return ("--link", str(self._scratch.path / "climate"))
