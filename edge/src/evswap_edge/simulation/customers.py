"""Who comes: riders with their packs, what they do at the cabinet, and how long they stand it.

Autonomous customers are served by the cabinet itself, as if it had a perfect controller. The others show a
token at the reader and depend on which bays somebody unlocks for them.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from evswap_edge.simulation.ageing import Wear
from evswap_edge.simulation.cabinet import Cabinet, Slot
from evswap_edge.simulation.chance import Chance
from evswap_edge.simulation.pack import Pack, Tier


class What(StrEnum):
    """What happens at a station."""

    ARRIVES = "arrives"
    RETURNS = "returns"
    """For what the station owes him."""
    PUTS = "puts"
    TAKES = "takes"
    SERVED = "served"
    """Was given what he came for."""
    LEAVES = "leaves"
    """Without what he came for."""
    CHARGED = "charged"
    BREAKS = "breaks"
    MENDED = "mended"


Tell = Callable[[What, str], None]
"""Told of everything that happens, with its particulars."""


@dataclass(slots=True, eq=False)
class Rider:
    """A customer of the network, and what he has with him: a pack; none, when the station owes him one."""

    token: str
    tier: Tier
    packs: list[Pack]
    left_at: float
    left_celsius: float


@dataclass(slots=True, eq=False)
class Visit:
    """A rider at the station. ``handling_s`` is what he needs for each door."""

    rider: Rider
    arrived_at: float
    patience_s: float
    handling_s: float
    forgets: bool
    """To take what he came for."""
    away_s: float
    """Until he comes back for what he is owed, if he leaves without."""
    foreign: Pack | None
    """What he brings instead of his own pack."""
    deadline: float = 0.0
    busy_until: float = 0.0
    shown_at: float | None = None
    """When he showed his token last; None: it is to be shown."""
    has_been_first: bool = False
    put_into: int | None = None
    took: Pack | None = None

    def in_hand(self) -> Pack | None:
        """What he would put in."""
        if self.put_into is not None:
            return None
        return self.foreign or (self.rider.packs[0] if self.rider.packs else None)


@dataclass(slots=True)
class Manners:
    """How customers are. The shares of those who err are of all who come."""

    returns_at: tuple[float, float, float] = (0.06, 0.45, 0.20)
    """The lowest, highest and most frequent state of charge at which a pack comes back."""
    patience_s: tuple[float, float] = (120.0, 420.0)
    handling_s: tuple[float, float] = (5.0, 15.0)
    """From a door that opens to a door that is shut; a practised swap takes seconds."""
    forgets: float = 0.001
    foreign: float = 0.0005
    comes_back_within_s: tuple[float, float] = (600.0, 14_400.0)
    warmer_than_air: float = 4.0
    """A pack that is ridden, in kelvin."""


ROAD_DAYS: Final = 2.9
"""A pack is so long on the road on average: 1.1 million batteries at 2,400 stations with 148 swaps a day each
are swapped every 3.1 days, of which they stand a quarter of a day in a cabinet."""


@dataclass(slots=True)
class Crowd:
    """All riders who are not at the station."""

    riding: list[Rider]
    manners: Manners
    habits: Chance
    forgetting: Chance
    mistaking: Chance
    fault_factor: float
    owed: list[tuple[float, str, Rider]] = field(default_factory=list)
    foreign_packs: int = 0

    def send(self, now: float, *, outside: float) -> Visit | None:
        """Somebody comes; None when all are at the station already. Draws as often, whoever it is."""
        manners, draw = self.manners, self.habits
        index = draw.random()
        soc = draw.triangular(*manners.returns_at)
        patience, handling = draw.uniform(*manners.patience_s), draw.uniform(*manners.handling_s)
        forgets = self.forgetting.random() < manners.forgets * self.fault_factor
        away = self.forgetting.uniform(*manners.comes_back_within_s)
        mistaken = self.mistaking.random() < manners.foreign * self.fault_factor
        if not self.riding:
            return None
        rider = self._pick(int(index * len(self.riding)))
        celsius = (outside + rider.left_celsius) / 2 + manners.warmer_than_air
        for pack in rider.packs:
            pack.ride(now - rider.left_at, soc=soc, celsius=celsius)
        foreign = self._foreign_pack(rider, soc, celsius) if mistaken else None
        return Visit(rider, now, patience, handling, forgets, away, foreign)

    def come_back(self, now: float) -> Visit | None:
        """The next of those whom the station owes a pack, when it is time."""
        if not self.owed or self.owed[0][0] > now:
            return None
        _, _, rider = heapq.heappop(self.owed)
        patience, handling, away = (
            (low + high) / 2
            for low, high in (
                self.manners.patience_s,
                self.manners.handling_s,
                self.manners.comes_back_within_s,
            )
        )
        return Visit(rider, now, patience, handling, forgets=False, away_s=away, foreign=None)

    def leave(self, visit: Visit, now: float, *, outside: float) -> None:
        """A visit is over."""
        rider = visit.rider
        rider.left_at, rider.left_celsius = now, outside
        if rider.packs:
            self.riding.append(rider)
        else:
            heapq.heappush(self.owed, (now + visit.away_s, rider.token, rider))

    def _pick(self, index: int) -> Rider:
        self.riding[index], self.riding[-1] = self.riding[-1], self.riding[index]
        return self.riding.pop()

    def _foreign_pack(self, rider: Rider, soc: float, celsius: float) -> Pack:
        self.foreign_packs += 1
        return Pack(
            serial_number=f"foreign-{self.foreign_packs:04d}-{rider.token[-24:]}",
            tier=rider.tier,
            soc=soc,
            wear=Wear(),
            temperature=celsius,
            foreign=True,
        )


class Autonomous:
    """Customers who are served by the cabinet itself: a charged pack for a spent one, in one go."""

    BAYS_PER_COUNTER: Final = 60
    """A large station serves several at a time."""

    def __init__(self, cabinet: Cabinet, tell: Tell) -> None:
        self._cabinet = cabinet
        self._tell = tell
        self._queue: deque[Visit] = deque()
        self._busy_until = [0.0] * (1 + len(cabinet.slots) // self.BAYS_PER_COUNTER)

    def queue(self, visit: Visit) -> None:
        visit.deadline = visit.arrived_at + visit.patience_s
        self._queue.append(visit)

    @property
    def riders(self) -> list[Rider]:
        """Who is at the station."""
        return [visit.rider for visit in self._queue]

    def step(self, now: float) -> list[Visit]:
        """Serve whom it can. Returns the visits that are over."""
        over = []
        for visit in list(self._queue):
            counter = self._busy_until.index(min(self._busy_until))
            if self._busy_until[counter] > now:
                ended = False
            else:
                ended = self._serve(visit, now)
                if ended:
                    self._busy_until[counter] = now + 2 * visit.handling_s
            if not ended and now >= visit.deadline:
                self._tell(What.LEAVES, f"{visit.rider.token} nothing-for-him")
                ended = True
            if ended:
                self._queue.remove(visit)
                over.append(visit)
        return over

    def _serve(self, visit: Visit, now: float) -> bool:
        if visit.foreign is not None:
            self._tell(What.LEAVES, f"{visit.rider.token} refused {visit.foreign.serial_number}")
            return True
        charged = self._charged(visit.rider.tier)
        if charged is None:
            return False
        if visit.forgets and self._empty() is None:
            return False
        brought, receiving = visit.in_hand(), self._empty() or charged
        visit.rider.packs = [] if visit.forgets else [self._cabinet.take(charged, now=now)]
        for taken in visit.rider.packs:
            self._tell(What.TAKES, f"{charged.number} {taken.serial_number}")
        if brought is not None:
            self._cabinet.put(receiving, brought, now=now)
            self._tell(What.PUTS, f"{receiving.number} {brought.serial_number}")
        if visit.forgets:
            self._tell(What.LEAVES, f"{visit.rider.token} forgot")
        else:
            self._tell(What.SERVED, f"{now - visit.arrived_at:g}")
        return True

    def _charged(self, tier: Tier) -> Slot | None:
        """The pack that has been charged for longest, so that all are used alike."""
        offering = (slot for slot in self._cabinet.slots if slot.offers(tier))
        return min(offering, key=lambda slot: (slot.charged_at, slot.number), default=None)

    def _empty(self) -> Slot | None:
        return next((slot for slot in self._cabinet.slots if slot.pack is None and slot.opens), None)


class Presenting:
    """Customers who show a token, one at a time, and then watch the doors: what is unlocked they use, in
    whichever order it comes. Who is shown no door lets the next one try, and tries again behind the last."""

    GIVES_WAY_AFTER_S: Final = 30.0
    """A station that lets somebody in opens a door at once."""

    def __init__(self, cabinet: Cabinet, tell: Tell, tokens: deque[str]) -> None:
        """``tokens`` is what the reader was shown and nobody has fetched."""
        self._cabinet = cabinet
        self._tell = tell
        self._tokens = tokens
        self._queue: deque[Visit] = deque()

    def queue(self, visit: Visit) -> None:
        visit.deadline = visit.arrived_at + visit.patience_s
        self._queue.append(visit)

    @property
    def riders(self) -> list[Rider]:
        """Who is at the station."""
        return [visit.rider for visit in self._queue]

    def step(self, now: float) -> list[Visit]:
        """Let the first act, and those behind him lose their patience. Returns the visits that are over."""
        over = [visit for visit in self._queue if self._ends(visit, now)]
        for visit in over:
            self._queue.remove(visit)
        if len(self._queue) > 1 and self._is_at_a_loss(self._queue[0], now):
            self._queue[0].shown_at = None
            self._queue.rotate(-1)
        return over

    def _is_at_a_loss(self, visit: Visit, now: float) -> bool:
        """His token was read, and no door has opened for him."""
        return (
            visit.shown_at is not None
            and now - visit.shown_at >= self.GIVES_WAY_AFTER_S
            and visit.put_into is None
            and visit.took is None
            and visit.rider.token not in self._tokens
        )

    def _ends(self, visit: Visit, now: float) -> bool:
        if visit is self._queue[0]:
            self._act(visit, now)
        has_all = visit.took is not None and visit.in_hand() is None
        if (has_all or self._walks_away(visit)) and now >= visit.busy_until:
            self._say_goodbye(visit, now)
            return True
        if now >= max(visit.deadline, visit.busy_until):
            self._give_up(visit, now)
            self._say_goodbye(visit, now)
            return True
        return False

    def _walks_away(self, visit: Visit) -> bool:
        return visit.forgets and visit.put_into is not None

    def _act(self, visit: Visit, now: float) -> None:
        if now < visit.busy_until:
            return
        if visit.shown_at is None:
            visit.shown_at = now
            if not visit.has_been_first:
                visit.has_been_first = True
                visit.deadline = now + visit.patience_s
            self._tokens.append(visit.rider.token)
        elif (slot := self._open_to_put(visit)) is not None:
            self._put(visit, slot, now)
        elif (slot := self._open_to_take(visit)) is not None:
            self._take(visit, slot, now)

    def _open_to_put(self, visit: Visit) -> Slot | None:
        if visit.in_hand() is None:
            return None
        return next((slot for slot in self._cabinet.slots if slot.unlocked and slot.pack is None), None)

    def _open_to_take(self, visit: Visit) -> Slot | None:
        """A door behind which a pack is that he did not put there."""
        if visit.took is not None or self._walks_away(visit):
            return None
        unlocked = (slot for slot in self._cabinet.slots if slot.unlocked and slot.pack is not None)
        return next((slot for slot in unlocked if slot.number != visit.put_into), None)

    def _put(self, visit: Visit, slot: Slot, now: float) -> None:
        pack = visit.in_hand()
        assert pack is not None  # noqa: S101 - who has nothing finds no door to put it into
        self._cabinet.put(slot, pack, now=now)
        if visit.foreign is None:
            visit.rider.packs.remove(pack)
        visit.put_into = slot.number
        self._shut(visit, slot, now)
        self._tell(What.PUTS, f"{slot.number} {pack.serial_number}")

    def _take(self, visit: Visit, slot: Slot, now: float) -> None:
        visit.took = self._cabinet.take(slot, now=now)
        visit.rider.packs.append(visit.took)
        self._shut(visit, slot, now)
        self._tell(What.TAKES, f"{slot.number} {visit.took.serial_number}")

    def _shut(self, visit: Visit, slot: Slot, now: float) -> None:
        slot.unlocked = False
        visit.busy_until = now + visit.handling_s
        visit.deadline = visit.busy_until + visit.patience_s

    def _give_up(self, visit: Visit, now: float) -> None:
        """Take back what he put in, where its door is open."""
        if visit.put_into is None or visit.took is not None:
            return
        slot = self._cabinet.slots[visit.put_into - 1]
        if slot.unlocked and slot.pack is not None:
            back = self._cabinet.take(slot, now=now)
            if not back.foreign:
                visit.rider.packs.append(back)
            slot.unlocked = False
            self._tell(What.TAKES, f"{slot.number} {back.serial_number}")

    def _say_goodbye(self, visit: Visit, now: float) -> None:
        if visit.rider.token in self._tokens:
            self._tokens.remove(visit.rider.token)
        if visit.took is not None and visit.foreign is None:
            self._tell(What.SERVED, f"{now - visit.arrived_at:g}")
        else:
            why = "forgot" if self._walks_away(visit) else "nothing-for-him"
            self._tell(What.LEAVES, f"{visit.rider.token} {why}")
