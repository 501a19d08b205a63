"""A story told to its end, and its figures beside what is expected of them."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

from evswap_edge.simulation import FiguresOutside
from evswap_edge.simulation.arrivals import expected
from evswap_edge.simulation.customers import What
from evswap_edge.simulation.energy import EnergyBook
from evswap_edge.simulation.pack import LARGE, SMALL
from evswap_edge.simulation.stations import tiers_for
from evswap_edge.simulation.world import STEP_S, Happening, Story, World

_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3_600.0
_KWH: Final = 3.6e6
_SAMPLE_S: Final = 600.0
_SPENT: Final = 0.30
"""A pack that comes with less is charged from empty, as data sheets measure it."""
_EXPECTED_HOURS: Final = {SMALL.name: (1.3, 1.9), LARGE.name: (1.6, 2.4)}
"""From about 20 %, in a cabinet that its connection limits at times: what is missing over the current, and
the constant voltage's half hour. The 3 kWh pack takes more than its charger gives."""
_EXPECTED_LOSS: Final = (3.7, 8.9)
"""Percent a year, over packs half a year to four years old, swapped every 3.15 days: the law's at a constant
15 and 40 degrees. A car's, which is cycled less and gently, loses 1.8 to 3 (22,700 of them: Geotab, 2026)."""
_SWAPS_SPREAD: Final = 10.0
"""Of the mean of a week of 35 bays: twice what a Poisson process has."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is plotted, ``hours`` after the start. Temperatures are in degrees Celsius."""

    hours: float
    outside: float
    inside: float
    hottest: float
    charging_kw: float
    charged: int
    charging: int
    empty: int


@dataclass(slots=True)
class Tally:
    """What was counted while the story was told. ``charge_s`` by tier, of packs that came spent."""

    counts: Counter[What] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    served_at: list[float] = field(default_factory=list)
    charge_s: dict[str, list[float]] = field(default_factory=dict)
    breakdowns: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def note(self, happening: Happening) -> None:
        """A witness of the world."""
        self.counts[happening.what] += 1
        if happening.what is What.SERVED:
            self.waits_s.append(float(happening.particulars))
            self.served_at.append(happening.seconds)
        elif happening.what is What.BREAKS:
            self.breakdowns[happening.particulars.split()[0]] += 1
        elif happening.what is What.CHARGED:
            _, took_s, soc, tier = happening.particulars.split(" ", 3)
            if float(soc) < _SPENT:
                self.charge_s.setdefault(tier, []).append(float(took_s))

    def sample(self, world: World) -> None:
        """Look at the world as it is."""
        packs = [slot.pack for slot in world.slots if slot.pack is not None]
        sound = [pack.temperature for pack in packs if not pack.short_w]
        self.samples.append(
            Sample(
                hours=world.seconds / _HOUR_S,
                outside=world.outside,
                inside=world.cabinet.temperature,
                hottest=max(sound, default=world.cabinet.temperature),
                charging_kw=world.cabinet.charging_w / 1_000.0,
                charged=sum(pack.full for pack in packs),
                charging=sum(slot.charges for slot in world.slots),
                empty=len(world.slots) - len(packs),
            )
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` is expected from ``low`` to ``high``, both included."""

    name: str
    value: float
    unit: str
    low: float
    high: float

    @property
    def is_within(self) -> bool:
        return self.low <= self.value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A story that was told. ``loss_per_year`` is in percent of a new pack's capacity, the mean of all."""

    story: Story
    days: float
    tally: Tally
    book: EnergyBook
    loss_per_year: float
    digest: str

    def figures(self) -> tuple[Figure, ...]:
        """What can be judged."""
        return (*self._energy(), *self._charging(), *self._service(), *self._heat())

    def demand_plausible(self) -> None:
        """Raises ``FiguresOutside``."""
        outside = [figure.name for figure in self.figures() if not figure.is_within]
        if outside:
            raise FiguresOutside(outside)

    def _energy(self) -> tuple[Figure, ...]:
        book, swaps = self.book, max(1, self.tally.counts[What.SERVED])
        shares = tiers_for(self.story.bays)
        rated_kwh = sum(share * tier.rated_wh for tier, share in shares.items()) / 1_000.0
        efficiency = self.story.electrics.efficiency
        return (
            Figure("energy in = stored + heat", _percent(book.electric_error, book.grid), "% off", 0.0, 2.0),
            Figure("heat made = kept + left", _percent(book.thermal_error, book.heat), "% off", 0.0, 2.0),
            Figure(
                "energy per swap",
                book.grid / _KWH / swaps,
                "kWh",
                0.55 * 0.75 * rated_kwh / efficiency,
                0.85 * 0.95 * rated_kwh / efficiency + 0.25,
            ),
        )

    def _charging(self) -> tuple[Figure, ...]:
        times = tuple(
            Figure(f"charging of a {tier} pack", fmean(found) / _HOUR_S, "h", *_EXPECTED_HOURS[tier])
            for tier, found in sorted(self.tally.charge_s.items())
        )
        return (*times, Figure("capacity lost", self.loss_per_year, "% a year", *_EXPECTED_LOSS))

    def _service(self) -> tuple[Figure, ...]:
        story, counts = self.story, self.tally.counts
        come = expected(story.start, days=self.days, mean_per_day=story.swaps_per_bay_and_day * story.bays)
        spread = _SWAPS_SPREAD * math.sqrt(story.bays / 35.0 * 7.0 / self.days)
        served, left = counts[What.SERVED], counts[What.LEAVES]
        at_least = 95.0 if story.bays >= 30 else 85.0
        wait_s = fmean(self.tally.waits_s) if self.tally.waits_s else 0.0
        return (
            Figure(
                "swaps", served / self.days, "a day", come / self.days - spread, come / self.days + spread
            ),
            Figure("customers served", 100.0 * served / max(1, served + left), "%", at_least, 100.0),
            Figure("wait of who is served", wait_s, "s", 0.0, 30.0),
        )

    def _heat(self) -> tuple[Figure, ...]:
        samples = self.tally.samples
        return (
            Figure("lowest in the cabinet", min(sample.inside for sample in samples), "°C", 0.0, 45.0),
            Figure("highest in the cabinet", max(sample.inside for sample in samples), "°C", 0.0, 45.0),
            Figure("hottest sound pack", max(sample.hottest for sample in samples), "°C", 0.0, 50.0),
        )


def tell(story: Story, *, days: float) -> Outcome:
    """Tell ``story`` for so many days, as fast as it goes."""
    tally = Tally()
    world = World(story, tally.note)
    new = [pack.wear.capacity_lost for pack in world.packs]
    tally.sample(world)
    each = round(_SAMPLE_S / STEP_S)
    for step in range(1, math.ceil(days * _DAY_S / STEP_S) + 1):
        world.step()
        if step % each == 0:
            tally.sample(world)
    lost = [pack.wear.capacity_lost - was for pack, was in zip(world.packs, new, strict=True)]
    return Outcome(
        story=story,
        days=days,
        tally=tally,
        book=world.cabinet.take_stock(),
        loss_per_year=100.0 * fmean(lost) * 365.25 / days,
        digest=world.digest(),
    )


def _percent(part: float, whole: float) -> float:
    return 100.0 * abs(part) / whole


def swaps_by_hour(outcome: Outcome) -> Sequence[int]:
    """How many customers were served in each hour of the story."""
    counted = Counter(int(seconds // _HOUR_S) for seconds in outcome.tally.served_at)
    return [counted[hour] for hour in range(math.ceil(outcome.days * 24))]
