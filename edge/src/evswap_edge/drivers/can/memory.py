"""What one bay has said lately, and what may be believed of it: no I/O, and no clock but the caller's."""

from dataclasses import dataclass

from evswap_edge.dbc import Silence
from evswap_edge.drivers.can.decoding import NotMeasured, Report, decode, is_present
from evswap_edge.drivers.can.layout import FrameKind, Layout, PartKind, Slot
from evswap_edge.hal import Unread

Heard = tuple[bytes, float]
"""The data of a frame, and when it came."""


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What was wrong with a frame that was not taken."""

    text: str
    at: float


class Slate:
    """The newest good frame of each slot. A frame that is of the wrong length, has a wrong checksum or a
    counter that stands still is not taken, so that what it would have replaced goes stale.

    What was said of one battery is never mixed with what is said of the next: presence or a part of the
    serial number that changes, or a pause in which a battery could have been exchanged, wipes the slate.
    """

    def __init__(self, layout: Layout, *, stale_after_s: float) -> None:
        self._layout = layout
        self._stale_after_s = stale_after_s
        self._patience_s = {name: kind.patience_s or stale_after_s for name, kind in layout.kinds.items()}
        self._exchanged_after_s = min(self._patience_s.values())
        self._slots: dict[Slot, Heard] = {}
        self._identity: dict[PartKind, int] = {}
        self._counters: dict[str, int] = {}
        self._complaints: dict[str, _Complaint] = {}
        self._heard_at: float | None = None
        self._taken_at: float | None = None
        self._report: Report | None = None
        """What the frames say, until there is another one: batteries and their faults are asked for in
        turn."""
        self._good_until = 0.0
        """When the first of those frames is too old."""

    def hear(self, kind: FrameKind, data: bytes, at: float) -> None:
        """A frame of this bay came at the moment ``at``."""
        self._heard_at = at
        number = int.from_bytes(data, "little")
        if complaint := self._complaint(kind, data, number):
            self._complaints[kind.name] = _Complaint(complaint, at)
            return
        if self._taken_at is not None and at - self._taken_at > self._exchanged_after_s:
            self._wipe()
        self._taken_at = at
        self._report = None
        part = kind.parts.get(number & kind.part_mask, kind.any_part)
        if part.identity:
            self._recognise(part, number & part.identity)
        for slot in part.slots:
            self._slots[slot] = (data, at)

    def read(self, now: float, *, listening_since: float) -> Report | Unread | None:
        """What may be published of this bay; None is an empty one."""
        if self._report is not None and now <= self._good_until:
            return self._report
        if self._layout.silence is Silence.EMPTY and self._is_silent(now):
            listened_s = now - listening_since
            if listened_s >= self._stale_after_s:
                return None
            return Unread(
                f"nothing heard yet in {listened_s:.1f} s; silence is known after {self._stale_after_s:g}"
            )
        try:
            if self._layout.presence is not None:
                self._require_fresh(self._layout.slots[:1], now)
            frames = {slot: data for slot, (data, _) in self._slots.items()}
            if not is_present(self._layout, frames):
                return None
            self._require_fresh(self._layout.slots, now)
            self._report = decode(self._layout, frames)
        except NotMeasured as error:
            return Unread(error.reason)
        self._good_until = self._until_one_is_old()
        return self._report

    # --- a frame arrives ----------------------------------------------------------------------------------

    def _complaint(self, kind: FrameKind, data: bytes, number: int) -> str | None:
        """What is wrong with the frame; ``number`` is all of it."""
        if len(data) != kind.length:
            return f"arrives with {len(data)} bytes instead of {kind.length}"
        if kind.is_whole is not None and not kind.is_whole(data):
            return "arrives with a wrong checksum"
        if kind.counter is None:
            return None
        count, last = number & kind.counter_mask, self._counters.get(kind.name)
        if count == last:
            return f"arrives with a counter that stands still at {kind.counter.of(data)}"
        self._counters[kind.name] = count
        # One frame alone does not show that its counter counts.
        return "has been heard once, and its counter has to count" if last is None else None

    def _recognise(self, part: PartKind, identity: int) -> None:
        if self._identity.get(part, identity) != identity:
            self._wipe()
        self._identity[part] = identity

    def _wipe(self) -> None:
        self._slots.clear()
        self._identity.clear()

    # --- the bay is read ----------------------------------------------------------------------------------

    def _until_one_is_old(self) -> float:
        """All that is read has been heard."""
        limits = self._patience_s
        first = min(self._slots[slot][1] + limits[slot[0]] for slot in self._layout.slots)
        return min(first, (self._heard_at or 0.0) + self._stale_after_s)

    def _is_silent(self, now: float) -> bool:
        return self._heard_at is None or now - self._heard_at > self._stale_after_s

    def _require_fresh(self, slots: tuple[Slot, ...], now: float) -> None:
        for slot in slots:
            name, part = slot
            heard, limit_s = self._slots.get(slot), self._patience_s[name]
            if heard is not None and now - heard[1] <= limit_s:
                continue
            title = name if part is None else f"{name} part {part}"
            age = f"is {now - heard[1]:.1f} s old" if heard else "has not been heard"
            raise NotMeasured(f"{title} {age}{self._why(name, now - limit_s)}")

    def _why(self, name: str, since: float) -> str:
        complaint = self._complaints.get(name)
        return f"; it {complaint.text}" if complaint and complaint.at >= since else ""
