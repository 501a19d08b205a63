"""The book of a cabinet's energy, in joules since its start.

Two balances, and each item of them is counted where it happens: what came out of the grid is in the packs or
has become heat, and the heat is in the cabinet or has left it.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class EnergyBook:
    """``*_out`` and ``*_in`` are what packs carried through the doors. ``stored`` and ``warmth`` are states,
    looked up in the packs and the cabinet; the rest are flows, added up step by step."""

    grid: float = 0.0
    charger_loss: float = 0.0
    pack_loss: float = 0.0
    auxiliary: float = 0.0
    leaked: float = 0.0
    """Chemical energy that became heat in a faulty pack."""
    chemical_in: float = 0.0
    chemical_out: float = 0.0
    heat_in: float = 0.0
    heat_out: float = 0.0
    walls: float = 0.0
    fan: float = 0.0
    stored_at_start: float = 0.0
    warmth_at_start: float = 0.0
    stored: float = 0.0
    warmth: float = 0.0

    @property
    def charged(self) -> float:
        """What the packs have gained in this cabinet."""
        return self.stored - self.stored_at_start + self.chemical_out - self.chemical_in

    @property
    def heat(self) -> float:
        """What became heat in this cabinet."""
        return self.charger_loss + self.pack_loss + self.auxiliary + self.leaked

    @property
    def electric_error(self) -> float:
        """Joules that the grid gave and nothing has, or the other way round."""
        return self.grid - self.charged - self.heat

    @property
    def thermal_error(self) -> float:
        """Joules of heat that are nowhere, or came from nowhere."""
        kept = self.warmth - self.warmth_at_start + self.heat_out - self.heat_in
        return self.heat - kept - self.walls - self.fan
