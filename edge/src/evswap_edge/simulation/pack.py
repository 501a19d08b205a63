"""A pack: cells in series and parallel, charged with constant current and then constant voltage."""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from evswap_edge.simulation import cell
from evswap_edge.simulation.ageing import Wear

_HOUR_S: Final = 3_600.0
_DAY_S: Final = 86_400.0
_KELVIN_KG_PER_JOULE: Final = 1.0 / 900.0
"""Of cells and their case: cylindrical cells have 0.9 kJ/(kg K) (Steinhardt et al., J. Power Sources 522
(2022) 230829)."""
_SAME_V: Final = 1e-9
"""Voltages that differ by less are one: where arithmetic rounds, the knee of the charge is not met twice."""
_CELL_KG: Final = 0.0445
_CASE_KG: Final = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Tier:
    """A kind of pack. ``charge_c`` is the charging current that its cells are rated for, in multiples of the
    capacity; ``conductance`` takes heat to the air, in watts per kelvin. What follows from that is worked out
    once, in volts and amperes of the pack."""

    name: str
    series: int
    parallel: int
    charge_c: float
    conductance: float

    @cached_property
    def capacity_ah(self) -> float:
        """Of a new one."""
        return self.parallel * cell.CAPACITY_AH

    @cached_property
    def current_a(self) -> float:
        """The most that it is charged with."""
        return self.capacity_ah * self.charge_c

    @cached_property
    def cut_off_a(self) -> float:
        return self.parallel * cell.CUT_OFF_A

    @cached_property
    def full_v(self) -> float:
        """The constant voltage of its charging."""
        return self.series * cell.FULL_V

    @cached_property
    def most_w(self) -> float:
        """It never takes more."""
        return self.current_a * self.full_v

    @cached_property
    def open_circuit_v(self) -> tuple[float, ...]:
        return tuple(self.series * volts for volts in cell.OPEN_CIRCUIT_V)

    @cached_property
    def slope_v(self) -> tuple[float, ...]:
        """Volts per state of charge, within each segment."""
        return tuple((high - low) * cell.SEGMENTS for low, high in pairwise(self.open_circuit_v))

    @cached_property
    def kelvin_per_joule(self) -> float:
        cells_kg = self.series * self.parallel * _CELL_KG
        return _KELVIN_KG_PER_JOULE / (cells_kg + _CASE_KG)

    @property
    def rated_wh(self) -> float:
        """What a new pack holds."""
        return self.series * self.capacity_ah * cell.chemical_energy(1.0)


SMALL: Final = Tier(name="1.6 kWh", series=13, parallel=16, charge_c=0.5, conductance=3.5)
"""A 48 V pack of a scooter, of the size of the largest network's."""
LARGE: Final = Tier(name="3 kWh", series=20, parallel=20, charge_c=0.5, conductance=5.0)
"""A 72 V pack of a motorcycle or a three-wheeler."""
TIERS: Final = {tier.name: tier for tier in (SMALL, LARGE)}


class Pack:
    """One pack. ``soc`` is its state of charge, 0 to 1, of the capacity that it has now; ``current`` in
    amperes; ``temperature`` in degrees Celsius.

    Its capacity and resistance change where its management system would learn of it: between two stays in a
    cabinet. Not modelled: self-discharge, entropic heat, and charge lost in side reactions (less than 0.2 %).
    """

    __slots__ = (
        "_coulombs",
        "_ohm",
        "_volts",
        "current",
        "cycles",
        "foreign",
        "full",
        "serial_number",
        "short_w",
        "soc",
        "temperature",
        "tier",
        "wear",
    )

    def __init__(
        self,
        *,
        serial_number: str,
        tier: Tier,
        soc: float,
        wear: Wear,
        temperature: float,
        foreign: bool = False,
    ) -> None:
        self.serial_number = serial_number
        self.tier = tier
        self.soc = soc
        self.wear = wear
        self.temperature = temperature
        self.foreign = foreign
        """Of somebody else's network: no charger here talks to it."""
        self.cycles = 0.0
        self.current = 0.0
        self.full = False
        self.short_w = 0.0
        """Of an internal short circuit."""
        self.relearn()

    @property
    def soh(self) -> float:
        """State of health, 0 to 1: what is left of a new pack's capacity, as last learnt."""
        return self._coulombs / (self.tier.capacity_ah * _HOUR_S)

    @property
    def ohm(self) -> float:
        return self._ohm

    @property
    def coulombs(self) -> float:
        """The capacity, as last learnt."""
        return self._coulombs

    @property
    def rest_v(self) -> float:
        """Volts of a cell at rest, at the state of charge as it is."""
        return cell.open_circuit_v(self.soc)

    @property
    def voltage(self) -> float:
        """At the terminals."""
        return self.tier.series * self.rest_v + self.current * self._ohm

    @property
    def energy(self) -> float:
        """Joules of chemical energy in it."""
        return self.tier.series * self._coulombs * cell.chemical_energy(self.soc)

    @property
    def heat(self) -> float:
        """Joules of heat in it, over 0 degrees Celsius."""
        return self.temperature / self.tier.kelvin_per_joule

    def relearn(self) -> None:
        """Capacity and resistance become those of the worn pack."""
        self._coulombs = self.tier.capacity_ah * _HOUR_S * (1.0 - self.wear.capacity_lost)
        new_ohm = cell.OHM * self.tier.series / self.tier.parallel
        self._ohm = new_ohm * (1.0 + self.wear.resistance_gained)

    def rest(self, seconds: float) -> None:
        """Age by time, as charged and as warm as it is."""
        self.wear.rest(seconds / _DAY_S, volts=self.rest_v, celsius=self.temperature)

    def ride(self, seconds: float, *, soc: float, celsius: float) -> None:
        """Be ridden down to ``soc`` within ``seconds``, at ``celsius`` on average, and age by that, and by
        the charging that follows, to where it comes from."""
        before, self.soc = self.soc, min(self.soc, soc)
        depth = before - self.soc
        volts = cell.open_circuit_v((before + self.soc) / 2)
        self.wear.rest(seconds / _DAY_S, volts=volts, celsius=celsius)
        self.wear.cycle(2 * depth * cell.CAPACITY_AH * self.soh, volts=volts, depth=depth)
        self.cycles += depth
        self.temperature = celsius
        self.full = False
        self.relearn()

    def wanted_a(self, most_w: float) -> float:
        """The current that it would take of a charger of ``most_w`` watts."""
        tier = self.tier
        segment = min(int(self.soc * cell.SEGMENTS), cell.SEGMENTS - 1)
        rest_v = tier.open_circuit_v[segment] + tier.slope_v[segment] * (self.soc - segment / cell.SEGMENTS)
        current = min(tier.current_a, (tier.full_v - rest_v) / self._ohm)
        # The power's limit is a quadratic; the voltage of the step before is as good within a step.
        return min(current, most_w / (rest_v + current * self._ohm))

    def charge(self, seconds: float, limit_a: float) -> tuple[float, float]:
        """Take charge for some seconds, ``limit_a`` amperes at most and the full voltage at most.

        Returns joules taken at the terminals, and joules of them that became heat. Solved exactly, as the
        voltage at rest is straight within a segment: the current is constant, or (at constant voltage) falls
        exponentially.
        """
        taken = heat = 0.0
        limit_v = limit_a * self._ohm
        if limit_a <= 0.0:
            self.current = 0.0
            return 0.0, 0.0
        segment = min(int(self.soc * cell.SEGMENTS), cell.SEGMENTS - 1)
        while seconds > 0.0 and not self.full:
            rest_v = self.tier.open_circuit_v[segment] + self.tier.slope_v[segment] * (
                self.soc - segment / cell.SEGMENTS
            )
            drop_v = self.tier.full_v - rest_v
            if drop_v <= self.tier.cut_off_a * self._ohm:
                self.full = True
            elif drop_v > limit_v + _SAME_V:
                seconds, of_it_taken, of_it_heat = self._constant_current(seconds, limit_a, segment, rest_v)
                taken, heat = taken + of_it_taken, heat + of_it_heat
            else:
                seconds, of_it_taken, of_it_heat = self._constant_voltage(seconds, segment, drop_v)
                taken, heat = taken + of_it_taken, heat + of_it_heat
            if self.soc >= (segment + 1) / cell.SEGMENTS:
                segment += 1
                self.full = self.full or segment == cell.SEGMENTS
        if self.full:
            self.current = 0.0
        return taken, heat

    def _constant_current(
        self, seconds: float, current: float, segment: int, rest_v: float
    ) -> tuple[float, float, float]:
        """Up to the end of the time, of the segment, or where the full voltage is reached. Returns the
        seconds left, joules taken, joules of heat."""
        slope, coulombs = self.tier.slope_v[segment], self._coulombs
        end = (segment + 1) / cell.SEGMENTS
        knee = self.soc + (self.tier.full_v - current * self._ohm - rest_v) / slope
        stop = min(end, knee)
        needed = (stop - self.soc) * coulombs / current
        self.current = current
        if needed > seconds:
            gained, self.soc, needed = (
                current * seconds / coulombs,
                self.soc + current * seconds / coulombs,
                seconds,
            )
        else:
            gained, self.soc = stop - self.soc, stop
        heat = current * current * self._ohm * needed
        mean_rest_v = rest_v + slope * gained / 2
        return seconds - needed, gained * coulombs * (mean_rest_v + current * self._ohm), heat

    def _constant_voltage(self, seconds: float, segment: int, drop_v: float) -> tuple[float, float, float]:
        """Up to the end of the time, of the segment, or of charging. Returns as ``_constant_current``."""
        slope, coulombs, ohm = self.tier.slope_v[segment], self._coulombs, self._ohm
        end = (segment + 1) / cell.SEGMENTS
        per_second = slope / (ohm * coulombs)
        lowest_v = max(self.tier.cut_off_a * ohm, drop_v - slope * (end - self.soc))
        needed = math.log(drop_v / lowest_v) / per_second
        if needed > seconds:
            needed, left_v = seconds, drop_v * math.exp(-per_second * seconds)
            self.soc += (drop_v - left_v) / slope
        else:
            left_v = lowest_v
            cut_off = left_v > drop_v - slope * (end - self.soc)
            self.soc = self.soc + (drop_v - left_v) / slope if cut_off else end
            self.full = cut_off
        self.current = left_v / ohm
        taken = self.tier.full_v * coulombs * (drop_v - left_v) / slope
        heat = (drop_v * drop_v - left_v * left_v) * coulombs / (2 * slope)
        return seconds - needed, taken, heat

    def leak(self, seconds: float) -> float:
        """Lose charge through its short circuit for some seconds. Returns joules of heat: all of it."""
        before = self.energy
        self.soc = max(
            0.0, self.soc - self.short_w * seconds / (self.tier.series * self.rest_v * self._coulombs)
        )
        self.full = False
        return before - self.energy
