"""Readings of a cabinet at work: what a batch has to hold within its 5,000 bytes."""

import random
from datetime import UTC, datetime, timedelta

from evswap_schema import (
    Battery,
    Bay,
    Charge,
    Clock,
    Health,
    Lock,
    Occupancy,
    Reading,
    Reservation,
    StationStatus,
)

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def minute_of_readings(
    bay_count: int, *, samples: int = 12, charging: float = 0.4, seed: int = 1
) -> list[Reading]:
    """One minute at 5 s of a station with ``bay_count`` occupied bays, of which a share is charging."""
    chance = random.Random(seed)
    cabinet = [
        _Slot(number + 1, chance, is_charging=chance.random() < charging) for number in range(bay_count)
    ]
    return [
        Reading(
            station_id="station-01",
            battery_available=sum(not slot.is_charging for slot in cabinet),
            battery_charging=sum(slot.is_charging for slot in cabinet),
            temperature=round(20 + index / 10, 1),
            humidity=42.0,
            status=StationStatus.OPERATIONAL,
            timestamp=START + timedelta(seconds=5 * index, milliseconds=chance.randrange(3)),
            stream_id="stream-a",
            sequence=100 + index,
            clock=Clock.SYNCHRONIZED,
            bays=tuple(slot.read(chance) for slot in cabinet),
        )
        for index in range(samples)
    ]


class _Slot:
    def __init__(self, number: int, chance: random.Random, *, is_charging: bool) -> None:
        self.number = number
        self.is_charging = is_charging
        self.serial_number = f"EVS-{chance.randrange(16**12):012x}"
        self.soc = round(chance.uniform(20, 90), 1) if is_charging else 100.0
        self.soh = round(chance.uniform(80, 100), 1)
        self.cycles = chance.randrange(2_000)
        self.voltage = round(chance.uniform(48, 54), 2)

    def read(self, chance: random.Random) -> Bay:
        if self.is_charging:
            self.soc = round(self.soc + 0.1, 1)
            self.voltage = round(self.voltage + chance.choice((0, 0.01)), 2)
        return Bay(
            bay=self.number,
            occupancy=Occupancy.OCCUPIED,
            charge=Charge.CHARGING if self.is_charging else Charge.CHARGED,
            lock=Lock.LOCKED,
            reservation=Reservation.FREE,
            health=Health.HEALTHY,
            battery=Battery(
                serial_number=self.serial_number,
                soc=self.soc,
                soh=self.soh,
                voltage=self.voltage,
                current=round(chance.uniform(9.9, 10.1), 2) if self.is_charging else 0.0,
                temperature=round(25 + chance.random() * (0.3 if self.is_charging else 0), 1),
                cycles=self.cycles,
            ),
        )
