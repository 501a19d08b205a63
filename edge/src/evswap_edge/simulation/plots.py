"""The plots of a story, as SVG: the same story gives the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evswap_edge.simulation import PlotsUnavailable, cell
from evswap_edge.simulation.ageing import Wear
from evswap_edge.simulation.arrivals import Calendar
from evswap_edge.simulation.pack import TIERS, Pack
from evswap_edge.simulation.report import Outcome, swaps_by_hour
from evswap_edge.simulation.stations import Electrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AS_SVG: Final[dict[str, Any]] = {"format": "svg", "metadata": {"Date": None, "Creator": None}}
_LOOK: Final[dict[Any, Any]] = {
    "svg.hashsalt": "evswap",
    "svg.fonttype": "none",
    "path.simplify": True,
    "path.simplify_threshold": 0.5,
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
_EACH: Final = 3
"""Every third sample is drawn: one in half an hour."""
_CHARGER_W: Final = Electrics().charger_w
_DAYS_OF_WEEK: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def draw(outcome: Outcome, folder: Path) -> list[Path]:
    """Write the plots of ``outcome`` into ``folder`` and return their files. Raises ``PlotsUnavailable``."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise PlotsUnavailable(error.name or "matplotlib") from error
    folder.mkdir(parents=True, exist_ok=True)
    week, charge = folder / "simulation-week.svg", folder / "simulation-charge.svg"
    with rc_context(_LOOK):
        figure = Figure(figsize=(8.0, 8.5), layout="constrained")
        _week(outcome, list(figure.subplots(4, 1, sharex=True)))
        figure.savefig(week, **_AS_SVG)
        figure = Figure(figsize=(8.0, 3.4), layout="constrained")
        _charge(list(figure.subplots(1, 2)))
        figure.savefig(charge, **_AS_SVG)
    return [week, charge]


def _week(outcome: Outcome, axes: "Sequence[Axes]") -> None:
    """Swaps, bays, power and temperatures over the same hours."""
    samples, story = outcome.tally.samples[::_EACH], outcome.story
    hours = [sample.hours for sample in samples]
    calendar, swaps = Calendar(story.start), swaps_by_hour(outcome)
    mean = story.swaps_per_bay_and_day * story.bays / 24.0
    axes[0].stairs(swaps, range(len(swaps) + 1), fill=True, label="swaps in each hour")
    rate = [mean * calendar.activity(3_600.0 * hour) for hour in range(len(swaps))]
    axes[0].plot(rate, color="black", linewidth=0.8, label="customers expected")
    axes[1].plot(hours, [sample.charged for sample in samples], label="charged")
    axes[1].plot(hours, [sample.charging for sample in samples], label="charging")
    axes[1].plot(hours, [sample.empty for sample in samples], label="empty")
    axes[1].set_ylabel("bays")
    limit_kw = story.electrics.cabinet_w_per_bay * story.bays / 1_000.0
    axes[2].plot(hours, [sample.charging_kw for sample in samples], label="chargers, from the grid")
    axes[2].axhline(limit_kw, color="black", linewidth=0.8, linestyle="--", label="the connection's limit")
    axes[2].set_ylabel("kW")
    axes[3].plot(hours, [sample.hottest for sample in samples], label="hottest pack")
    axes[3].plot(hours, [sample.inside for sample in samples], label="in the cabinet")
    axes[3].plot(hours, [sample.outside for sample in samples], label="outside")
    axes[3].set_ylabel("°C")
    for each in axes:
        each.legend(loc="upper right", ncols=3)
        low, high = each.get_ylim()
        each.set_ylim(low, high + (high - low) * 0.25)
        each.set_xlim(0.0, outcome.days * 24)
    _name_days(outcome, axes[-1])


def _name_days(outcome: Outcome, axes: "Axes") -> None:
    begins = outcome.story.start
    midnights = range(-begins.hour % 24, round(outcome.days * 24), 24)
    first = begins.weekday() + (1 if begins.hour else 0)
    names = [_DAYS_OF_WEEK[(first + number) % 7] for number in range(len(midnights))]
    axes.set_xticks(list(midnights), names)


def _charge(axes: "Sequence[Axes]") -> None:
    """One charge of each tier, and how the capacity goes over the years."""
    current = axes[0]
    for name, tier in TIERS.items():
        pack = Pack(serial_number=name, tier=tier, soc=0.1, wear=Wear(), temperature=25.0)
        hours, amperes, levels = [0.0], [0.0], [100.0 * pack.soc]
        while not pack.full:
            pack.charge(180.0, pack.wanted_a(_CHARGER_W))
            hours.append(hours[-1] + 180.0 / 3_600.0)
            amperes.append(pack.current)
            levels.append(100.0 * pack.soc)
        current.plot(hours[1:], amperes[1:], label=f"{name}: A")
        current.plot(hours, levels, linestyle="--", label=f"{name}: % full")
    current.set_xlabel(f"hours on a charger of {_CHARGER_W / 1_000:g} kW")
    current.legend()
    lost = axes[1]
    for celsius in (15.0, 25.0, 35.0):
        years = [month / 12 for month in range(6 * 12 + 1)]
        lost.plot(years, [100.0 * (1.0 - _lost(each, celsius)) for each in years], label=f"{celsius:g} °C")
    lost.set_xlabel("years, swapped every 3.15 days")
    lost.set_ylabel("% of the capacity")
    lost.legend()


def _lost(years: float, celsius: float) -> float:
    wear, days, depth = Wear(), years * 365.25, 0.76
    wear.rest(days, volts=cell.open_circuit_v(0.6), celsius=celsius)
    through = 2 * depth * 0.9 * cell.CAPACITY_AH * days / 3.15
    wear.cycle(through, volts=cell.open_circuit_v(0.6), depth=depth)
    return wear.capacity_lost
