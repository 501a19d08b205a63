"""The cabinet: bays with packs, chargers that share a connection to the grid, and the heat of it all."""

import math
from collections.abc import Sequence

from evswap_edge.simulation.energy import EnergyBook
from evswap_edge.simulation.faults import Fault
from evswap_edge.simulation.pack import Pack, Tier
from evswap_edge.simulation.stations import Electrics, Housing

_AGES_EACH_S = 3_600.0


class Slot:
    """One bay."""

    __slots__ = (
        "aged_at",
        "charged_at",
        "charging_enabled",
        "faults",
        "number",
        "pack",
        "put_in_at",
        "put_in_soc",
        "unlocked",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.pack: Pack | None = None
        self.charging_enabled = True
        self.unlocked = False
        self.faults: set[Fault] = set()
        self.put_in_at = 0.0
        self.put_in_soc = 0.0
        self.charged_at = math.inf
        self.aged_at = 0.0

    @property
    def speaks(self) -> bool:
        """Whether the management system of the pack in it is heard."""
        return Fault.BMS_SILENT not in self.faults

    @property
    def charges(self) -> bool:
        """Whether its charger works on its pack."""
        return (
            self.pack is not None
            and self.charging_enabled
            and not self.pack.full
            and not self.pack.foreign
            and not self.faults.intersection(_STOP_CHARGING)
        )

    @property
    def opens(self) -> bool:
        """Whether a customer could be served here."""
        return not self.faults.intersection(_STOP_SWAPS)

    def offers(self, tier: Tier) -> bool:
        """Whether it has a charged pack that a customer could have now."""
        pack = self.pack
        return pack is not None and pack.full and pack.tier is tier and self.opens


_STOP_CHARGING = frozenset({Fault.BMS_SILENT, Fault.CHARGER_FAILED, Fault.OVER_TEMPERATURE})
_STOP_SWAPS = frozenset({Fault.BMS_SILENT, Fault.LOCK_STUCK, Fault.DOOR_BLOCKED, Fault.OVER_TEMPERATURE})


def shared_fairly(wanted: Sequence[float], budget: float) -> float:
    """The most that each may have so that all together have ``budget`` (max-min fairness): whoever wants less
    has what he wants, and the others the same. Infinite where it is enough for all."""
    left = budget
    ascending = sorted(wanted)
    for index, each in enumerate(ascending):
        share = left / (len(ascending) - index)
        if each > share:
            return share
        left -= each
    return math.inf


class Cabinet:
    """Its bays, and the energy that flows through it. Temperatures in degrees Celsius."""

    def __init__(self, bays: int, *, temperature: float, electrics: Electrics, housing: Housing) -> None:
        self.slots = [Slot(number) for number in range(1, bays + 1)]
        self.temperature = temperature
        self.fan_on = False
        self.book = EnergyBook()
        self.charging_w = 0.0
        """What the chargers took from the grid in the last step, on average."""
        self._electrics = electrics
        self._budget_w = electrics.cabinet_w_per_bay * bays * electrics.efficiency
        self._housing = housing
        self._joules_per_kelvin = housing.joules_per_kelvin * bays
        self._auxiliary_w = electrics.controller_w + electrics.standby_w * bays

    # --- packs come and go ---

    def furnish(self, slot: Slot, pack: Pack) -> None:
        """A pack is there from the beginning."""
        slot.pack = pack
        slot.put_in_soc = pack.soc
        if pack.full:
            slot.charged_at = 0.0

    def open_book(self) -> None:
        """From here on everything is counted."""
        self.book.stored_at_start, self.book.warmth_at_start = self._stored(), self._warmth()
        self.take_stock()

    def take_stock(self) -> EnergyBook:
        """The book, with what is in packs and cabinet now."""
        self.book.stored, self.book.warmth = self._stored(), self._warmth()
        return self.book

    def put(self, slot: Slot, pack: Pack, *, now: float) -> None:
        """A pack comes into an empty bay."""
        if slot.pack is not None:
            raise ValueError(f"bay {slot.number} is not empty")
        slot.pack = pack
        slot.put_in_at = slot.aged_at = now
        slot.put_in_soc = pack.soc
        slot.charged_at = now if pack.full else math.inf
        self.book.chemical_in += pack.energy
        self.book.heat_in += pack.heat

    def take(self, slot: Slot, *, now: float) -> Pack:
        """The pack of a bay goes, and with it the promise."""
        pack = slot.pack
        if pack is None:
            raise ValueError(f"bay {slot.number} is empty")
        pack.rest(now - slot.aged_at)
        pack.current = 0.0
        slot.pack, slot.charged_at = None, math.inf
        self.book.chemical_out += pack.energy
        self.book.heat_out += pack.heat
        return pack

    # --- time passes ---

    def step(self, seconds: float, *, now: float, outside: float) -> list[tuple[Slot, Pack]]:
        """Charge and warm everything for some seconds, which end at ``now``. Returns the bays whose pack
        became full, and the packs."""
        charging = [(slot, slot.pack) for slot in self.slots if slot.pack is not None and slot.charges]
        level_w = self._power_level([pack for _, pack in charging])
        filled = []
        taken = loss = 0.0
        for slot, pack in charging:
            joules, heat = pack.charge(seconds, self._limit_a(pack, level_w))
            pack.temperature += heat * pack.tier.kelvin_per_joule
            taken += joules
            loss += heat
            if pack.full:
                slot.charged_at = now
                filled.append((slot, pack))
        charger_loss = taken / self._electrics.efficiency - taken
        self.charging_w = (taken + charger_loss) / seconds
        self.book.pack_loss += loss
        self.book.charger_loss += charger_loss
        self.book.grid += taken + charger_loss
        self._exchange_heat(seconds, charger_loss=charger_loss, outside=outside)
        self._age(now)
        return filled

    def _power_level(self, packs: Sequence[Pack]) -> float:
        """What each pack may take at most of the connection that they share, in watts."""
        most = self._electrics.charger_w
        if sum(min(most, pack.tier.most_w) for pack in packs) <= self._budget_w:
            return math.inf
        return shared_fairly([self._wanted_w(pack, most) for pack in packs], self._budget_w)

    def _wanted_w(self, pack: Pack, most_w: float) -> float:
        current = pack.wanted_a(most_w)
        return current * (pack.tier.series * pack.rest_v + current * pack.ohm)

    def _limit_a(self, pack: Pack, level_w: float) -> float:
        """The pack's own limit, or the current at which the charger, or its share of the connection, ends."""
        most_w = min(level_w, self._electrics.charger_w)
        if most_w >= pack.tier.most_w:
            return pack.tier.current_a
        return pack.wanted_a(most_w)

    def _exchange_heat(self, seconds: float, *, charger_loss: float, outside: float) -> None:
        """Between packs and air, and through walls and fan. What leaves one comes to the other."""
        book, air = self.book, self.temperature
        to_air = charger_loss
        for slot in self.slots:
            pack = slot.pack
            if pack is not None:
                tier = pack.tier
                given = tier.conductance * (pack.temperature - air) * seconds
                pack.temperature -= given * tier.kelvin_per_joule
                to_air += given
                if pack.short_w:
                    leaked = pack.leak(seconds)
                    pack.temperature += leaked * tier.kelvin_per_joule
                    book.leaked += leaked
        self._switch_fan(outside)
        bays = len(self.slots)
        auxiliary_w = self._auxiliary_w + (self._housing.fan_w * bays if self.fan_on else 0.0)
        walls = self._housing.wall_conductance * bays * (air - outside) * seconds
        fan = self._housing.fan_conductance * bays * (air - outside) * seconds if self.fan_on else 0.0
        auxiliary = auxiliary_w * seconds
        book.grid += auxiliary
        book.auxiliary += auxiliary
        book.walls += walls
        book.fan += fan
        self.temperature += (to_air + auxiliary - walls - fan) / self._joules_per_kelvin

    def _switch_fan(self, outside: float) -> None:
        """A thermostat with hysteresis, which never blows warmer air in."""
        if self.fan_on:
            self.fan_on = self.temperature > self._housing.fan_off_at and outside < self.temperature
        else:
            self.fan_on = self.temperature > self._housing.fan_on_at and outside < self.temperature

    def _age(self, now: float) -> None:
        for slot in self.slots:
            if now - slot.aged_at >= _AGES_EACH_S:
                if slot.pack is not None:
                    slot.pack.rest(now - slot.aged_at)
                slot.aged_at = now

    def _stored(self) -> float:
        return math.fsum(slot.pack.energy for slot in self.slots if slot.pack)

    def _warmth(self) -> float:
        packs = math.fsum(slot.pack.heat for slot in self.slots if slot.pack)
        return packs + self.temperature * self._joules_per_kelvin
