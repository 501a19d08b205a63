"""Devices on Modbus, RTU on a serial port (RS-485) or TCP: a climate sensor, the batteries of some bays, or
their chargers. Which of them, the register map says.

The pattern for a driver: settings with their constraints (``settings``); what the wire says into values,
without any I/O (``decoding``); the I/O and its faults (``line``, and ``rounds`` for many devices); and
classes, small enough to be read at a glance, that put them behind the protocols of the HAL (``climate``,
``batteries``, ``chargers``).
"""

from typing import Final

from evswap_edge.drivers import DriverKind, Surroundings
from evswap_edge.drivers.modbus.bank import Pace
from evswap_edge.drivers.modbus.batteries import ModbusBatteries
from evswap_edge.drivers.modbus.chargers import ModbusChargers
from evswap_edge.drivers.modbus.climate import ModbusClimate
from evswap_edge.drivers.modbus.lines import Share, share_line
from evswap_edge.drivers.modbus.settings import (
    ROLES,
    Settings,
    Silent,
    check,
    check_role,
    numbers,
    roles_of,
    where,
)
from evswap_edge.registers import AnyMap, BatteryMap, ClimateMap, read_map

__all__ = ["KIND", "ModbusBatteries", "ModbusChargers", "ModbusClimate", "Settings", "open_modbus"]

ModbusHardware = ModbusClimate | ModbusBatteries | ModbusChargers


async def open_modbus(settings: Settings, surroundings: Surroundings) -> ModbusHardware:
    """Open the port, or share it with the role that has it open. Whether somebody answers there shows with
    the first reading."""
    layout = read_map(settings.registers)
    share = share_line(settings.address(layout))
    try:
        await share.line.connect(within_s=settings.timeout_s)
        return _hardware(share, layout, settings, surroundings)
    except BaseException:
        share.give_back()
        raise


def _hardware(share: Share, layout: AnyMap, settings: Settings, surroundings: Surroundings) -> ModbusHardware:
    manners = settings.manners(layout)
    if isinstance(layout, ClimateMap):
        return ModbusClimate(share, layout, unit=settings.unit or layout.factory.unit, manners=manners)
    seating = settings.seating(layout)
    pace = Pace.of(waited_for_s=surroundings.answer_within_s, max_age_s=settings.max_age_s)
    if isinstance(layout, BatteryMap):
        silent = settings.silent or Silent.FAILED
        return ModbusBatteries(share, seating.seats(layout), manners=manners, pace=pace, silent=silent)
    return ModbusChargers(share, seating.seats(layout), manners=manners, pace=pace)


KIND: Final = DriverKind(
    settings=Settings,
    open=open_modbus,
    check=check,
    provides=frozenset(ROLES.values()),
    bays=numbers,
    meant_for=roles_of,
    where=where,
    check_role=check_role,
)
