"""All bays and all swaps of a station together: what may begin, and what follows from a look.

Pure. Whatever happens gives an ``Outcome``: the next floor, and all that has to be durable before anything
moves or is told. So the whole of a station's swaps can be run in a test without a clock or a disk.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from typing import Final

from msgspec.structs import replace

from evswap_edge.clock import Stamp
from evswap_edge.config import SwapOrder, SwapRules, WhenFull
from evswap_edge.swaps import bay as bays_
from evswap_edge.swaps import swap as swaps_
from evswap_edge.swaps.bay import EMPTY, BayState, Came, Patience, Promise, Seen, Use, Went
from evswap_edge.swaps.choosing import Veto, best_battery, empty_bay, is_registered
from evswap_edge.swaps.drafts import Draft, inventory_of, refusal, swap_step
from evswap_edge.swaps.swap import Happening, Phase, Report, Side, Swap
from evswap_schema import Authority, Bay, Clock, Health, InventoryReason, Lock, Occupancy, RefusalReason

_NOT_SEEN_YET: Final = "the bays were not all seen yet"


class Declined(Exception):
    """A swap that does not begin: nothing has changed. ``reason`` is for events, ``detail`` for people."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Somebody may swap."""

    request_id: int
    id_token: str
    authority: Authority
    authorisation_id: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Floor:
    """Every bay that was ever seen, and the swaps under way by their ``request_id``."""

    bays: Mapping[int, BayState] = field(default_factory=dict)
    swaps: Mapping[int, Swap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What something comes to. ``bays`` and ``swaps`` are those that are to be written down, ``told`` what is
    to be told; ``spent`` and ``given_back`` are authorisations of which a swap was used or not used."""

    floor: Floor
    bays: tuple[BayState, ...] = ()
    swaps: tuple[Swap, ...] = ()
    told: tuple[Draft, ...] = ()
    spent: str | None = None
    given_back: tuple[str, ...] = ()

    @property
    def worth_writing(self) -> bool:
        """Whether it would make a difference after a restart."""
        return bool(self.bays or self.swaps or self.told)


# --- a customer comes -----------------------------------------------------------------------------------


def begun(
    floor: Floor, request: Request, bays: Mapping[int, Bay], now: Stamp, rules: SwapRules, veto: Veto
) -> Outcome:
    """The swap begins: its two bays are kept for it. A customer who is owed a battery comes for that one, or
    another, and need not bring one. Raises ``Declined``."""
    _require_room(floor, request, rules)
    giving = best_battery(bays, floor.bays, rules, veto, id_token=request.id_token, tier=request.tier)
    offered = None if giving is None else bays_.battery_in(giving)
    if giving is None or offered is None:
        raise Declined(RefusalReason.NO_BATTERY, "there is no charged battery that is promised to nobody")
    debts = [state for state in floor.bays.values() if state.owed_to == request.id_token]
    taking = None if debts else empty_bay(bays, floor.bays, veto)
    order = rules.order
    if taking is None and not debts and order is SwapOrder.IN_FIRST:
        order = _without_an_empty_bay(floor, rules)
    swap = Swap(
        request_id=request.request_id,
        id_token=request.id_token,
        authority=request.authority,
        authorisation_id=request.authorisation_id,
        tier=request.tier,
        order=order,
        bay_in=giving.bay if taking is None else taking,
        bay_out=giving.bay,
        battery_out=offered,
        phase=Phase.HALF_IN if debts else Phase.AUTHORIZED,
        collects=bool(debts),
        since=now,
    )
    states = [bays_.settled(state) for state in debts if state.bay != giving.bay]
    states += [bays_.assigned(floor.bays[giving.bay], swap.request_id, Use.OFFERED_OUT)]
    if taking is not None:
        states.append(bays_.assigned(floor.bays[taking], swap.request_id, Use.OFFERED_IN))
    return Outcome(
        floor=_with(floor, states, [swap]), bays=tuple(states), swaps=(swap,), spent=request.authorisation_id
    )


def _without_an_empty_bay(floor: Floor, rules: SwapRules) -> SwapOrder:
    """A battery that nobody collects fills a small station for hours. A bay that others are about to leave is
    waited for. Raises ``Declined``."""
    soon_empty = any(
        state.content == EMPTY and state.use in {Use.OFFERED_IN, Use.CLOSING} for state in floor.bays.values()
    )
    if soon_empty or rules.when_full is WhenFull.DECLINE:
        raise Declined(RefusalReason.NO_EMPTY_BAY, "there is no empty bay for the customer's battery")
    return SwapOrder.OUT_FIRST


def _require_room(floor: Floor, request: Request, rules: SwapRules) -> None:
    if not floor.bays:
        raise Declined(RefusalReason.UNAVAILABLE, _NOT_SEEN_YET)
    if request.request_id in floor.swaps:
        raise Declined(RefusalReason.BUSY, f"the swap {request.request_id} was begun before")
    if len(floor.swaps) >= rules.at_once:
        raise Declined(RefusalReason.BUSY, f"{len(floor.swaps)} swaps are under way")
    if any(swap.id_token == request.id_token for swap in floor.swaps.values()):
        raise Declined(RefusalReason.BUSY, "a swap of this customer is under way")


def offered_anew(floor: Floor, bays: Mapping[int, Bay], rules: SwapRules, veto: Veto) -> Outcome:
    """A customer whose battery cannot be given any more, because its bay broke or safety forbids it, gets
    another where there is one, in the same time, unless somebody may be taking it: its door is locked."""
    states: dict[int, BayState] = {}
    swaps: list[Swap] = []
    for swap in floor.swaps.values():
        current = Floor({**floor.bays, **states}, floor.swaps)
        if not _is_stuck(current, swap, bays, veto):
            continue
        giving = best_battery(bays, current.bays, rules, veto, id_token=swap.id_token, tier=swap.tier)
        offered = None if giving is None else bays_.battery_in(giving)
        if giving is None or offered is None:
            continue
        states[swap.bay_out] = bays_.let_go(current.bays[swap.bay_out])
        states[giving.bay] = bays_.assigned(current.bays[giving.bay], swap.request_id, Use.OFFERED_OUT)
        bay_in = giving.bay if swap.bay_in == swap.bay_out else swap.bay_in
        swaps.append(replace(swap, bay_in=bay_in, bay_out=giving.bay, battery_out=offered))
    return Outcome(
        floor=_with(floor, states.values(), swaps), bays=tuple(states.values()), swaps=tuple(swaps)
    )


def _is_stuck(floor: Floor, swap: Swap, bays: Mapping[int, Bay], veto: Veto) -> bool:
    state, bay = floor.bays[swap.bay_out], bays.get(swap.bay_out)
    if state.use is not Use.OFFERED_OUT or state.sighting is not None or bay is None:
        return False
    return bay.lock is Lock.LOCKED and (veto(bay.bay) is not None or bay.health is Health.FAULT)


# --- a promise ------------------------------------------------------------------------------------------


def promised(floor: Floor, bay: int, promise: Promise) -> Outcome:
    """The battery in ``bay`` is kept for somebody. Raises ``BayNotFree``."""
    state = bays_.reserved(floor.bays.get(bay, BayState(bay=bay)), promise)
    return Outcome(floor=_with(floor, [state], []), bays=(state,))


def lapsed(floor: Floor, now: Stamp) -> Outcome:
    """The promises whose time is over are nobody's any more."""
    over = [state for state in floor.bays.values() if state.promise and _is_over(state.promise, now)]
    states = tuple(bays_.lapsed(state) for state in over)
    return Outcome(floor=_with(floor, states, []), bays=states)


def _is_over(promise: Promise, now: Stamp) -> bool:
    """Across boots only a clock that is right can tell; until one is, the promise is kept."""
    if promise.boot_id == now.boot_id:
        return now.uptime - promise.uptime >= promise.seconds
    return now.clock is Clock.SYNCHRONIZED and now.wall_s >= promise.until


# --- a look ---------------------------------------------------------------------------------------------


def looked(floor: Floor, bays: Sequence[Bay], now: Stamp, rules: SwapRules) -> Outcome:
    """The bays were read ``now``. What moved is seen first; only then whose time is up."""
    look = _Look(floor, now, rules)
    for bay in bays:
        look.at(bay)
    look.end_what_is_due({bay.bay: bay for bay in bays})
    return look.outcome(floor)


def not_seen(floor: Floor, now: Stamp, rules: SwapRules) -> Outcome:
    """The bays could not be read ``now``. A swap that nobody can see is over when its time is, at the
    latest."""
    look = _Look(floor, now, rules)
    look.end_what_is_due({})
    return look.outcome(floor)


def resumed(floor: Floor, now: Stamp, rules: SwapRules) -> Floor:
    """The floor as the process after a crash or a power cut goes on with it."""
    swaps = {
        number: swaps_.resumed(swap, now, timeout_s=timeout_of(swap, rules))
        for number, swap in floor.swaps.items()
    }
    return with_fields(floor, swaps=swaps)


def timeout_of(swap: Swap, rules: SwapRules) -> float:
    """How many seconds the customer has for the half that is awaited."""
    return rules.in_timeout_s if swap.awaits is Side.IN else rules.out_timeout_s


def to_be_open(floor: Floor, bays: Mapping[int, Bay], now: Stamp, rules: SwapRules) -> list[Swap]:
    """The swaps whose awaited door is to be unlocked: their time runs, and nothing has moved yet."""
    return [
        swap
        for swap in floor.swaps.values()
        if swap.awaited_bay is not None
        and swaps_.elapsed_s(swap.since, now) < timeout_of(swap, rules)
        and _waits_shut(floor.bays[swap.awaited_bay], bays.get(swap.awaited_bay))
    ]


def _waits_shut(state: BayState, bay: Bay | None) -> bool:
    """A door that nothing has gone through yet, and that is not open already."""
    if bay is None or bay.lock is Lock.UNLOCKED or state.sighting is not None:
        return False
    wanted = Occupancy.EMPTY if state.use is Use.OFFERED_IN else Occupancy.OCCUPIED
    return bay.occupancy is wanted


class _Look:
    """One look, bay by bay."""

    def __init__(self, floor: Floor, now: Stamp, rules: SwapRules) -> None:
        self._now = now
        self._rules = rules
        self._patience = Patience(confirm_s=rules.confirm_s, identify_s=rules.identify_s)
        self._bays = dict(floor.bays)
        self._swaps = dict(floor.swaps)
        self._told: list[Draft] = []
        self._ended: list[Swap] = []
        self._contradicted: dict[int, Bay] = {}

    def at(self, bay: Bay) -> None:
        before = self._bays.get(bay.bay, BayState(bay=bay.bay))
        swap = self._swap_of(before)
        state, seen = bays_.looked(
            before,
            bay,
            self._now.uptime,
            self._patience,
            door_may_stay_open=swap is not None and self._is_overdue(swap),
        )
        self._bays[bay.bay] = state
        for one in seen:
            self._take_note_of(one, bay)
        self._judge_what_stands_in(bay)

    def _take_note_of(self, seen: Seen, bay: Bay) -> None:
        state = self._bays[bay.bay]
        swap = self._swap_of(state)
        event = None if swap is None else self._meaning(seen, swap, state)
        if swap is not None and event is not None:
            self._step(swap, event)
        if event is None or isinstance(event, swaps_.Lost):
            self._contradicted[bay.bay] = bay

    def _swap_of(self, state: BayState) -> Swap | None:
        return None if state.request_id is None else self._swaps.get(state.request_id)

    def _meaning(self, seen: Seen, swap: Swap, state: BayState) -> Happening | None:
        """What it is to the bay's swap; None: nothing that belongs to it."""
        match seen, state.use:
            case Came(), Use.OFFERED_IN if swap.awaits is Side.IN:
                if seen.battery is not None and is_registered(seen.content, self._rules):
                    return swaps_.Brought(seen.battery)
                return swaps_.BroughtForeign(seen.battery)
            case Went(), Use.OFFERED_OUT:
                return swaps_.Taken() if swap.awaits is Side.OUT else swaps_.Lost()
        return None

    def _step(self, swap: Swap, event: Happening) -> None:
        after, told = swaps_.step(swap, event, self._now)
        self._swaps[swap.request_id] = after
        self._told += [self._draft(after, one) for one in told]
        if isinstance(event, swaps_.BroughtForeign):
            self._bays[swap.bay_in] = bays_.condemned(self._bays[swap.bay_in])
        if after.over:
            self._end(after)
        elif after.awaits is Side.IN and after.bay_in == after.bay_out:
            self._bays[after.bay_in] = bays_.turned_around(self._bays[after.bay_in])

    def _draft(self, swap: Swap, telling: swaps_.Telling) -> Draft:
        if isinstance(telling, Report):
            return swap_step(swap, telling, self._now)
        return refusal(
            telling.reason,
            self._now,
            id_token=swap.id_token,
            request_id=swap.request_id,
            authority=swap.authority,
            authorisation_id=swap.authorisation_id,
            bay=telling.bay,
            battery=telling.battery,
        )

    def _end(self, swap: Swap) -> None:
        del self._swaps[swap.request_id]
        self._ended.append(swap)
        for number in {swap.bay_in, swap.bay_out}:
            owed_to = swap.id_token if swap.owes_battery and number == swap.bay_out else None
            self._bays[number] = bays_.let_go(self._bays[number], owed_to=owed_to)

    def _judge_what_stands_in(self, bay: Bay) -> None:
        """A battery of others is quarantined wherever it is found; one that has told late that it is ours is
        none."""
        state = self._bays[bay.bay]
        content = state.content
        if content is None or content.serial_number is None or state.request_id is not None:
            return
        ours = is_registered(content, self._rules)
        if not ours and state.use is not Use.QUARANTINED:
            self._bays[bay.bay] = bays_.condemned(state)
        elif ours and state.use is Use.QUARANTINED:
            self._bays[bay.bay] = bays_.redeemed(state)
            self._contradicted[bay.bay] = bay

    def end_what_is_due(self, bays: Mapping[int, Bay]) -> None:
        """A battery that is on its way is waited for, and so is a door that stands open, but not for ever."""
        for swap in list(self._swaps.values()):
            if self._is_overdue(swap) or (self._is_due(swap) and self._is_still(swap, bays)):
                self._step(swap, swaps_.TimeUp())

    def _is_due(self, swap: Swap) -> bool:
        return swaps_.elapsed_s(swap.since, self._now) >= timeout_of(swap, self._rules)

    def _is_overdue(self, swap: Swap) -> bool:
        grace = timeout_of(swap, self._rules) + self._rules.relock_s
        return swaps_.elapsed_s(swap.since, self._now) >= grace

    def _is_still(self, swap: Swap, bays: Mapping[int, Bay]) -> bool:
        """The awaited door is shut, and its bay shows what it has shown all the time."""
        bay = bays.get(swap.awaited_bay or 0)
        return (
            bay is not None
            and bay.lock is not Lock.UNLOCKED
            and bay.occupancy is not Occupancy.UNKNOWN
            and self._bays[bay.bay].sighting is None
        )

    def outcome(self, before: Floor) -> Outcome:
        pairs = [(self._bays[number], bay) for number, bay in self._contradicted.items()]
        self._told += inventory_of(pairs, InventoryReason.CONTRADICTED, self._now)
        running = [swap for swap in self._swaps.values() if before.swaps.get(swap.request_id) != swap]
        return Outcome(
            floor=Floor(self._bays, self._swaps),
            bays=tuple(_changed(before.bays, self._bays.values())),
            swaps=(*running, *self._ended),
            told=tuple(self._told),
            given_back=tuple(
                swap.authorisation_id for swap in self._ended if swap.nothing_moved and swap.authorisation_id
            ),
        )


def _changed(before: Mapping[int, BayState], after: Iterable[BayState]) -> list[BayState]:
    """Those that have to be written down."""
    return [
        state.durable()
        for state in after
        if state.bay not in before or state.durable() != before[state.bay].durable()
    ]


def _with(floor: Floor, bays: Iterable[BayState], swaps: Iterable[Swap]) -> Floor:
    return Floor(
        bays={**floor.bays, **{state.bay: state for state in bays}},
        swaps={**floor.swaps, **{swap.request_id: swap for swap in swaps}},
    )
