"""What emulated devices of bays have in common: which unit keeps which bay, and what is wrong with one of
them."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from evswap_edge.emulators.modbus_device import ModbusDevice, Registers, WireFault
from evswap_edge.emulators.modbus_line import FROZEN, OUT_OF_RANGE, EmulatedLine
from evswap_edge.registers import BatteryMap, ChargerMap, Flag, Heartbeat, Place, Table

MapT = TypeVar("MapT", bound=BatteryMap | ChargerMap)
Words = dict[tuple[Table, int], int]

BAY_FAULTS: Final = (*WireFault, FROZEN, OUT_OF_RANGE)

_BITS: Final = 16
_BEATS_A_SECOND: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BayPlaces:
    """Bays 1 to ``bays``; their units begin with ``first_unit`` and are ``units_apart`` from each other."""

    bays: int
    first_unit: int
    units_apart: int = 1
    slow_s: float = 3.0


class EmulatedBays(EmulatedLine, Generic[MapT]):
    """The devices of some bays. What is kept of each, a subclass knows."""

    def __init__(self, layout: MapT, places: BayPlaces) -> None:
        self._layout = layout
        self._in_one = layout.several.bays if layout.several else 1
        self._apart = layout.several.apart if layout.several else 0
        self.bays: Final = range(1, places.bays + 1)
        self._faults: dict[int, str] = dict.fromkeys(self.bays, WireFault.NONE)
        self._frozen: dict[int, Words] = {}
        self._orders = 0
        self._laid_out: dict[int, tuple[tuple[int, int], Registers]] = {}
        units = -(-places.bays // self._in_one)
        super().__init__([self._device(index, places) for index in range(units)], layout.factory)

    def _device(self, index: int, places: BayPlaces) -> ModbusDevice:
        return ModbusDevice(
            unit=places.first_unit + index * places.units_apart,
            registers=partial(self._registers, index),
            write=partial(self._write, index),
            slow_s=places.slow_s,
        )

    # --- which bay is where -------------------------------------------------------------------------------

    def device_of(self, bay: int) -> ModbusDevice:
        """The one that answers for ``bay``."""
        return self.devices[(bay - 1) // self._in_one]

    def _bays_of(self, index: int) -> list[int]:
        first = index * self._in_one
        return [bay for bay in self.bays if first < bay <= first + self._in_one]

    def _position(self, bay: int) -> int:
        return (bay - 1) % self._in_one

    # --- its registers ------------------------------------------------------------------------------------

    def obey(self, line: str) -> str:
        self._orders += 1
        return super().obey(line)

    def _registers(self, index: int) -> Registers:
        """As they were laid out last, as long as nothing has changed: one device may keep many bays."""
        state = (self._orders, _beats())
        found = self._laid_out.get(index)
        if found is None or found[0] != state:
            found = self._laid_out[index] = (state, self._lay_out(index))
        return found[1]

    def _lay_out(self, index: int) -> Registers:
        words: Words = {}
        for bay in self._bays_of(index):
            for place, word in (self._frozen.get(bay) or self._words(bay)).items():
                words[place] = words.get(place, 0) | word  # bays may share a register of bits
        tables: dict[Table, dict[int, int]] = {table: {} for table in Table}
        for (table, address), word in sorted(words.items()):
            self._fill_gap(tables[table], address)
            tables[table][address] = word
        return tables

    def _fill_gap(self, table: dict[int, int], address: int) -> None:
        """A device has the registers that its map lets be read across; they hold nothing of interest."""
        last = max(table, default=address)
        if address - last - 1 <= self._layout.read_across:
            table.update(dict.fromkeys(range(last + 1, address), 0))

    def _words(self, bay: int) -> Words:
        shift = self._position(bay) * self._apart
        told = {
            (table, address + shift): word
            for table, address, word in self._told(bay, impossible=self._faults[bay] == OUT_OF_RANGE)
        }
        for flag, yes in self._flags(bay):
            table, address, bit = self._bit(flag, bay)
            set_bit = flag.means_yes if yes else 1 - flag.means_yes
            told[table, address] = told.get((table, address), 0) | set_bit << bit
        return told

    def _bit(self, flag: Flag, bay: int) -> tuple[Table, int, int]:
        position = self._position(bay)
        if not flag.bits_apart:
            return flag.table, flag.address + position * self._apart, flag.bit
        bits = flag.bit + position * flag.bits_apart
        return flag.table, flag.address + bits // _BITS, bits % _BITS

    def _beat(self, heartbeat: Heartbeat | None) -> Iterable[tuple[Table, int, int]]:
        if heartbeat:
            yield heartbeat.table, heartbeat.address, _beats() & 0xFFFF

    @abstractmethod
    def _told(self, bay: int, *, impossible: bool) -> Iterable[tuple[Table, int, int]]:
        """Table, address and word of all that the first bay's registers would hold."""

    @abstractmethod
    def _flags(self, bay: int) -> Iterable[tuple[Flag, bool]]:
        """Each bit, and whether it says yes."""

    def _write(self, index: int, address: int, word: int) -> bool | None:  # noqa: ARG002
        """Most have nothing that can be written."""
        return None

    # --- commands -----------------------------------------------------------------------------------------

    def _for_bay(self, obey: Callable[[int, str], str]) -> Callable[[str], str]:
        """A command whose first word is a bay."""

        def command(text: str) -> str:
            number, _, rest = text.partition(" ")
            if not (number.isdecimal() and int(number) in self.bays):
                raise ValueError(f"no bay {number!r}; there are 1 to {len(self.bays)}")
            return obey(int(number), rest.strip())

        return command

    def _set_fault(self, bay: int, text: str) -> str:
        name, _, code = text.partition(" ")
        if name not in self._known_faults():
            raise ValueError(f"no fault {name!r}; known are {', '.join(self._known_faults())}")
        self._set_wire_fault(self.device_of(bay), name, code.strip())
        self._faults[bay] = WireFault.NONE
        self._frozen.pop(bay, None)
        if name == FROZEN:
            self._frozen[bay] = self._words(bay)
        self._faults[bay] = name
        return "ok"

    def _known_faults(self) -> tuple[str, ...]:
        return BAY_FAULTS

    def _set_flag(self, bay: int, text: str) -> str:
        says, _, name = text.partition(" ")
        known, saying_yes = self._settable(bay)
        names = [flag.name for flag in known]
        if says not in {"yes", "no"} or name not in names:
            raise ValueError(f"has to be yes or no and a name; known are {', '.join(names) or 'none'}")
        (saying_yes.add if says == "yes" else saying_yes.discard)(name)
        return "ok"

    @abstractmethod
    def _settable(self, bay: int) -> tuple[Iterable[Flag], set[str]]:
        """The bits that a command may set, and the names of those that say yes."""


def _beats() -> int:
    return int(time.monotonic() * _BEATS_A_SECOND)


def at_place(place: Place, words: Mapping[int, int]) -> Iterable[tuple[Table, int, int]]:
    """Registers of one place, with their table."""
    return ((place.table, address, word) for address, word in words.items())
