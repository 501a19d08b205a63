"""Which device has which bay: a unit for each, or one that keeps several."""

from dataclasses import dataclass
from typing import Generic

from evswap_edge.drivers.modbus.decoding import Block, blocks
from evswap_edge.registers import BatteryMap, ChargerMap
from evswap_edge.registers.placing import BayMapT, placed, places


@dataclass(frozen=True, slots=True)
class Seat(Generic[BayMapT]):
    """A bay, the unit that answers for it, and what it keeps where."""

    bay: int
    unit: int
    layout: BayMapT
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seating:
    """The bays in the order of their devices: the first is in ``first_unit``, each next unit is
    ``units_apart`` further on."""

    bays: tuple[int, ...]
    first_unit: int
    units_apart: int

    def seats(self, layout: BayMapT) -> tuple[Seat[BayMapT], ...]:
        """Raises ``ValueError`` for a bay that lies behind a device's last register."""
        in_one = layout.several.bays if layout.several else 1
        return tuple(self._seat(layout, *divmod(index, in_one), bay) for index, bay in enumerate(self.bays))

    def units(self, layout: BatteryMap | ChargerMap) -> dict[int, int]:
        """The unit of each bay."""
        return {seat.bay: seat.unit for seat in self.seats(layout)}

    def _seat(self, layout: BayMapT, device: int, position: int, bay: int) -> Seat[BayMapT]:
        here = placed(layout, position)
        return Seat(
            bay=bay,
            unit=self.first_unit + device * self.units_apart,
            layout=here,
            blocks=blocks(places(here), read_across=layout.read_across),
        )
